#include "jvm/control.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <sstream>
#include <vector>

#include "jvm/cluster.hpp"
#include "jvm/host_state.hpp"
#include "jvm/java_text.hpp"
#include "jvm/jvm.hpp"
#include "jvm/locate.hpp"
#include "jvm/start_cache.hpp"

namespace deisa {
namespace {

constexpr const char* kPackage = "io.deisa.bridge.control.";
// Java watches the deadline itself, and can say better what it waited for.
constexpr double kGraceSeconds = 2;
constexpr double kCloseSeconds = 5;
constexpr const char* kReconnect = "RAY_gcs_rpc_server_reconnect_timeout_s";

Deadline with_grace(const Deadline& deadline) {
  return Deadline::after(deadline.seconds() + kGraceSeconds);
}

jlong milliseconds(const Deadline& deadline) {
  return std::max(jlong{1}, static_cast<jlong>(deadline.seconds() * 1000));
}

Jvm::Start how_to_start(const Places& places) {
  Jvm::Start start;
  start.libjvm = find_libjvm(places);
  const std::string ray_jar = find_ray_jar(places);
  start.options = {
      "-Djava.class.path=" + find_control_jar(places) + ":" + ray_jar,
      "-Xrs",  // leaves SIGHUP, SIGINT, SIGTERM and SIGQUIT to the simulation
      "-Xmx128m",
      "-XX:+UseSerialGC",
      "-XX:TieredStopAtLevel=1",
      "-XX:-UsePerfData",  // no files in /tmp/hsperfdata_<user>
      "-Xshare:auto",
      // Warnings not on stdout, which is the simulation's; none of an archive that does not fit.
      "-Xlog:disable",
      "-Xlog:all=warning,cds*=off:stderr",
      "--add-opens=java.base/java.nio=ALL-UNNAMED",
      "-Djava.awt.headless=true",
      "-Dlog4j2.disableJmx=true",
      "-Dlog4j.shutdownHookEnabled=false",
      // Unpacks a library, and leaves a folder in ~/.cache elsewhere.
      "-Djna.tmpdir=" + places.variable("TMPDIR").value_or("/tmp"),
  };
  if (java_version(start.libjvm) >= 24) {
    // Ray's libraries do what Java 24 began to warn of, on stderr.
    start.options.insert(start.options.end(), {"--enable-native-access=ALL-UNNAMED",
                                               "--sun-misc-unsafe-memory-access=allow"});
  }
  std::istringstream more(places.variable("DEISA_JVM_OPTIONS").value_or(""));
  for (std::string option; more >> option;) start.options.push_back(option);
  start.archive = use_class_archive(
      class_archive(cache_folder(places), start.libjvm, start.options), start.options);
  return start;
}

// A driver of Ray. Everything but `abandoned` is used on the JVM's thread only.
struct Connection {
  jobject control = nullptr;  // global reference; null when Ray has been left
  jmethodID prepare = nullptr, call = nullptr, close = nullptr;
  std::atomic<bool> abandoned{false};  // the caller of connect() did not wait for the end

  void leave(JNIEnv* env) {
    if (control == nullptr) return;
    env->CallVoidMethod(control, close);
    env->ExceptionClear();
    env->DeleteGlobalRef(control);
    control = nullptr;
  }
};

// Never throws; bounded.
void leave_in_time(const std::shared_ptr<Connection>& connection) noexcept {
  try {
    Jvm::of_this_process().run(
        "Leaving Ray", [connection](JNIEnv* env) { connection->leave(env); },
        Deadline::after(kCloseSeconds));
  } catch (const std::exception&) {
    // Ray notices by itself when the process ends.
  }
}

// Leaves Ray when the process exits while a Control is alive: Ray's own handler for that would tear
// down a driver whose threads still run, and crash now and then. (Not upon _exit, a signal or
// abort.)
class AtExit {
 public:
  // Call after Ray's library has been initialised: handlers run in reverse order.
  static void watch(const std::shared_ptr<Connection>& connection) {
    AtExit& all = instance();
    const std::lock_guard<std::mutex> lock(all.mutex_);
    if (!all.registered_) all.registered_ = std::atexit([] { instance().leave_all(); }) == 0;
    all.connections_.erase(std::remove_if(all.connections_.begin(), all.connections_.end(),
                                          [](const auto& entry) { return entry.expired(); }),
                           all.connections_.end());
    all.connections_.push_back(connection);
  }

