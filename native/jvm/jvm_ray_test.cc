// Control against a running Ray cluster (DEISA_TEST_RAY_ADDRESS). Each test runs one scenario in a
// fresh process, since a process has one JVM for good, and looks at its exit status and all it
// printed.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <jni.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "base/file_descriptor.hpp"
#include "jvm/control.hpp"
#include "jvm/host_state.hpp"
#include "jvm/jvm.hpp"
#include "jvm/locate.hpp"

namespace deisa {
namespace {

namespace fs = std::filesystem;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string address() {
  const char* value = std::getenv("DEISA_TEST_RAY_ADDRESS");
  if (value == nullptr)
    throw std::runtime_error("DEISA_TEST_RAY_ADDRESS is not set: host:port of a Ray cluster");
  return value;
}

// ---- Within a scenario -------------------------------------------------------------------------

void expect(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error("expected: " + what);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Runs `action`, which must throw an Error with this status; returns its message.
std::string error_of(deisa_status status, const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    expect(error.status() == status, "status " + std::to_string(status) + ", not " +
                                         std::to_string(error.status()) + ": " + error.what());
    return error.what();
  }
  throw std::runtime_error("expected an Error");
}

std::unique_ptr<Control> join() { return Control::connect({address()}, Deadline::after(60)); }

volatile sig_atomic_t usr2_seen = 0, pipe_seen = 0, elsewhere = 0;
pthread_t main_thread;

void on_signal(int number) {
  if (!pthread_equal(pthread_self(), main_thread)) elsewhere = elsewhere + 1;
  if (number == SIGUSR2) usr2_seen = usr2_seen + 1;
  if (number == SIGPIPE) pipe_seen = pipe_seen + 1;
}

// Touches `frames` MiB of the calling thread's stack.
int use_stack(int frames) {
  std::array<char, 1 << 20> frame;
  for (size_t i = 0; i < frame.size(); i += 4096) {
    *const_cast<volatile char*>(&frame[i]) = static_cast<char>(frames);
  }
  const int below = frames > 1 ? use_stack(frames - 1) : 0;
  return below + *const_cast<volatile char*>(&frame[0]);
}

// The folders with an unpacked library: Ray's own, and ours.
std::set<std::string> unpacked() {
  std::set<std::string> folders;
  for (const char* parent : {"/tmp/ray", "/tmp"}) {
    std::error_code error;
    for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
         entry.increment(error)) {
      if (fs::exists(entry->path() / "libcore_worker_library_java.so", error) ||
          entry->path().filename().string().rfind("deisa-ray-", 0) == 0) {
        folders.insert(entry->path().string());
      }
    }
  }
  return folders;
}

void whole_life() {
  main_thread = pthread_self();
  std::array<struct sigaction, NSIG> before{};
  std::signal(SIGUSR2, on_signal);
  std::signal(SIGPIPE, on_signal);
  for (int number = 1; number < NSIG; ++number)
    sigaction(number, nullptr, &before[static_cast<size_t>(number)]);
  const auto unpacked_before = unpacked();

  auto control = join();
  // What a request carries arrives as it is: quotes, line ends, and all of Unicode.
  const std::string reply =
      control->prepare("{\"text\": \"\\\"\xc3\xa9\xf0\x9d\x84\x9e\\n\"}", Deadline::after(60));
  expect(contains(reply, "\"text\": \"\\\"\xc3\xa9\xf0\x9d\x84\x9e\\n\""), "the text in " + reply);
  expect(contains(reply, "\"ray_node_id\": \""), "ray_node_id in " + reply);
  expect(contains(reply, "\"cpus\": 0"), "no CPUs in " + reply);

  expect(use_stack(100) != 1, "100 MiB of stack");

  for (int number = 1; number < NSIG; ++number) {
    struct sigaction after;
    if (sigaction(number, nullptr, &after) != 0) continue;
    if (number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL) continue;
    // One signal that nobody handled before may serve the JVM.
    const auto& was = before[static_cast<size_t>(number)];
    const bool taken = number > SIGRTMIN && number < SIGRTMAX && was.sa_handler == SIG_DFL;
    expect(taken || after.sa_handler == was.sa_handler,
           "the handler of signal " + std::to_string(number));
  }
  for (int i = 0; i < 50; ++i) {
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGPIPE);
  }
  expect(usr2_seen == 50 && pipe_seen == 50, "every signal, but " + std::to_string(usr2_seen) +
                                                 " and " + std::to_string(pipe_seen) + " came");
  // No thread of Java's takes a signal that the main thread is not ready for.
  {
    const BlockedSignals blocked;
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGPIPE);
    control->prepare("{}", Deadline::after(60));
    expect(usr2_seen == 50 && pipe_seen == 50, "signals that wait for the main thread");
  }
  expect(usr2_seen == 51 && pipe_seen == 51 && elsewhere == 0, "signals on the main thread only");

  const std::string actor = "echo-" + std::to_string(getpid());
  control->prepare("{\"actor\": \"" + actor + "\"}", Deadline::after(60));
  expect(control->call(actor, "echo", "{}", Deadline::after(60)) == "{}", "the actor's echo");
  error_of(DEISA_ERROR_CONNECTION,
           [&] { control->call(actor, "quit", "{}", Deadline::after(60)); });
  const std::string gone = error_of(
      DEISA_ERROR_CONNECTION, [&] { control->call("nobody", "echo", "{}", Deadline::after(60)); });
  expect(contains(gone, "no actor nobody"), "the actor's name in " + gone);

  control.reset();
  control = join();
  expect(contains(control->prepare("{}", Deadline::after(60)), "ray_node_id"),
         "a reply after the second connect");

  expect(unpacked() == unpacked_before, "nothing left in /tmp");
  expect(std::getenv("RAY_AUTH_MODE") == nullptr || std::getenv("DEISA_TEST_AUTH_MODE") != nullptr,
         "RAY_AUTH_MODE as it was");
  expect(std::getenv("RAY_BACKEND_LOG_LEVEL") == nullptr, "RAY_BACKEND_LOG_LEVEL as it was");
}

