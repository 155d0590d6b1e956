#include "settings/yaml/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/number.hpp"

namespace {

using nlohmann::json;

constexpr size_t kMostDepth = 64;
constexpr size_t kMostBytes = 1 << 20;  // aliases of aliases grow without end

std::string place(const YAML::Mark& mark) {
  return "line " + std::to_string(mark.line + 1) + ", column " + std::to_string(mark.column + 1) +
         ": ";
}

// Writes JSON as the parser meets it: no tree of nodes, which aliases could make endless.
class Writer : public YAML::EventHandler {
 public:
  const std::string& text() const { return out_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (begun_) throw std::runtime_error(place(mark) + "more than one document");
    begun_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    begin(mark, anchor, true);
    out_ += is_key() ? "\"\"" : "null";
    end();
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) {
      throw std::runtime_error(place(mark) + "an alias inside of what it stands for");
    }
    begin(mark, 0, known->second.front() == '"');
    out_ += known->second;
    end();
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    begin(mark, anchor, true);
    out_ += is_key() ? json(value).dump() : plain(mark, tag, value).dump();
    end();
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    begin(mark, anchor, false);
    out_ += '[';
  }
  void OnSequenceEnd() override {
    out_ += ']';
    end();
  }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    begin(mark, anchor, false);
    out_ += '{';
    open_.back().is_map = true;
  }
  void OnMapEnd() override {
    out_ += '}';
    end();
  }

 private:
  struct Value {  // one that has begun and not ended
    YAML::anchor_t anchor;
    size_t start;  // in out_
    bool is_map = false;
    size_t parts = 0;  // of a map: keys and values
  };

  // Whether the value that was begun last is the key of a map.
  bool is_key() const {
    return open_.size() > 1 && open_[open_.size() - 2].is_map &&
           open_[open_.size() - 2].parts % 2 == 0;
  }

  void begin(const YAML::Mark& mark, YAML::anchor_t anchor, bool may_be_key) {
    if (open_.size() > kMostDepth) {
      throw std::runtime_error(place(mark) + "nested deeper than " + std::to_string(kMostDepth));
    }
    if (out_.size() > kMostBytes) {
      throw std::runtime_error(place(mark) + "larger than 1 MiB with its aliases");
    }
    if (!open_.empty() && open_.back().parts > 0) {
      out_ += open_.back().is_map && open_.back().parts % 2 == 1 ? ':' : ',';
    }
    open_.push_back({anchor, out_.size()});
    if (is_key() && !may_be_key) throw std::runtime_error(place(mark) + "a key is no text");
  }

  void end() {
    const Value value = open_.back();
    open_.pop_back();
    if (value.anchor != 0) anchors_[value.anchor] = out_.substr(value.start);
    if (!open_.empty()) ++open_.back().parts;
  }

  // The core schema of YAML 1.2.
  static json plain(const YAML::Mark& mark, const std::string& tag, const std::string& text) {
    static const std::regex null("~|null|Null|NULL|");
    static const std::regex truth("true|True|TRUE|false|False|FALSE");
    static const std::regex integer("[-+]?[0-9]+");
    static const std::regex other_base("0o[0-7]+|0x[0-9a-fA-F]+");
    static const std::regex real("[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?");
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return text;
    if (!tag.empty() && tag != "?") {
      throw std::runtime_error(place(mark) + "the tag " + tag + " is not supported");
    }
    if (text.size() > 100) return text;  // longer than any number; a regex recurses
    if (std::regex_match(text, null)) return nullptr;
    if (std::regex_match(text, truth)) return text[0] == 't' || text[0] == 'T';
    const bool other = std::regex_match(text, other_base);
    if (other || std::regex_match(text, integer)) {
      const std::string digits = other ? text.substr(2) : text;
      const int base = !other ? 10 : text[1] == 'x' ? 16 : 8;
      if (const auto value = deisa::parse_integer(digits, base)) return *value;
    }
    if (std::regex_match(text, real)) {
      if (const auto value = deisa::parse_number(text)) return *value;
    }
    return text;
  }

  std::string out_;
  std::vector<Value> open_;
  std::map<YAML::anchor_t, std::string> anchors_;  // JSON text
  bool begun_ = false;
};

}  // namespace

char* deisa_yaml_to_json(const char* text, size_t bytes, char* message, size_t room) {
  try {
    std::istringstream stream(std::string(text, bytes));
    YAML::Parser parser(stream);
    Writer writer;
    // A second document is an error. Not until the end: after some texts the parser finds empty
    // documents without end.
    if (parser.HandleNextDocument(writer)) parser.HandleNextDocument(writer);
    const std::string out = writer.text().empty() ? "null" : writer.text();
    char* copy = static_cast<char*>(std::malloc(out.size() + 1));
    if (copy == nullptr) throw std::bad_alloc();
    std::memcpy(copy, out.c_str(), out.size() + 1);
    return copy;
  } catch (const YAML::Exception& error) {
    // Its own text says "yaml-cpp: error at line 1, column 2: ...".
    std::snprintf(message, room, "line %d, column %d: %s", error.mark.line + 1,
                  error.mark.column + 1, error.msg.c_str());
  } catch (const json::exception&) {
    std::snprintf(message, room, "it is not UTF-8");
  } catch (const std::exception& error) {
    std::snprintf(message, room, "%s", error.what());
  } catch (...) {
    std::snprintf(message, room, "unknown error");
  }
  return nullptr;
}