 private:
  static AtExit& instance() {
    static AtExit* const all = new AtExit;  // outlives every handler
    return *all;
  }

  void leave_all() {
    std::vector<std::weak_ptr<Connection>> connections;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      connections.swap(connections_);
    }
    for (const auto& entry : connections) {
      if (const auto connection = entry.lock()) leave_in_time(connection);
    }
  }

  std::mutex mutex_;
  std::vector<std::weak_ptr<Connection>> connections_;
  bool registered_ = false;
};

// Throws what a pending Java exception says, as the Java side classifies it.
void check_control(JNIEnv* env, const Jvm& jvm) {
  jthrowable exception = env->ExceptionOccurred();
  if (exception == nullptr) return;
  env->ExceptionClear();
  jclass classifier = jvm.load(env, std::string(kPackage) + "ControlException");
  jmethodID status_of = env->GetStaticMethodID(classifier, "statusOf", "(Ljava/lang/Throwable;)I");
  check_exception(env, "finding statusOf");
  jmethodID message_of =
      env->GetStaticMethodID(classifier, "messageOf", "(Ljava/lang/Throwable;)Ljava/lang/String;");
  check_exception(env, "finding messageOf");
  const jint status = env->CallStaticIntMethod(classifier, status_of, exception);
  check_exception(env, "statusOf");
  auto message =
      static_cast<jstring>(env->CallStaticObjectMethod(classifier, message_of, exception));
  check_exception(env, "messageOf");
  throw Error(static_cast<deisa_status>(status), from_java(env, message));
}

void redirect_output(JNIEnv* env, const Jvm& jvm, const std::string& file) {
  jclass output = jvm.load(env, std::string(kPackage) + "Output");
  jmethodID redirect = env->GetStaticMethodID(output, "redirect", "(Ljava/lang/String;)V");
  check_exception(env, "finding Output.redirect");
  env->CallStaticVoidMethod(output, redirect, to_java(env, file));
  if (env->ExceptionCheck()) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "DEISA_JVM_LOG: " + file + " cannot be written: " + take_exception(env));
  }
}

