// The table of settings, the settings file, and which value counts.
#include "settings/settings.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/testing/other_locale.hpp"
#include "bridge/testing/rank.hpp"
#include "settings/misspelt.hpp"
#include "settings/options.hpp"
#include "settings/testing/environment.hpp"

namespace deisa {
namespace {

using testing::contains;
using testing::environment;
using testing::variables;

class SettingsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    variables().clear();
    char name[] = "/tmp/deisa-settings-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& text, const std::string& name = "settings.json") {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    variables()["DEISA_CONFIG"] = path;
    return path;
  }
  Options resolve() const { return resolve_options(given, &environment); }
  std::string refused() const {
    try {
      resolve();
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return "";
  }
  // The message for a file of this text must have `text`, with FILE for the file's path.
  void expect_refused(const std::string& json, std::string text,
                      const std::string& name = "settings.json") {
    const std::string path = write(json, name);
    for (size_t at = text.find("FILE"); at != std::string::npos; at = text.find("FILE")) {
      text.replace(at, 4, path);
    }
    EXPECT_TRUE(contains(refused(), text));
  }

  deisa_options given = DEISA_OPTIONS_INIT;
  std::string folder_;
};

TEST_F(SettingsTest, TextsReplaceTheMembersAndGiveWayToFileAndEnvironment) {
  const char* const texts[] = {
      "comm_timeout=3.5", "window=7",       "backend=file",       "node_id=a=b", "status=yes",
      "max_ahead=",       "init_retries=4", "acknowledge=stored", "cache=none",  nullptr};
  given.window = 2;
  given.max_ahead = 5;
  given.settings = texts;
  Options options = resolve();
  EXPECT_EQ(options.comm_timeout, 3.5);
  EXPECT_EQ(options.window, 7);
  EXPECT_EQ(options.backend, BackendKind::kFile);
  EXPECT_EQ(options.node_id, "a=b");
  EXPECT_TRUE(options.statistics);
  EXPECT_EQ(options.max_ahead, 5) << "an empty text counts as none";
  EXPECT_EQ(options.init_retries, 4);
  EXPECT_EQ(options.acknowledge, DEISA_ACK_STORED);
  EXPECT_EQ(options.place("DEISA_CACHE"), "none");
  write(R"({"window": 8, "init_retries": 5})");
  variables()["DEISA_INIT_RETRIES"] = "6";
  options = resolve();
  EXPECT_EQ(options.window, 8);
  EXPECT_EQ(options.init_retries, 6);
  given.struct_size = offsetof(deisa_options, settings);  // a program of 0.2.0
  EXPECT_EQ(resolve().comm_timeout, 120);
}

TEST_F(SettingsTest, WrongTextsAreNamedTogether) {
  const char* const texts[] = {
      "window=0",       "comm_timeout=soon", "comm_timeot=3", "acknowledge",
      "when_full=wait", "status=perhaps",    "window=3",      nullptr};
  given.settings = texts;
  const std::string message = refused();
  for (const char* part :
       {"window = '0' (from the program's settings): expected at least 1",
        "comm_timeout = 'soon' (from the program's settings): expected seconds, more than 0",
        "settings: 'comm_timeot=3': there is no such setting: expected comm_timeout?",
        "settings: 'acknowledge': expected name=value",
        "when_full = 'wait' (from the program's settings): expected one of block skip fail",
        "status = 'perhaps' (from the program's settings): expected true, yes, on",
        "settings: window is there twice: expected each once"}) {
    EXPECT_TRUE(contains(message, part));
  }
}

// A value that the setting allows, and is not its default.
std::string good_value(const Setting& one) {
  switch (one.type) {
    case Setting::Type::kText:
      return "some-text";
    case Setting::Type::kClass:
      return "module:Class";
    case Setting::Type::kAddress:
      return "some-host:1";
    case Setting::Type::kPath:
      return "/some/path";
    case Setting::Type::kFolder:
      return "/tmp";
    case Setting::Type::kSwitch:
      return "true";
    case Setting::Type::kChoice:
      return choices(one).back();
    case Setting::Type::kNumber:
    case Setting::Type::kPart:
      return "0.5";
    case Setting::Type::kInteger:
    case Setting::Type::kSeconds:
    case Setting::Type::kTimeout:
      break;
  }
  return std::string(one.name) == "bridge_id" ? "0" : "7";
}

nlohmann::json as_json(const Setting& one, const std::string& value) {
  const bool quoted = is_text(one) || one.type == Setting::Type::kChoice;
  return quoted ? nlohmann::json(value) : nlohmann::json::parse(value);
}

TEST_F(SettingsTest, NamesAndVariablesAreThereOnce) {
  std::set<std::string> names;
  for (const Setting& one : all_settings()) {
    EXPECT_TRUE(*one.name == '\0' || names.insert(one.name).second) << one.name;
    EXPECT_TRUE(*one.variable == '\0' || names.insert(one.variable).second) << one.variable;
    EXPECT_STRNE(one.expected, "");
    EXPECT_STRNE(one.meaning, "");
    EXPECT_STRNE(one.fallback, "");
  }
}

TEST_F(SettingsTest, EverySettingCanStandInTheFile) {
  nlohmann::json all = nlohmann::json::object();
  for (const Setting& one : all_settings()) {
    if (*one.name != '\0') all[one.name] = as_json(one, good_value(one));
  }
  write(all.dump());
  const Options options = resolve();
  EXPECT_EQ(options.world_size, 7);
  EXPECT_EQ(options.master_address, "some-text");
  EXPECT_EQ(options.master_port, 7);
  EXPECT_EQ(options.ray_address, "some-host:1");
  EXPECT_EQ(options.comm_timeout, 7);
  EXPECT_EQ(options.ready_timeout, 7);
  EXPECT_EQ(options.send_timeout, 7);
  EXPECT_EQ(options.node_id, "some-text");
  EXPECT_EQ(options.node_actor, "module:Class");
  EXPECT_EQ(options.init_retries, 7);
  EXPECT_EQ(options.acknowledge, DEISA_ACK_ANNOUNCED);
  EXPECT_EQ(options.max_in_flight, 7);
  EXPECT_EQ(options.when_full, DEISA_WHEN_FULL_FAIL);
  EXPECT_EQ(options.block_timeout, 7);
  EXPECT_EQ(options.store_threshold, 0.5);
  EXPECT_EQ(options.max_ahead, 7);
  EXPECT_EQ(options.window, 7);
  EXPECT_EQ(options.error_mode, DEISA_ERRORS_RETURN);
  EXPECT_EQ(options.announce_delay, 0.5);
  EXPECT_EQ(options.place("DEISA_CONTROL_LOG"), "/some/path");
  EXPECT_EQ(options.place("DEISA_RAY_ANY"), "1");
}

// So no row of the table is left unread, and every one is checked in both places.
TEST_F(SettingsTest, EverySettingOfATypeIsCheckedInTheFileAndInTheEnvironment) {
  nlohmann::json all = nlohmann::json::object();
  for (const Setting& one : all_settings()) {
    if (*one.name != '\0') all[one.name] = {1, 2};
  }
  const std::string path = write(all.dump());
  given.bridge_id = 0;
  for (const Setting& one : all_settings()) {
    if (*one.name == '\0') continue;
    write(nlohmann::json{{one.name, {1, 2}}}.dump());
    EXPECT_TRUE(
        contains(refused(), std::string(one.name) + " = [1,2] (from " + path + "): expected "));
    using Type = Setting::Type;
    if (one.type == Type::kText || one.type == Type::kPath || one.type == Type::kAddress) continue;
    variables() = {{one.variable, "[1, 2]"}};
    EXPECT_TRUE(contains(
        refused(), std::string(one.name) + " = '[1, 2]' (from " + one.variable + "): expected "));
  }
}

TEST_F(SettingsTest, EnvironmentOverFileOverCode) {
  given.comm_timeout = 1;
  given.send_timeout = 2;
  given.acknowledge = DEISA_ACK_STORED;
  given.node_id = "code";
  write(
      R"({"comm_timeout": 10, "send_timeout": 20.5, "acknowledge": "announced", "node_id": "file"})");
  variables()["DEISA_COMM_TIMEOUT"] = "100";
  const Options options = resolve();
  EXPECT_EQ(options.comm_timeout, 100);
  EXPECT_EQ(options.send_timeout, 20.5);
  EXPECT_EQ(options.ready_timeout, 600);
  EXPECT_EQ(options.acknowledge, DEISA_ACK_ANNOUNCED);
  EXPECT_EQ(options.node_id, "file");
  variables()["DEISA_NODE_ID"] = "environment";
  variables()["DEISA_ACKNOWLEDGE"] = "received";
  EXPECT_EQ(resolve().node_id, "environment");
  EXPECT_EQ(resolve().acknowledge, DEISA_ACK_RECEIVED);
}

TEST_F(SettingsTest, AllProblemsAtOnce) {
  given.init_retries = 0;
  const std::string path =
      write(R"({"comm_timout": 5, "send_timeout": -1, "acknowledge": 3, "master_port": "x",
                                     "node_id": 7, "arrays": {"t": {"every": 0, "often": 1}, "u": 3}})");
  variables()["DEISA_MAX_IN_FLIGHT"] = "many";
  const std::string message = refused();
  for (const std::string& text : {
           path +
               ": \"comm_timout\" = 5: there is no such setting: expected comm_timeout? Else one ",
           "send_timeout = -1 (from " + path + "): expected seconds, more than 0",
           "acknowledge = 3 (from " + path + "): expected one of received stored announced",
           "master_port = \"x\" (from " + path + "): expected 1 ... 65535",
           "node_id = 7 (from " + path + "): expected text",
           path + ": arrays.t.every = 0: expected an integer, at least 1",
           path +
               ": arrays.t.often = 1: expected no such key; the keys are send, every and aggregate",
           path + ": arrays.u = 3: expected an object",
           std::string("max_in_flight = 'many' (from DEISA_MAX_IN_FLIGHT)"),
           std::string("init_retries = 0: expected 1 ... 1000"),
       }) {
    EXPECT_TRUE(contains(message, text));
  }
}

