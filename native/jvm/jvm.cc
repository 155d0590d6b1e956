#include "jvm/jvm.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

#include "jvm/host_state.hpp"
#include "jvm/java_text.hpp"
#include "jvm/start_cache.hpp"

namespace deisa {
namespace {

using CreateJvm = jint(JNICALL*)(JavaVM**, void**, void*);
using GetJvms = jint(JNICALL*)(JavaVM**, jsize, jsize*);

constexpr double kKeepSeconds = 30;
constexpr size_t kStackBytes = size_t{8} << 20;

// What the JVM says while it starts, instead of on stderr. It calls back from several threads.
std::mutex said_mutex;
std::string* said = nullptr;

jint JNICALL listen(FILE* stream, const char* format, va_list arguments) {
  const std::lock_guard<std::mutex> lock(said_mutex);
  if (said == nullptr) return std::vfprintf(stream, format, arguments);
  char line[1024];
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  *said += line;
  return length;
}

std::string dl_message() {
  const char* message = ::dlerror();
  return message == nullptr ? "unknown reason" : message;
}

// A library's function. dlsym returns an object pointer, POSIX lets it be converted.
template <typename Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(::dlsym(library, name));
}

JavaVM* running_jvm() {
  // Loaded already, by the java launcher, by a program that embeds Java, or by us; under its soname
  // if not among the global symbols.
  auto get = symbol<GetJvms>(RTLD_DEFAULT, "JNI_GetCreatedJavaVMs");
  void* library = nullptr;
  if (get == nullptr) {
    library = ::dlopen("libjvm.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library != nullptr) get = symbol<GetJvms>(library, "JNI_GetCreatedJavaVMs");
  }
  JavaVM* vm = nullptr;
  jsize count = 0;
  if (get != nullptr && (get(&vm, 1, &count) != JNI_OK || count == 0)) vm = nullptr;
  if (library != nullptr) ::dlclose(library);
  return vm;
}

JNIEnv* create(const Jvm::Start& start) {
  // Local: the symbols of the JVM and its libraries stay out of the simulation's way. Its own
  // libraries find it by its soname.
  void* library = ::dlopen(start.libjvm.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw Error(DEISA_ERROR_CONNECTION,
                "Java's " + start.libjvm + " cannot be loaded: " + dl_message());
  }
  const auto create_jvm = symbol<CreateJvm>(library, "JNI_CreateJavaVM");
  if (create_jvm == nullptr) {
    throw Error(DEISA_ERROR_CONNECTION,
                start.libjvm + " is not a Java virtual machine: " + dl_message());
  }

  std::vector<JavaVMOption> options;
  options.push_back({const_cast<char*>("vfprintf"), reinterpret_cast<void*>(&listen)});
  for (const std::string& option : start.options) {
    options.push_back({const_cast<char*>(option.c_str()), nullptr});
  }
  JavaVMInitArgs arguments{};
  arguments.version = JNI_VERSION_10;
  arguments.nOptions = static_cast<jint>(options.size());
  arguments.options = options.data();
  arguments.ignoreUnrecognized = JNI_FALSE;

  // The signal that the JVM suspends threads with: SIGUSR2, unless it is told otherwise.
  int suspend_signal = SIGUSR2;
  std::unique_ptr<ScopedVariable> moved;
  if (const char* chosen = std::getenv("_JAVA_SR_SIGNUM")) {
    suspend_signal = std::atoi(chosen);
  } else if (const int unused = unused_signal()) {
    suspend_signal = unused;
    moved = std::make_unique<ScopedVariable>("_JAVA_SR_SIGNUM", std::to_string(unused));
  }
  const SignalHandlers handlers(suspend_signal);  // puts the others back at the end

  std::string output;
  {
    const std::lock_guard<std::mutex> lock(said_mutex);
    said = &output;
  }
  JavaVM* vm = nullptr;
  void* env = nullptr;
  const jint status = create_jvm(&vm, &env, &arguments);
  {
    const std::lock_guard<std::mutex> lock(said_mutex);
    said = nullptr;
  }
  if (status != JNI_OK) {
    throw Error(DEISA_ERROR_CONNECTION,
                "Java (" + start.libjvm + ") did not start, status " + std::to_string(status) +
                    (output.empty() ? "" : ": " + output) +
                    "\nCheck DEISA_JVM_OPTIONS, and the memory limits of the rank.");
  }
  return static_cast<JNIEnv*>(env);
}

// The calling thread as Java sees it.
struct CurrentThread {
  explicit CurrentThread(JNIEnv* env) {
    jclass thread_class = env->FindClass("java/lang/Thread");
    check_exception(env, "finding Thread");
    jmethodID current =
        env->GetStaticMethodID(thread_class, "currentThread", "()Ljava/lang/Thread;");
    check_exception(env, "finding currentThread");
    get_loader =
        env->GetMethodID(thread_class, "getContextClassLoader", "()Ljava/lang/ClassLoader;");
    check_exception(env, "finding getContextClassLoader");
    set_loader =
        env->GetMethodID(thread_class, "setContextClassLoader", "(Ljava/lang/ClassLoader;)V");
    check_exception(env, "finding setContextClassLoader");
    object = env->CallStaticObjectMethod(thread_class, current);
    check_exception(env, "asking for the thread");
  }
  void use_loader(JNIEnv* env, jobject loader) const {
    env->CallVoidMethod(object, set_loader, loader);
    check_exception(env, "setting the thread's class loader");
  }

  jobject object;
  jmethodID get_loader, set_loader;
};

}  // namespace

struct Jvm::State {
  struct Job {
    std::string what;
    std::function<void(JNIEnv*)> work;
    std::exception_ptr failure;
    bool done = false;
  };

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<Job>> waiting;
  std::shared_ptr<Job> running;
  std::string overdue;  // what is running though nobody waits for it any more
  bool thread_started = false;
  pthread_t thread{};