// Loads Ray's library, from `cache` if that is not "".
// Until Ray knows its log folder it logs to stderr, and no variable turns that off. The threshold
// is exported by Ray's library: unless `loud`, set it, if it is what we know it to be.
void load_library(JNIEnv* env, const Jvm& jvm, const std::string& cache, bool loud) {
  jclass control = jvm.load(env, std::string(kPackage) + "Control");
  jmethodID load =
      env->GetStaticMethodID(control, "loadLibrary", "(Ljava/lang/String;)Ljava/lang/String;");
  check_exception(env, "finding Control.loadLibrary");
  auto path = static_cast<jstring>(env->CallStaticObjectMethod(control, load, to_java(env, cache)));
  check_control(env, jvm);
  if (loud) return;
  // Among the global symbols, if Ray has loaded it by itself.
  const std::string file = from_java(env, path);
  void* library = file.empty() ? nullptr : ::dlopen(file.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  constexpr int kInfo = 0, kFatal = 3;  // ray::RayLogLevel
  auto* threshold = static_cast<int*>(
      ::dlsym(library == nullptr ? RTLD_DEFAULT : library, "_ZN3ray6RayLog19severity_threshold_E"));
  if (threshold != nullptr && *threshold == kInfo) *threshold = kFatal;
  if (library != nullptr) ::dlclose(library);  // Java keeps it
}

bool is_in_ray(JNIEnv* env, const Jvm& jvm) {
  jclass control = jvm.load(env, std::string(kPackage) + "Control");
  jmethodID asks = env->GetStaticMethodID(control, "isInRay", "()Z");
  check_exception(env, "finding Control.isInRay");
  const bool answer = env->CallStaticBooleanMethod(control, asks) == JNI_TRUE;
  check_control(env, jvm);
  return answer;
}

// In a Java simulation: makes Ray's classes known, from `ray_jar` if they are not on its class
// path. Throws `missing` when there is neither.
void load_ray(JNIEnv* env, Jvm& jvm, const std::string& ray_jar, const Error& missing) {
  jclass loader = jvm.load(env, std::string(kPackage) + "RayLoader");
  jmethodID choose =
      env->GetStaticMethodID(loader, "choose", "(Ljava/lang/String;)Ljava/lang/ClassLoader;");
  check_exception(env, "finding RayLoader.choose");
  jobject chosen = env->CallStaticObjectMethod(loader, choose, to_java(env, ray_jar));
  check_exception(env, "RayLoader.choose");
  if (chosen == nullptr) throw missing;
  jvm.use_loader(env, chosen);
}

// Shared with the JVM's thread, which may go on when nobody waits for it any more.
struct Tracing {
  std::shared_ptr<Trace> trace;
  int rank = 0;

  TraceSpan span(const char* what) const {
    static const std::string no_array;
    return {trace.get(), what, rank, no_array, DEISA_NO_TIMESTEP};
  }
};

struct Target {
  Tracing tracing;
  std::string address, python_path, node_ip;
  std::string cache;   // see start_cache.hpp
  bool token = false;  // tell Ray to use its token
};

Target find_target(const Places& places, const std::string& given, const Deadline& deadline) {
  Target target;
  const ClusterAddress address = find_cluster(places, given);
  check_reachable(address, deadline);
  target.address = address.text();
  target.node_ip = find_node_ip(places, address);
  target.token = needs_token_mode(places);
  return target;
}

void join(JNIEnv* env, const Jvm& jvm, const Target& target,
          const std::shared_ptr<Connection>& joined) {
  Connection& connection = *joined;
  jclass control = jvm.load(env, std::string(kPackage) + "Control");
  jmethodID connect = env->GetStaticMethodID(
      control, "connect",
      "(Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;)Lio/deisa/bridge/control/Control;");
  check_exception(env, "finding Control.connect");
  const char* request = "(Ljava/lang/String;J)Ljava/lang/String;";
  connection.prepare = env->GetMethodID(control, "prepare", request);
  check_exception(env, "finding Control.prepare");
  connection.call = env->GetMethodID(
      control, "call",
      "(Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;J)Ljava/lang/String;");
  check_exception(env, "finding Control.call");
  connection.close = env->GetMethodID(control, "close", "()V");
  check_exception(env, "finding Control.close");

  // Ray's native library reads these when it is loaded and while it starts.
  const SignalHandlers handlers;
  const bool loud = std::getenv("RAY_BACKEND_LOG_LEVEL") != nullptr;
  std::optional<ScopedVariable> quiet;
  std::optional<ScopedVariable> token;
  std::optional<ScopedVariable> patience;
  if (!loud) quiet.emplace("RAY_BACKEND_LOG_LEVEL", "fatal");
  if (target.token) token.emplace("RAY_AUTH_MODE", "token");
  // A minute after the cluster has died, a driver's library ends the process, which is the
  // simulation.
  if (std::getenv(kReconnect) == nullptr) patience.emplace(kReconnect, "1000000");
  if (!is_in_ray(env, jvm)) {
    const auto traced = target.tracing.span("Java: load Ray's library");
    load_library(env, jvm, target.cache, loud);
  }

  const auto traced = target.tracing.span("Java: Ray.init");
  jobject made =
      env->CallStaticObjectMethod(control, connect, to_java(env, target.address),
                                  to_java(env, target.python_path), to_java(env, target.node_ip));
  check_control(env, jvm);
  connection.control = env->NewGlobalRef(made);
  if (connection.abandoned) {
    connection.leave(env);
  } else {
    AtExit::watch(joined);
  }
}

class JavaControl : public Control {
 public:
  JavaControl(Jvm& jvm, std::shared_ptr<Connection> connection, Tracing tracing)
      : jvm_(jvm), connection_(std::move(connection)), tracing_(std::move(tracing)) {}

  ~JavaControl() override {
    leave_in_time(connection_);
    if (!used_) return;
    const auto traced = tracing_.span("Java: keep its classes");
    jvm_.keep_classes();
  }

  std::string prepare(const std::string& request, const Deadline& deadline) override {
    return ask("Preparing the node actor", deadline,
               [request, deadline](JNIEnv* env, const Connection& connection) {
                 return env->CallObjectMethod(connection.control, connection.prepare,
                                              to_java(env, request), milliseconds(deadline));
               });
  }

  std::string call(const std::string& actor, const std::string& method, const std::string& request,
                   const Deadline& deadline) override {
    const std::string what = "Calling " + method + " of the actor " + actor;
    std::string reply =
        ask(what, deadline,
            [actor, method, request, deadline](JNIEnv* env, const Connection& connection) {
              return env->CallObjectMethod(connection.control, connection.call, to_java(env, actor),
                                           to_java(env, method), to_java(env, request),
                                           milliseconds(deadline));
            });
    used_ = true;
    return reply;
  }

 private:
  template <typename Call>
  std::string ask(const std::string& what, const Deadline& deadline, Call call) {
    auto reply = std::make_shared<std::string>();
    jvm_.run(
        what,
        [reply, call, connection = connection_, &jvm = jvm_](JNIEnv* env) {
          const LocalFrame frame(env);
          if (connection->control == nullptr)
            throw Error(DEISA_ERROR_CONNECTION, "Ray has been left.");
          auto text = static_cast<jstring>(call(env, *connection));
          check_control(env, jvm);
          *reply = from_java(env, text);
        },
        with_grace(deadline));
    return *reply;
  }

  Jvm& jvm_;
  std::shared_ptr<Connection> connection_;
  Tracing tracing_;
  bool used_ = false;  // Java has loaded what a start needs
};

}  // namespace

