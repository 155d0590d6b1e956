// deisa-info: what the library would use here, what is missing, and how to get it. Starts the
// control process to see whether it works. Exit status 0: all is there; 1: something is missing or
// wrong; 2: wrong usage.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "deisa/deisa.h"
#include "info/languages.hpp"
#include "info/libraries.hpp"
#include "info/machine.hpp"
#include "info/settings_check.hpp"
#include "info/show_status.hpp"
#include "settings/options.hpp"
#include "settings/settings.hpp"

namespace {

using deisa::Finding;

constexpr const char* kUsage =
    "usage: deisa-info [--no-cluster]\n"
    "       deisa-info --status [--watch] [--json] [--prometheus]\n"
    "       deisa-info --settings\n"
    "       deisa-info --clean\n"
    "\n"
    "Says what deisa finds on this machine, what is missing, and how to get it. Run it where the\n"
    "simulation runs, in the same environment.\n"
    "\n"
    "  --no-cluster  before Ray is started: do not look for a running cluster\n"
    "  --status      the simulations that run on the cluster: ranks, timesteps, rates, who waits\n"
    "    --watch     again and again, until Ctrl-C (needs the Python package rich)\n"
    "    --json      as JSON, one line each time\n"
    "    --prometheus  metrics, in the text format that node_exporter reads\n"
    "  --settings    every setting, as a table in Markdown\n"
    "  --clean       remove from the cluster what simulations and analytics have left that are "
    "not\n"
    "                there any more; what somebody alive owns is named and left alone (exit status "
    "1)\n"
    "  --version     the version of the library\n"
    "\n"
    "Exit status 0: all is there; 1: something is missing or wrong.\n";

class Report {
 public:
  void section(const char* name) { std::printf("\n%s\n", name); }

  void add(const Finding& finding) {
    const char* const levels[] = {"ok", "note", "MISSING", "WRONG"};
    std::printf("  %-8s %-14s %s\n", levels[static_cast<size_t>(finding.level)],
                finding.what.c_str(), indented(finding.text).c_str());
    if (!finding.advice.empty()) {
      std::printf("  %-8s %-14s -> %s\n", "", "", indented(finding.advice).c_str());
    }
    if (finding.level == Finding::Level::kMissing) missing_.push_back(finding.what);
    if (finding.level == Finding::Level::kWrong) wrong_ = finding.what;
  }
  void add(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) add(finding);
  }

  int conclude() const {
    if (!wrong_.empty()) std::printf("\nwrong: %s\n", wrong_.c_str());
    if (missing_.empty()) {
      if (wrong_.empty()) std::printf("\nall is there\n");
      return wrong_.empty() ? 0 : 1;
    }
    std::string names;
    for (const std::string& name : missing_) names += (names.empty() ? "" : ", ") + name;
    std::printf("\nmissing: %s\n", names.c_str());
    return 1;
  }

 private:
  // Further lines below the first one's text.
  static std::string indented(const std::string& text) {
    std::string result;
    for (const char c : text) result += c == '\n' ? "\n" + std::string(26, ' ') : std::string(1, c);
    return result;
  }
  std::vector<std::string> missing_;
  std::string wrong_;
};

const char* read_environment(const char* name) { return std::getenv(name); }