void failing_task() {
  const std::string text = error_of(
      DEISA_ERROR_CONNECTION, [] { join()->prepare("{\"fail\": \"boom\"}", Deadline::after(60)); });
  expect(contains(text, "prepare failed: ValueError: boom\n"), "the reason first in " + text);
  expect(contains(text, "in prepare"), "the traceback in " + text);
}

void slow_task() {
  auto control = join();
  const double begin = now();
  const std::string text = error_of(
      DEISA_ERROR_TIMEOUT, [&] { control->prepare("{\"sleep\": 20}", Deadline::after(1)); });
  expect(now() - begin < 3, "an end near the deadline");
  expect(contains(text, "prepare of deisa_bridge.control"), "the task's name in " + text);
  expect(contains(control->prepare("{}", Deadline::after(60)), "ray_node_id"),
         "a reply afterwards");
}

void stuck_thread() {
  auto control = join();
  auto end = std::make_shared<std::promise<void>>();
  const std::string text = error_of(DEISA_ERROR_TIMEOUT, [&] {
    Jvm::of_this_process().run(
        "Waiting", [end](JNIEnv*) { end->get_future().wait(); }, Deadline::after(0.2));
  });
  expect(contains(text, "Waiting did not return"), "the call's name in " + text);
  const double begin = now();
  const std::string next =
      error_of(DEISA_ERROR_TIMEOUT, [&] { control->prepare("{}", Deadline::after(20)); });
  expect(now() - begin < 1 && contains(next, "still busy"), "a refusal at once: " + next);
  end->set_value();
  Deadline soon = Deadline::after(20);
  for (;;) {  // the thread is of use again as soon as the call has ended
    try {
      control->prepare("{}", Deadline::after(20));
      return;
    } catch (const Error& error) {
      if (soon.expired() || !contains(error.what(), "still busy")) throw;
      std::this_thread::yield();
    }
  }
}