std::unique_ptr<Control> Control::connect(const Settings& settings, const Deadline& deadline) {
  const Places places = Places::of_this_process(settings.variables);
  Jvm& jvm = Jvm::of_this_process();
  const Tracing tracing{settings.trace, settings.rank};
  Target target;
  // Before Java is started, since that takes longer than to see that nothing answers.
  const bool java_first = Jvm::is_there() && !jvm.is_ours();
  if (!java_first) target = find_target(places, settings.ray_address, deadline);

  {
    const auto traced = tracing.span("Java: start the JVM");
    jvm.ensure([&places] { return how_to_start(places); }, deadline);
  }
  std::string ray_jar;
  Error missing(DEISA_ERROR_CONNECTION, "");
  try {
    ray_jar = find_ray_jar(places);
  } catch (const Error& error) {
    if (jvm.is_ours()) throw;
    missing = error;  // unless it is on the class path
  }
  if (java_first) {
    auto joined = std::make_shared<bool>(false);
    jvm.run(
        "Asking Java for Ray",
        [joined, ray_jar, missing, &jvm](JNIEnv* env) {
          const LocalFrame frame(env);
          load_ray(env, jvm, ray_jar, missing);
          *joined = is_in_ray(env, jvm);
        },
        deadline);
    if (!*joined) target = find_target(places, settings.ray_address, deadline);
  }
  target.tracing = tracing;
  target.python_path = find_python_path(places, ray_jar);
  target.cache = cache_folder(places);

  auto connection = std::make_shared<Connection>();
  const std::string log = places.variable("DEISA_JVM_LOG").value_or("");
  const std::string what = "Joining Ray" + (target.address.empty() ? "" : " at " + target.address);
  try {
    jvm.run(
        what,
        [connection, target, log, &jvm](JNIEnv* env) {
          const LocalFrame frame(env);
          if (jvm.is_ours()) redirect_output(env, jvm, log);
          join(env, jvm, target, connection);
        },
        deadline);
  } catch (const Error&) {
    connection->abandoned = true;
    throw;
  }
  return std::make_unique<JavaControl>(jvm, std::move(connection), tracing);
}

}  // namespace deisa