TEST_F(SettingsTest, AValueThatTheEnvironmentReplacesIsCheckedToo) {
  write(R"({"comm_timeout": "soon"})");
  variables()["DEISA_COMM_TIMEOUT"] = "5";
  EXPECT_TRUE(contains(refused(), "comm_timeout = \"soon\""));
}

TEST_F(SettingsTest, WrongFiles) {
  expect_refused("{", "FILE: it is not JSON");
  expect_refused("[1]", "FILE: it holds [1]: expected an object");
  expect_refused(std::string(100000, '['), "cannot be read: it is nested deeper than 64");
  expect_refused(R"({"node_id": "a", "node_id": "b"})", "FILE: the key \"node_id\" is there twice");
  expect_refused(R"({"arrays": []})", "FILE: arrays = []: expected an object");
  expect_refused(R"({"arrays": {"t": {"send": "none"}}})",
                 "arrays.t.send = \"none\": expected true or false");
  expect_refused(R"({"arrays": {"t": {"every": 1.5}}})",
                 "arrays.t.every = 1.5: expected an integer");
  expect_refused(R"({"arrays": {"t": {"every": 18446744073709551615}}})", "arrays.t.every = 1844");
  expect_refused("{}", "FILE (from DEISA_CONFIG): expected a file whose name ends in .json",
                 "settings.txt");
  expect_refused(std::string((1 << 20) + 1, ' '), "cannot be read: it is larger than 1 MiB");
  variables()["DEISA_CONFIG"] = folder_ + "/missing.json";
  EXPECT_TRUE(contains(refused(), "missing.json (from DEISA_CONFIG) cannot be read: No such file"));
  variables()["DEISA_CONFIG"] = folder_ + "/pipe.json";
  ASSERT_EQ(::mkfifo(variables()["DEISA_CONFIG"].c_str(), 0600), 0);
  EXPECT_TRUE(contains(refused(), "cannot be read: it is not a file"));
}