  // Written on the JVM's thread, before the job that does so ends.
  JNIEnv* env = nullptr;
  bool ours = false;
  jobject loader = nullptr;  // global reference, or null
  std::string archive;       // to be made, or ""

  void serve() {
    block_signals_of_this_thread();
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !waiting.empty(); });
      running = waiting.front();
      waiting.pop_front();
      const std::shared_ptr<Job> job = running;
      lock.unlock();
      try {
        job->work(env);
      } catch (...) {
        job->failure = std::current_exception();
      }
      job->work = nullptr;  // what it owns ends here, not on a thread that gave up waiting
      lock.lock();
      job->done = true;
      running = nullptr;
      overdue.clear();
      changed.notify_all();
    }
  }

  // Called with the mutex held.
  void start_thread() {
    if (thread_started) return;
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    ::pthread_attr_setstacksize(&attributes, kStackBytes);
    int failed = 0;
    {
      const BlockedSignals blocked;
      failed = ::pthread_create(
          &thread, &attributes,
          [](void* state) -> void* {
            static_cast<State*>(state)->serve();
            return nullptr;
          },
          this);
    }
    ::pthread_attr_destroy(&attributes);
    if (failed != 0) {
      throw Error(DEISA_ERROR_RESOURCE, "The thread for Java cannot be made: error " +
                                            std::to_string(failed) + " of pthread_create.");
    }
    ::pthread_setname_np(thread, "deisa-control");
    thread_started = true;
  }
};

Jvm::Jvm() : state_(std::make_shared<State>()) {}

Jvm& Jvm::of_this_process() {
  // Never destroyed: its thread and the JVM outlive main().
  static Jvm* const jvm = new Jvm;
  return *jvm;
}

bool Jvm::is_there() { return running_jvm() != nullptr; }

bool Jvm::is_ours() const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->ours;
}

void Jvm::run(const std::string& what, std::function<void(JNIEnv*)> work,
              const Deadline& deadline) {
  State& state = *state_;
  const auto job = std::make_shared<State::Job>();
  job->what = what;
  job->work = std::move(work);

  std::unique_lock<std::mutex> lock(state.mutex);
  if (state.thread_started && ::pthread_equal(::pthread_self(), state.thread)) {
    // As when something on this thread calls exit().
    throw Error(DEISA_ERROR_INTERNAL, what + ": asked on Java's own thread.");
  }
  if (!state.overdue.empty()) {
    throw Error(DEISA_ERROR_TIMEOUT,
                what +
                    ": Java's thread is still busy with an earlier call that did not "
                    "return in time: " +
                    state.overdue + ".");
  }
  state.start_thread();
  state.waiting.push_back(job);
  state.changed.notify_all();
  while (!job->done) {
    if (state.changed.wait_until(lock, deadline.time_point()) == std::cv_status::timeout &&
        !job->done) {
      std::string behind;
      if (state.running == job) {
        state.overdue = what;
      } else {
        if (state.running) behind = " (it waited for its turn after " + state.running->what + ")";
        for (auto entry = state.waiting.begin(); entry != state.waiting.end(); ++entry) {
          if (*entry == job) {
            state.waiting.erase(entry);
            break;
          }
        }
      }
      throw Error(DEISA_ERROR_TIMEOUT, what + " did not return in time" + behind + ".");
    }
  }
  lock.unlock();
  if (job->failure) std::rethrow_exception(job->failure);
}

