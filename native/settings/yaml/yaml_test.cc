// What YAML texts become in JSON, and that no text does harm.
#include "settings/yaml/yaml.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace {

using nlohmann::json;

struct Result {
  bool good;
  std::string text;  // JSON, or why not
};

Result convert(const std::string& yaml) {
  char message[512] = "";
  const std::unique_ptr<char, decltype(&std::free)> text(
      deisa_yaml_to_json(yaml.data(), yaml.size(), message, sizeof(message)), &std::free);
  return text ? Result{true, text.get()} : Result{false, message};
}

json value_of(const std::string& yaml) {
  const Result result = convert(yaml);
  EXPECT_TRUE(result.good) << yaml << ": " << result.text;
  return json::parse(result.text, nullptr, false);
}

std::string why_not(const std::string& yaml) {
  const Result result = convert(yaml);
  EXPECT_FALSE(result.good) << yaml << ": " << result.text;
  return result.text;
}

TEST(Yaml, Scalars) {
  EXPECT_EQ(value_of("12"), 12);
  EXPECT_EQ(value_of("-3"), -3);
  EXPECT_EQ(value_of("0x1f"), 31);
  EXPECT_EQ(value_of("0o17"), 15);
  EXPECT_EQ(value_of("0.5"), 0.5);
  EXPECT_EQ(value_of("1e3"), 1000.0);
  EXPECT_EQ(value_of("true"), true);
  EXPECT_EQ(value_of("False"), false);
  EXPECT_EQ(value_of("~"), nullptr);
  EXPECT_EQ(value_of(""), nullptr);
  EXPECT_EQ(value_of("# nothing but a comment"), nullptr);
  EXPECT_EQ(value_of("yes"), "yes") << "YAML 1.2";
  EXPECT_EQ(value_of("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(value_of("10.0.0.1:6379"), "10.0.0.1:6379");
  EXPECT_EQ(value_of("'12'"), "12");
  EXPECT_EQ(value_of("\"true\""), "true");
  EXPECT_EQ(value_of("!!str 12"), "12");
  EXPECT_EQ(value_of("a \"quoted\" \\ text\n"), "a \"quoted\" \\ text");
  EXPECT_TRUE(value_of("99999999999999999999").is_number_float());
}

TEST(Yaml, SettingsAsTheyAreWritten) {
  const json expected = {
      {"comm_timeout", 5},
      {"arrays", {{"temperature", {{"every", 10}}}, {"mask", {{"send", false}}}}}};
  EXPECT_EQ(value_of("# of a run\n"
                     "comm_timeout: 5\n"
                     "arrays:\n"
                     "  temperature: {every: 10}\n"
                     "  mask:\n"
                     "    send: false   # constant\n"),
            expected);
  EXPECT_EQ(value_of("a: &x [1, 2]\nb: *x"), json::parse(R"({"a": [1, 2], "b": [1, 2]})"));
}

TEST(Yaml, AKeyThatIsThereTwiceStaysThereTwice) {
  EXPECT_EQ(convert("a: 1\na: 2").text, R"({"a":1,"a":2})");
}

TEST(Yaml, Refused) {
  EXPECT_EQ(why_not("a: 1\nb: [1, 2").substr(0, 6), "line 2");
  EXPECT_NE(why_not("? [1, 2]\n: 3").find("a key is no text"), std::string::npos);
  EXPECT_NE(why_not("a: !thing 3").find("line 1, column 4: the tag !thing"), std::string::npos);
  EXPECT_NE(why_not("a: 1\n---\na: 2").find("more than one document"), std::string::npos);
  EXPECT_NE(why_not("a: \"\xff\xfe\"").find("UTF-8"), std::string::npos);
}

TEST(Yaml, NoTextDoesHarm) {
  EXPECT_FALSE(convert(std::string(100000, '[')).good);
  EXPECT_FALSE(convert(std::string(100000, '{')).good);
  std::string nested;
  for (int i = 0; i < 200; ++i) nested += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_NE(why_not(nested).find("nested deeper than 64"), std::string::npos);
  why_not("&a [*a]");
  std::string laughs = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1) + " ";
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) laughs += (j ? ", " : "") + before;
    laughs += "]\n";
  }
  EXPECT_NE(why_not(laughs).find("larger than 1 MiB"), std::string::npos);

  std::mt19937 random(7);
  const std::string letters = "ab01:-[]{}&*!#'\"\n ,?|>%@\\\t~.x\xff";
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    const size_t length = random() % 60;
    for (size_t i = 0; i < length; ++i) text += letters[random() % letters.size()];
    const Result result = convert(text);
    if (result.good) {
      EXPECT_TRUE(json::accept(result.text)) << text;
    }
  }
}

}  // namespace