// What is set of the variables that the library and Ray read. Secrets are not shown.
std::vector<std::string> variables_set() {
  std::vector<std::string> found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    const bool ours = name.compare(0, 6, "DEISA_") == 0;
    if (!ours && name != "RAY_ADDRESS" && name != "RAY_TMPDIR" && name != "RAY_AUTH_MODE" &&
        name != "JAVA_HOME" && name != "VIRTUAL_ENV") {
      continue;
    }
    found.push_back(name == "DEISA_SECRET" ? name + "=(set)" : text);
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The options that a bridge would have here. check_settings() says what is wrong with them.
deisa::Options options() {
  const deisa_options given = DEISA_OPTIONS_INIT;
  try {
    return deisa::resolve_options(given, &read_environment);
  } catch (const deisa::Error&) {
    return {};
  }
}

// As a bridge would reach Ray from here.
deisa::Control::Settings control_settings() {
  const deisa::Options options = ::options();
  deisa::Control::Settings settings;
  settings.kind = options.control;
  settings.ray_address = options.ray_address;
  settings.variables = options.places;
  settings.library_folder = std::filesystem::path(deisa::loaded_library()).parent_path().string();
  return settings;
}

int report(bool look_for_cluster) {
  Report report;
  const deisa::Options options = ::options();
  const std::string library = deisa::loaded_library();
  // As libdeisa sees it, and not this program.
  deisa::Places places = deisa::Places::of_this_process(options.places);
  places.library_folder = std::filesystem::path(library).parent_path().string();

  std::printf("deisa-info %s\n", DEISA_VERSION);
  report.section("libraries");
  const std::vector<Finding> libraries = check_libraries(places, library);
  report.add(libraries);
  report.section("Java");
  report.add(check_java(places, options.control));
  report.section("Python");
  report.add(check_python(places));
  report.section("machine");
  report.add(deisa::check_memfd());
  report.add(deisa::check_store("/dev/shm"));
  const bool has_mpi = libraries.back().level == Finding::Level::kGood;
  report.add(check_port(places, !has_mpi || places.variable("DEISA_MASTER_PORT")));
  bool join = false;
  if (look_for_cluster) {
    report.section("Ray");
    const Finding cluster = check_cluster(places);
    report.add(cluster);
    join = cluster.level == Finding::Level::kGood;
    if (join) report.add(check_node(places));
  }
  report.section("control");
  report.add(deisa::check_control(control_settings(), join));
  report.section("settings");
  const std::vector<std::string> variables = variables_set();
  for (const std::string& variable : variables) std::printf("  %s\n", variable.c_str());
  if (variables.empty()) std::printf("  none\n");
  report.add(deisa::check_settings(&read_environment, environ));
  return report.conclude();
}

// Removes what dead simulations and analytics have left.
int clean() {
  constexpr double kSeconds = 120;
  const deisa::Control::Settings settings = control_settings();
  const deisa::Deadline deadline = deisa::Deadline::after(kSeconds);
  const auto control = deisa::Control::start(settings);
  control->connect(deadline);
  const auto reply = nlohmann::json::parse(control->run("clean", R"({"deadline": 100})", deadline));
  if (reply.contains("error")) {
    std::fprintf(stderr, "deisa-info: %s\n", reply.at("error").get<std::string>().c_str());
    return 1;
  }
  for (const auto& done : reply.at("done")) std::printf("%s\n", done.get<std::string>().c_str());
  for (const auto& kept : reply.at("kept")) {
    std::printf("left alone: %s\n", kept.get<std::string>().c_str());
  }
  if (reply.at("done").empty() && reply.at("kept").empty()) std::printf("nothing is left\n");
  return reply.at("kept").empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  bool look_for_cluster = true, cleans = false, shows_status = false;
  std::vector<std::string> of_status;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--no-cluster") {
      look_for_cluster = false;
    } else if (argument == "--clean") {
      cleans = true;
    } else if (argument == "--status") {
      shows_status = true;
    } else if (argument == "--watch" || argument == "--json" || argument == "--prometheus") {
      of_status.push_back(argument);
    } else if (argument == "--version") {
      std::printf("%s\n", deisa_version());
      return 0;
    } else if (argument == "--settings") {
      std::fputs(deisa::settings_markdown().c_str(), stdout);
      return 0;
    } else if (argument == "--help") {
      std::fputs(kUsage, stdout);
      return 0;
    } else {
      std::fprintf(stderr, "deisa-info: unknown argument %s\n%s", argv[i], kUsage);
      return 2;
    }
  }
  if (!of_status.empty() && !shows_status) {
    std::fprintf(stderr, "deisa-info: %s goes with --status\n%s", of_status.front().c_str(),
                 kUsage);
    return 2;
  }
  try {
    if (shows_status) deisa::show_status(control_settings(), of_status);
    return cleans ? clean() : report(look_for_cluster);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "deisa-info: %s\n", error.what());
    return 1;
  }
}