void Jvm::ensure(const std::function<Start()>& start, const Deadline& deadline) {
  State& state = *state_;
  {
    const std::lock_guard<std::mutex> lock(state.mutex);
    if (state.env != nullptr) return;
  }
  JavaVM* const there = running_jvm();
  if (there == nullptr) {
    const Start how = start();
    run(
        "Starting Java",
        [&state, how](JNIEnv* env) {
          if (env != nullptr) return;
          JNIEnv* made = create(how);
          const std::lock_guard<std::mutex> lock(state.mutex);
          state.ours = true;
          state.env = made;
          state.archive = how.archive;
        },
        deadline);
    return;
  }
  // A Java simulation: its thread's context class loader knows the classes of its class path.
  jobject loader = nullptr;
  void* caller = nullptr;
  if (there->GetEnv(&caller, JNI_VERSION_10) == JNI_OK) {
    auto* env = static_cast<JNIEnv*>(caller);
    const LocalFrame frame(env);
    const CurrentThread thread(env);
    jobject found = env->CallObjectMethod(thread.object, thread.get_loader);
    check_exception(env, "asking for the thread's class loader");
    if (found != nullptr) loader = env->NewGlobalRef(found);
  }
  run(
      "Attaching to the JVM",
      [&state, there, loader](JNIEnv* env) {
        if (env != nullptr) return;
        void* attached = nullptr;
        JavaVMAttachArgs arguments{JNI_VERSION_10, const_cast<char*>("deisa-control"), nullptr};
        const jint status = there->AttachCurrentThreadAsDaemon(&attached, &arguments);
        if (status != JNI_OK) {
          throw Error(DEISA_ERROR_CONNECTION,
                      "A thread cannot be attached to the JVM of this process: status " +
                          std::to_string(status) + ".");
        }
        auto* made = static_cast<JNIEnv*>(attached);
        if (loader != nullptr) CurrentThread(made).use_loader(made, loader);
        const std::lock_guard<std::mutex> lock(state.mutex);
        state.env = made;
        state.loader = loader;
      },
      deadline);
}

void Jvm::keep_classes() noexcept {
  try {
    std::string archive;
    {
      const std::lock_guard<std::mutex> lock(state_->mutex);
      archive.swap(state_->archive);
    }
    if (archive.empty()) return;
    run(
        "Keeping Java's classes", [archive](JNIEnv* env) { make_class_archive(env, archive); },
        Deadline::after(kKeepSeconds));
  } catch (const std::exception&) {
    // The next start takes as long as this one.
  }
}

jclass Jvm::load(JNIEnv* env, const std::string& name) const {
  jclass loader_class = env->FindClass("java/lang/ClassLoader");
  check_exception(env, "finding ClassLoader");
  jobject loader = state_->loader;
  if (loader == nullptr) {
    jmethodID system =
        env->GetStaticMethodID(loader_class, "getSystemClassLoader", "()Ljava/lang/ClassLoader;");
    check_exception(env, "finding getSystemClassLoader");
    loader = env->CallStaticObjectMethod(loader_class, system);
    check_exception(env, "getSystemClassLoader");
  }
  jmethodID load_class =
      env->GetMethodID(loader_class, "loadClass", "(Ljava/lang/String;)Ljava/lang/Class;");
  check_exception(env, "finding loadClass");
  auto loaded = static_cast<jclass>(env->CallObjectMethod(loader, load_class, to_java(env, name)));
  if (env->ExceptionCheck()) {
    throw Error(DEISA_ERROR_CONNECTION, "Java cannot load the class " + name + " (" +
                                            take_exception(env) +
                                            "): add deisa-bridge.jar to the class path of the "
                                            "program.");
  }
  return loaded;
}

void Jvm::use_loader(JNIEnv* env, jobject loader) {
  CurrentThread(env).use_loader(env, loader);
  jobject kept = env->NewGlobalRef(loader);
  const std::lock_guard<std::mutex> lock(state_->mutex);
  std::swap(kept, state_->loader);
  if (kept != nullptr) env->DeleteGlobalRef(kept);
}

}  // namespace deisa