TEST_F(SettingsTest, ArraysAreChosen) {
  write(R"({"arrays": {"t": {"every": 10}, "mask": {"send": false}}})");
  ArrayFilters arrays = resolve().filters;
  EXPECT_TRUE(arrays.of("t").passes(0));
  EXPECT_FALSE(arrays.of("t").passes(5));
  EXPECT_TRUE(arrays.of("t").passes(-20));
  EXPECT_FALSE(arrays.of("mask").passes(0));
  EXPECT_TRUE(arrays.of("other").passes(5));
  EXPECT_EQ(arrays.names(), (std::vector<std::string>{"mask", "t"}));
  write(R"({"arrays": {"*": {"send": false}, "t": {}, "u": null}})");
  arrays = resolve().filters;
  EXPECT_TRUE(arrays.of("t").passes(5));
  EXPECT_TRUE(arrays.of("u").passes(5));
  EXPECT_FALSE(arrays.of("other").passes(5));
}

TEST_F(SettingsTest, ArraysAreAggregated) {
  write(R"({"aggregate": "auto", "arrays": {"t": {"aggregate": "node"}, "u": {"every": 2}}})");
  Options options = resolve();
  EXPECT_EQ(options.aggregate, Aggregate::kAuto);
  EXPECT_EQ(options.filters.of("t").aggregate, Aggregate::kNode);
  EXPECT_FALSE(options.filters.of("u").aggregate);
  EXPECT_EQ(options.filters.text(), R"({"t":{"aggregate":"node","every":1},"u":{"every":2}})");
  expect_refused(R"({"aggregate": "all"})", "expected one of none node auto");
  expect_refused(R"({"arrays": {"t": {"aggregate": true}}})",
                 "arrays.t.aggregate = true: expected \"none\", \"node\" or \"auto\"");
  write("{}");
  EXPECT_EQ(resolve().aggregate, Aggregate::kNone);
}