void dead_address() {
  const double begin = now();
  const std::string text = error_of(DEISA_ERROR_CONNECTION,
                                    [] { Control::connect({"127.0.0.1:1"}, Deadline::after(60)); });
  expect(now() - begin < 1, "an error at once");
  expect(contains(text, "127.0.0.1:1") && contains(text, "ray start --head"),
         "address and advice in " + text);
  expect(!Jvm::is_there(), "no JVM for nothing");
}

void bad_option() {
  setenv("DEISA_JVM_OPTIONS", "-XX:+NoSuchOption", 1);
  const std::string text = error_of(DEISA_ERROR_CONNECTION, [] { join(); });
  expect(contains(text, "NoSuchOption"), "what the JVM said in " + text);
}

// The process ends while it is a driver: no crash, no hang.
void early_exit() {
  join().release();
  std::exit(0);
}

// Runs `work` on a thread of a Java program: with a JVM that is there already.
void as_java_program(const std::string& class_path, const std::function<void()>& work) {
  std::thread([&] {
    const std::string path = "-Djava.class.path=" + class_path;
    expect(!Jvm::is_there(), "no JVM yet");
    void* library = dlopen(find_libjvm(Places::of_this_process()).c_str(), RTLD_NOW);
    auto create =
        reinterpret_cast<jint (*)(JavaVM**, void**, void*)>(dlsym(library, "JNI_CreateJavaVM"));
    std::array<JavaVMOption, 2> options{};
    options[0].optionString = const_cast<char*>(path.c_str());
    options[1].optionString = const_cast<char*>("--add-opens=java.base/java.nio=ALL-UNNAMED");
    JavaVMInitArgs arguments{JNI_VERSION_10, 2, options.data(), JNI_FALSE};
    JavaVM* vm = nullptr;
    void* env = nullptr;
    expect(create(&vm, &env, &arguments) == JNI_OK, "a JVM");
    work();
    static_cast<JNIEnv*>(env)->GetVersion();
    vm->DetachCurrentThread();
  }).join();
}

// Its JVM is used, its Ray and its signal handlers are left alone.
void use_ray_twice() {
  auto control = join();
  expect(contains(control->prepare("{}", Deadline::after(60)), "ray_node_id"), "a reply");
  expect(!Jvm::of_this_process().is_ours(), "the program's JVM");
  // A second one shares the first one's Ray, and does not take it away at its end.
  join().reset();
  expect(contains(control->prepare("{}", Deadline::after(60)), "ray_node_id"), "a reply");
  control.reset();
  // Ray can be joined again.
  expect(contains(join()->prepare("{}", Deadline::after(60)), "ray_node_id"), "a reply");
}

// Ray's jar is found where it is installed.
void java_program() { as_java_program(find_control_jar(Places::of_this_process()), use_ray_twice); }

void java_program_with_ray() {
  const Places places = Places::of_this_process();
  as_java_program(find_control_jar(places) + ":" + find_ray_jar(places), use_ray_twice);
}

void java_program_without_ray() {
  as_java_program(find_control_jar(Places::of_this_process()), [] {
    setenv("DEISA_RAY_JAR", "/nowhere/ray_dist.jar", 1);
    const std::string message = error_of(DEISA_ERROR_CONNECTION, [] { join(); });
    expect(contains(message, "DEISA_RAY_JAR /nowhere/ray_dist.jar: is not a file"), message);
  });
}

// Times of the start, for people.
void measure() {
  double begin = now();
  const Places places = Places::of_this_process();
  auto control = join();
  std::cout << "connect " << now() - begin;
  begin = now();
  control->prepare("{}", Deadline::after(60));
  std::cout << " s, prepare " << now() - begin;
  begin = now();
  control->prepare("{}", Deadline::after(60));
  std::cout << " s, again " << now() - begin;
  begin = now();
  control.reset();
  std::cout << " s, close " << now() - begin;
  begin = now();
  control = join();
  std::cout << " s, connect again " << now() - begin << " s\n";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (contains(line, "VmRSS") || contains(line, "VmHWM") || contains(line, "RssAnon") ||
        contains(line, "Threads"))
      std::cout << line << "\n";
  }
}

