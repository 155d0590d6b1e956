// What deisa-info says about one thing: that it is there, or what is missing and how to get it.
#pragma once

#include <string>

namespace deisa {

struct Finding {
  enum class Level {
    kGood,     // it is there
    kNote,     // worth knowing; nothing is missing
    kMissing,  // a simulation would fail, or be slow
    kWrong,    // what was set is refused
  };
  Level level;
  std::string what;    // "Java"
  std::string text;    // what was found, or what was wrong
  std::string advice;  // how to get it; "" when nothing is to be done

  static Finding good(std::string what, std::string text) {
    return {Level::kGood, std::move(what), std::move(text), ""};
  }
  static Finding note(std::string what, std::string text, std::string advice = "") {
    return {Level::kNote, std::move(what), std::move(text), std::move(advice)};
  }
  static Finding wrong(std::string what, std::string text) {
    return {Level::kWrong, std::move(what), std::move(text), ""};
  }
  static Finding missing(std::string what, std::string text, std::string advice) {
    return {Level::kMissing, std::move(what), std::move(text), std::move(advice)};
  }
};

}  // namespace deisa