TEST_F(SettingsTest, Yaml) {
  write(
      "comm_timeout: 5\nnode_id: n\nacknowledge: stored\nray_any: true\n"
      "arrays:\n  t: {every: 10}\n  mask: {send: false}\n",
      "settings.yaml");
  const Options options = resolve();
  EXPECT_EQ(options.comm_timeout, 5);
  EXPECT_EQ(options.node_id, "n");
  EXPECT_EQ(options.acknowledge, DEISA_ACK_STORED);
  EXPECT_EQ(options.filters.of("t").every, 10);
  EXPECT_FALSE(options.filters.of("mask").send);
  write("", "empty.yml");
  EXPECT_EQ(resolve().comm_timeout, 120);
  expect_refused("a: [1", "FILE (from DEISA_CONFIG) cannot be read: line 1", "broken.yaml");
  expect_refused("node_id: a\nnode_id: b", "FILE: the key \"node_id\" is there twice",
                 "twice.yaml");
  expect_refused("comm_timeout: soon", "comm_timeout = \"soon\" (from FILE)", "soon.yaml");
}

TEST_F(SettingsTest, TheSameWordsOfTruthEverywhere) {
  for (const char* yes : {"\"yes\"", "\"On\"", "1", "true", "\"TRUE\""}) {
    write("{\"status\": " + std::string(yes) + ", \"arrays\": {\"t\": {\"send\": " + yes + "}}}");
    EXPECT_TRUE(resolve().statistics) << yes;
    EXPECT_TRUE(resolve().filters.of("t").send) << yes;
  }
  write("status: off\nray_any: yes\narrays: {t: {send: no}}\n", "settings.yaml");
  variables()["DEISA_STATUS"] = "oN";
  EXPECT_TRUE(resolve().statistics);
  EXPECT_EQ(resolve().place("DEISA_RAY_ANY"), "1");
  EXPECT_FALSE(resolve().filters.of("t").send);
  for (const char* none : {"\"maybe\"", "2", "1.0", "[true]"}) {
    expect_refused("{\"status\": " + std::string(none) + "}",
                   "status = " + std::string(none) + " (from FILE): expected true, yes, on, 1, ");
  }
}

TEST_F(SettingsTest, WhatCannotWorkIsRefusedAtOpen) {
  for (const char* name : {"Class", ":Class", "module:", "a:b:c"}) {
    variables() = {{"DEISA_NODE_ACTOR", name}};
    EXPECT_TRUE(contains(refused(), "node_actor = '" + std::string(name) +
                                        "' (from DEISA_NODE_ACTOR): expected module:Class"));
  }
  variables() = {{"DEISA_SOCKET_DIR", folder_ + "/none"}};
  EXPECT_TRUE(contains(refused(), "socket_dir = '" + folder_ +
                                      "/none' (from DEISA_SOCKET_DIR): "
                                      "expected a folder that is there"));
  variables() = {{"DEISA_SOCKET_DIR", folder_}};
  EXPECT_EQ(resolve().place("DEISA_SOCKET_DIR"), folder_);
  for (const auto& [address, why] : std::map<std::string, std::string>{
           {"ray://head:1", "is a URL"},
           {"head", "has no port"},
           {"head:x", "has no port between"},
           {"head:65536", "has no port between"},
           {"::1:1", "is ambiguous: write an IPv6 address in brackets"},
           {":1", "has no host"},
           {"local", "asks for a cluster of its own"}}) {
    variables() = {{"DEISA_RAY_ADDRESS", address}};
    EXPECT_TRUE(
        contains(refused(), "ray_address = '" + address + "' (from DEISA_RAY_ADDRESS) " + why));
    variables() = {{"RAY_ADDRESS", address}};
    EXPECT_TRUE(contains(refused(), "RAY_ADDRESS = '" + address + "' " + why));
    variables()["DEISA_BACKEND"] = "null";
    EXPECT_EQ(resolve().ray_address, "") << "nobody asks for it";
  }
  for (const char* address : {"auto", "[::1]:6379", "head.cluster:1"}) {
    variables() = {{"DEISA_RAY_ADDRESS", address}};
    EXPECT_EQ(resolve().ray_address, address);
  }
  given.ray_address = "head";
  EXPECT_EQ(resolve().ray_address, "head.cluster:1") << "the program's is not used";
  variables().clear();
  EXPECT_TRUE(contains(refused(), "ray_address = 'head' has no port: expected host:port"));
}