const std::map<std::string, void (*)()> kScenarios = {
    {"whole_life", whole_life},
    {"failing_task", failing_task},
    {"slow_task", slow_task},
    {"stuck_thread", stuck_thread},
    {"dead_address", dead_address},
    {"bad_option", bad_option},
    {"early_exit", early_exit},
    {"java_program", java_program},
    {"java_program_with_ray", java_program_with_ray},
    {"java_program_without_ray", java_program_without_ray},
    {"measure", measure},
};

int run_scenario(const std::string& name) {
  try {
    kScenarios.at(name)();
    return 0;
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << "\n";
    return 1;
  }
}

// ---- Around a scenario --------------------------------------------------------------------------

struct Outcome {
  int status;
  std::string output;  // all of stdout and stderr
};

Outcome run_process(const std::string& scenario) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {-1, "no pipe"};
  const pid_t child = fork();
  if (child == 0) {
    rlimit stack{size_t{256} << 20, RLIM_INFINITY};
    getrlimit(RLIMIT_STACK, &stack);
    stack.rlim_cur = size_t{256} << 20;
    setrlimit(RLIMIT_STACK, &stack);
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    execl("/proc/self/exe", "jvm_ray_test", "--scenario", scenario.c_str(), nullptr);
    _exit(127);
  }
  close(ends[1]);
  const FileDescriptor reading(ends[0]);
  Outcome outcome{-1, ""};
  const Deadline deadline = Deadline::after(100);
  std::array<char, 4096> buffer;
  for (;;) {
    pollfd waiting{reading.get(), POLLIN, 0};
    if (poll(&waiting, 1, deadline.poll_timeout()) <= 0) {
      kill(child, SIGKILL);
      outcome.output += "\n(killed: it did not end within 100 s)";
      break;
    }
    const ssize_t got = read(reading.get(), buffer.data(), buffer.size());
    if (got <= 0) break;
    outcome.output.append(buffer.data(), static_cast<size_t>(got));
  }
  int status = 0;
  waitpid(child, &status, 0);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return outcome;
}

class Scenario : public testing::TestWithParam<const char*> {};

TEST_P(Scenario, EndsWellAndPrintsNothing) {
  ASSERT_NE(std::getenv("DEISA_TEST_RAY_ADDRESS"), nullptr) << "host:port of a running Ray cluster";
  const Outcome outcome = run_process(GetParam());
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.output, "");
}

INSTANTIATE_TEST_SUITE_P(OwnJvm, Scenario,
                         testing::Values("whole_life", "failing_task", "slow_task", "stuck_thread",
                                         "dead_address", "bad_option", "early_exit"),
                         [](const auto& test) { return std::string(test.param); });

INSTANTIATE_TEST_SUITE_P(JavaProgram, Scenario,
                         testing::Values("java_program", "java_program_without_ray"),
                         [](const auto& test) { return std::string(test.param); });

// The start-up lines of a Ray on its own class path are the Java program's affair.
TEST(JavaProgram, UsesItsOwnRay) {
  ASSERT_NE(std::getenv("DEISA_TEST_RAY_ADDRESS"), nullptr) << "host:port of a running Ray cluster";
  const Outcome outcome = run_process("java_program_with_ray");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
}

}  // namespace
}  // namespace deisa

int main(int count, char** arguments) {
  if (count == 3 && std::strcmp(arguments[1], "--scenario") == 0) {
    return deisa::run_scenario(arguments[2]);
  }
  testing::InitGoogleTest(&count, arguments);
  return RUN_ALL_TESTS();
}
