#include "control/control_process.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/number.hpp"
#include "control/cluster.hpp"
#include "control/start_cache.hpp"

namespace deisa {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
// The process watches the deadline itself, and can say better what it waited for.
constexpr double kGraceSeconds = 2;
// Of its last lines, in a message: there is room for 4 KiB in a deisa_error.
constexpr size_t kShown = 2400;
constexpr size_t kShownOfLine = 200;

const char* language(ControlKind kind) { return kind == ControlKind::kJava ? "java" : "python"; }

std::string seconds_text(double seconds) {
  return fixed_text(seconds, seconds < 10 ? 1 : 0) + " s";
}

// The end of the lines, without half a line or half a character at its beginning.
std::string shown(const std::string& lines) {
  if (lines.size() <= kShown) return lines;
  const std::string end = lines.substr(lines.size() - kShown);
  const size_t line = end.find('\n');
  return "[...]" + (line == std::string::npos ? "" : end.substr(line));
}

// Printable, and not too long.
std::string in_quotes(const std::string& text) {
  std::string result = "\"";
  for (const char c : text.substr(0, kShownOfLine)) {
    result += c >= ' ' && c <= '~' ? c : '?';
  }
  return result + (text.size() > kShownOfLine ? "\"..." : "\"");
}

// As JSON; a path need not be UTF-8.
std::string text_of(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

deisa_status status_of_kind(const std::string& kind) {
  return kind == "argument"      ? DEISA_ERROR_ARGUMENT
         : kind == "contract"    ? DEISA_ERROR_CONTRACT
         : kind == "timeout"     ? DEISA_ERROR_TIMEOUT
         : kind == "unsupported" ? DEISA_ERROR_UNSUPPORTED
         : kind == "internal"    ? DEISA_ERROR_INTERNAL
                                 : DEISA_ERROR_CONNECTION;
}

ControlProcess::ControlProcess(Places places, Launch launch, const Settings& settings)
    : places_(std::move(places)),
      launch_(std::move(launch)),
      settings_(settings),
      child_(launch_.command) {}

ControlProcess::~ControlProcess() {
  if (!child_.is_ours()) return;
  child_.end(false);
  drop_class_archive(launch_.archive);
}

TraceSpan ControlProcess::span(const char* what) const {
  static const std::string no_array;
  return {settings_.trace.get(), what, settings_.rank, no_array, DEISA_NO_TIMESTEP};
}

// "Joining Ray at h:1: the control process (java, process 12) was killed by signal 9 (SIGKILL)."
void ControlProcess::fail(deisa_status status, const std::string& what, const std::string& how) {
  child_.end(false);
  const std::string lines = child_.last_lines();
  const bool aborted = connecting_ && status == DEISA_ERROR_CONNECTION;
  const std::string cause = explain(launch_, how, lines, aborted);
  std::string text = what + ": the control process (" + launch_.command.arguments.front() +
                     ", process " + std::to_string(child_.id()) + ") " + how + ".";
  text += "\n" + cause;
  if (lines.empty()) {
    text += "\nIt printed nothing.";
  } else {
    text += "\nThe last lines that it printed:\n" + shown(lines);
  }
  throw Error(status, text);
}

// Writes `text` and returns the next line. `seconds`: the time it was given, for the message.
std::string ControlProcess::line(const std::string& what, const std::string& text,
                                 const Deadline& deadline, double seconds) {
  std::string line;
  switch (child_.ask(text, deadline, &line)) {
    case Child::Result::kLine:
      return line;
    case Child::Result::kEnded: {
      std::string how = child_.end(true);
      if (!line.empty()) how += ", in the middle of the line " + in_quotes(line);
      fail(DEISA_ERROR_CONNECTION, what, how);
    }
    case Child::Result::kTooLong:
      fail(DEISA_ERROR_CONNECTION, what,
           "sent a line of more than " + std::to_string(Child::kLongest >> 20) +
               " MiB: " + in_quotes(line));
    case Child::Result::kLate:
      break;
  }
  const std::string how = child_.end(false);
  const bool stopped = how.find("stopped") != std::string::npos;
  fail(DEISA_ERROR_TIMEOUT, what,
       "did not answer within " + seconds_text(seconds) + (stopped ? ": it " + how : ""));
}

std::string ControlProcess::wait_until_loaded(const Deadline& deadline) {
  const std::string name = std::string(launch_.kind == ControlKind::kJava ? "Java" : "Python") +
                           ", " + launch_.command.arguments.front();
  if (loaded_) return name;
  const auto traced = span("control: load");
  const std::string what = "Starting the control process";
  const std::string said = line(what, "", deadline, deadline.seconds());
  const json hello = json::parse(said, nullptr, false);
  const auto field = [&hello](const char* key) { return hello.value(key, json()); };
  if (!hello.is_object() || field("hello") != "deisa-control") {
    fail(DEISA_ERROR_CONNECTION, what, "said something else than it should: " + in_quotes(said));
  }
  if (field("version") != kVersion || field("language") != language(launch_.kind)) {
    fail(DEISA_ERROR_CONNECTION, what,
         "is another version's: " + in_quotes(said) + ". Reinstall deisa as a whole");
  }
  loaded_ = true;
  return name;
}

// Sends {"id":n, fields} and returns the result's text.
std::string ControlProcess::request(const std::string& what, std::string fields,
                                    const Deadline& deadline) {
  const double seconds = deadline.seconds();
  wait_until_loaded(deadline);
  const int id = ++last_id_;
  const std::string text = "{\"id\":" + std::to_string(id) + "," + std::move(fields) +
                           ",\"timeout\":" + json(std::max(0.001, deadline.seconds())).dump() +
                           "}\n";
  const std::string said =
      line(what, text, Deadline::after(deadline.seconds() + kGraceSeconds), seconds);
  const json reply = json::parse(said, nullptr, false);
  if (!reply.is_object() || reply.value("id", json()) != id ||
      reply.contains("result") == reply.contains("error")) {
    fail(DEISA_ERROR_CONNECTION, what, "answered with what is no reply: " + in_quotes(said));
  }
  if (reply.contains("result")) return reply["result"].dump();
  const json& error = reply["error"];
  const auto field = [&error](const char* key) {
    const json value = error.is_object() ? error.value(key, json()) : json();
    return value.is_string() ? value.get<std::string>() : std::string();
  };
  throw Error(status_of_kind(field("kind")), field("message"));
}

void ControlProcess::connect(const Deadline& deadline) {
  // While it loads: an address that is wrong is seen at once.
  const ClusterAddress address = find_cluster(places_, settings_.ray_address);
  check_reachable(address, deadline);
  check_session(places_, address);
  const std::string node_ip = find_node_ip(places_, address);
  wait_until_loaded(deadline);
  const auto traced = span("control: join Ray");
  connecting_ = true;
  try {
    request("Joining Ray at " + address.text(),
            "\"method\":\"connect\",\"address\":" + text_of(address.text()) + ",\"node_ip\":" +
                text_of(node_ip) + ",\"python_path\":" + text_of(launch_.python_path),
            deadline);
  } catch (const Error& error) {
    const std::string text = error.what();
    // Something answers there, so this is how Ray's Python says that a token is missing or wrong.
    if (text.find("Failed to connect to Ray cluster") == std::string::npos) throw;
    throw Error(error.status(),
                text +
                    "\nIf the cluster wants its token: put it into ~/.ray/auth_token (on the "
                    "cluster's head, `ray get-auth-token` prints it) or into RAY_AUTH_TOKEN, and "
                    "do not set RAY_AUTH_MODE.");
  }
  connecting_ = false;
}

std::string ControlProcess::run(const std::string& function, const std::string& request_text,
                                const Deadline& deadline) {
  return request(
      "Running " + function,
      "\"method\":\"run\",\"function\":" + text_of(function) + ",\"request\":" + request_text,
      deadline);
}

std::string ControlProcess::call(const std::string& actor, const std::string& method,
                                 const std::string& request_text, const Deadline& deadline) {
  const std::string reply =
      request("Calling " + method + " of the actor " + actor,
              "\"method\":\"call\",\"actor\":" + text_of(actor) +
                  ",\"actor_method\":" + text_of(method) + ",\"request\":" + request_text,
              deadline);
  if (!launch_.archive.empty()) keep_class_archive(std::exchange(launch_.archive, ""));
  return reply;
}

}  // namespace deisa