TEST_F(SettingsTest, PathsAreMadeAbsolute) {
  const std::string here = std::filesystem::current_path().string();
  write(R"({"trace": "t.json"})");
  variables()["DEISA_CONTROL_LOG"] = "logs/control";
  variables()["DEISA_SOCKET_DIR"] = ".";
  const Options options = resolve();
  EXPECT_EQ(options.file_folder, here + "/deisa-files");
  EXPECT_EQ(options.place("DEISA_TRACE"), here + "/t.json");
  EXPECT_EQ(options.place("DEISA_CONTROL_LOG"), here + "/logs/control");
  EXPECT_EQ(options.place("DEISA_SOCKET_DIR"), here + "/.");
}

TEST_F(SettingsTest, UnknownVariablesAreNamed) {
  const char* const environment[] = {"HOME=/",
                                     "DEISA_MAX_INFLIGHT=4",
                                     "DEISA_MAX_IN_FLIGHT=4",
                                     "DEISA_DISTRIBUTED_SCHEDULING=1",
                                     "DEISA_TEST_KIND=1",
                                     "DEISA_=",
                                     "DEISA_SOMETHING_ELSE_ENTIRELY=1",
                                     nullptr};
  const std::vector<std::string> texts = unknown_variables(environment);
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(texts[0],
            "the environment variable DEISA_MAX_INFLIGHT has no effect: there is no such setting. "
            "Did you mean DEISA_MAX_IN_FLIGHT?");
  EXPECT_TRUE(contains(texts[1], "variable DEISA_ has no effect"));
  EXPECT_TRUE(contains(texts[2], "no such setting. docs/settings.md lists all"));
}

TEST_F(SettingsTest, WhateverTheProgramGivesItsSettingsCanBeChecked) {
  EXPECT_TRUE(problems_of_settings(&environment).empty());
  variables() = {{"DEISA_BRIDGE_ID", "3"}, {"DEISA_MAX_AHEAD", "-1"}, {"DEISA_DISABLE", "maybe"}};
  const auto problems = problems_of_settings(&environment);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_TRUE(contains(problems[0], "DEISA_DISABLE = 'maybe'"));
  EXPECT_TRUE(contains(problems[1], "max_ahead = '-1' (from DEISA_MAX_AHEAD)"));
  variables()["DEISA_DISABLE"] = "1";
  EXPECT_TRUE(problems_of_settings(&environment).empty()) << "nobody reads the others";
}

TEST_F(SettingsTest, WhateverTheLocale) {
  for (const char* name : {"de_DE", "ps_AF"}) {
    const testing::OtherLocale locale(name);
    ASSERT_TRUE(locale.is_there());
    for (const char* file : {"settings.json", "settings.yaml"}) {
      write("{\"block_timeout\": 0.5, \"arrays\": {\"t\": {\"every\": 12345}}}", file);
      variables()["DEISA_COMM_TIMEOUT"] = "30.5";
      EXPECT_EQ(resolve().block_timeout, 0.5) << name << " " << file;
      EXPECT_EQ(resolve().comm_timeout, 30.5);
      EXPECT_TRUE(contains(resolve().filters.text(), "12345"));
      variables()["DEISA_COMM_TIMEOUT"] = "30,5";
      EXPECT_TRUE(contains(refused(), "comm_timeout = '30,5'"));
      variables().erase("DEISA_COMM_TIMEOUT");
      given.send_timeout = -1234.5;
      EXPECT_TRUE(contains(refused(), "send_timeout = -1234.5: expected"));
      given.send_timeout = 10;
    }
  }
}

TEST_F(SettingsTest, OneFileOfYamlLeavesNoLibraryBehind) {
  write("comm_timeout: 5", "settings.yaml");
  resolve();
  std::ifstream maps("/proc/self/maps");
  const std::string text((std::istreambuf_iterator<char>(maps)), {});
  EXPECT_EQ(text.find("libdeisa_yaml"), std::string::npos);
}

TEST_F(SettingsTest, WithoutAFileNothingChanges) {
  EXPECT_EQ(resolve().config, "");
  variables()["DEISA_CONFIG"] = "";
  EXPECT_EQ(resolve().comm_timeout, 120);
}

}  // namespace
}  // namespace deisa
