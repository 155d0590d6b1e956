// ControlProcess with children that do what they should not: scripts of the shell, whose standard
// input is the socket.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "control/control_process.hpp"
#include "control/test_places.hpp"

namespace deisa {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kHello =
    "echo '{\"hello\":\"deisa-control\",\"version\":1,\"language\":\"java\"}' >&0; ";
// Answers each request with itself.
const std::string kEcho =
    "n=0; while read -r line; do n=$((n + 1)); printf '{\"id\":%d,\"result\":%s}\\n' $n \"$line\" "
    ">&0; done; ";

class ControlTest : public testing::Test {
 protected:
  Launch launch(const std::string& script) const {
    Launch how;
    how.command.arguments = {"/bin/sh", "-c", "ulimit -c 0; " + script};
    how.command.environment = environment_of_this_process();
    how.python_path = "/a/folder";
    return how;
  }
  std::unique_ptr<ControlProcess> start(const Launch& how) const {
    return std::make_unique<ControlProcess>(machine_.places, how, Control::Settings{});
  }
  std::unique_ptr<ControlProcess> start(const std::string& script) const {
    return start(launch(script));
  }
  // What starting it ends with, which must have this status.
  std::string failure(const std::string& script, deisa_status status = DEISA_ERROR_CONNECTION,
                      double seconds = 20) const {
    return error_with(status, [&] { start(script)->wait_until_loaded(Deadline::after(seconds)); });
  }
  Machine machine_;
};

std::string contents(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Whether a process is there and no zombie.
bool runs(const std::string& pid) {
  const std::string stat = contents("/proc/" + pid + "/stat");
  const size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat[name_end + 2] != 'Z';
}

bool within_seconds(const std::function<bool()>& condition) {
  const Deadline deadline = Deadline::after(20);
  while (!condition()) {
    if (deadline.expired()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

TEST_F(ControlTest, AnswersRequests) {
  const auto control = start(kHello + kEcho);
  const Deadline deadline = Deadline::after(20);
  EXPECT_THAT(control->wait_until_loaded(deadline), HasSubstr("Java, /bin/sh"));
  EXPECT_THAT(control->run("prepare", R"({"a":"\n\u00e9"})", deadline),
              AllOf(HasSubstr(R"("function":"prepare","id":1,"method":"run")"),
                    HasSubstr("\"request\":{\"a\":\"\\n\xc3\xa9\"}"), HasSubstr("\"timeout\":")));
  EXPECT_THAT(control->call("it", "finalise", "{}", deadline),
              AllOf(HasSubstr(R"("actor":"it","actor_method":"finalise","id":2)")));
}

TEST_F(ControlTest, JoinsAClusterThatAnswers) {
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  machine_.variables["RAY_ADDRESS"] = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  const std::string heard = machine_.path("heard");
  const auto control = start(kHello + "read -r line; echo \"$line\" >" + heard +
                             "; echo '{\"id\":1,\"result\":{}}' >&0");
  control->connect(Deadline::after(20));
  EXPECT_THAT(contents(heard),
              AllOf(HasSubstr("\"method\":\"connect\",\"address\":\"127.0.0.1:"),
                    HasSubstr("\"node_ip\":\"127.0.0.1\",\"python_path\":\"/a/folder\"")));
  // It ended before it had joined.
  EXPECT_THAT(
      error_with(
          DEISA_ERROR_CONNECTION,
          [&] { start(kHello + "read -r line; kill -ABRT $$")->connect(Deadline::after(20)); }),
      AllOf(HasSubstr("Joining Ray at 127.0.0.1:"), HasSubstr("signal 6 (SIGABRT)"),
            HasSubstr("the folder of Ray's session")));
}

TEST_F(ControlTest, SaysHowItEnded) {
  EXPECT_THAT(failure("exit 3"),
              AllOf(HasSubstr("Starting the control process: the control process (/bin/sh, "
                              "process "),
                    HasSubstr("exited with status 3"), HasSubstr("It printed nothing"),
                    HasSubstr("DEISA_CONTROL_LOG")));
  EXPECT_THAT(failure("kill -9 $$"), AllOf(HasSubstr("was killed by signal 9 (SIGKILL)"),
                                           HasSubstr("when memory ran out")));
  EXPECT_THAT(failure("exec 0<&-; sleep 100"), HasSubstr("closed its connection without ending"));
  EXPECT_THAT(failure("printf '{\"hello\"' >&0; exit 1"),
              AllOf(HasSubstr("status 1"), HasSubstr("in the middle of the line \"{\"hello\"\"")));
  EXPECT_THAT(failure("sleep 100", DEISA_ERROR_TIMEOUT, 0.1),
              HasSubstr("did not answer within 0.1 s."));
  EXPECT_THAT(failure("kill -STOP $$", DEISA_ERROR_TIMEOUT, 1),
              HasSubstr("did not answer within 1.0 s: it is stopped"));
}

TEST_F(ControlTest, RefusesWhatIsNotTheProtocol) {
  EXPECT_THAT(failure("echo 'Hello, world' >&0; sleep 100"), HasSubstr("\"Hello, world\""));
  EXPECT_THAT(failure("echo '{\"hello\":1}' >&0; sleep 100"), HasSubstr("something else"));
  EXPECT_THAT(failure("exec 3>&0; head -c 3000000 /dev/zero | tr '\\0' x >&3; sleep 100"),
              AllOf(HasSubstr("a line of more than 1 MiB"), HasSubstr("\"xxx")));
  EXPECT_THAT(
      failure(R"(echo '{"hello":"deisa-control","version":2,"language":"java"}' >&0; sleep 100)"),
      HasSubstr("is another version's"));
  EXPECT_THAT(
      failure(R"(echo '{"hello":"deisa-control","version":1,"language":"c"}' >&0; sleep 100)"),
      HasSubstr("is another version's"));
  for (const char* reply : {R"({"id":2,"result":{}})", R"({"id":1})", "[]", "\\377",
                            R"({"id":1,"result":1,"error":{}})"}) {
    const std::string script = kHello + "read -r line; printf '" + reply + "\\n' >&0; sleep 100";
    EXPECT_THAT(error_with(DEISA_ERROR_CONNECTION,
                           [&] { start(script)->run("f", "{}", Deadline::after(20)); }),
                AllOf(HasSubstr("Running f: "), HasSubstr("what is no reply")))
        << reply;
  }
}

TEST_F(ControlTest, PassesErrorsOn) {
  const std::pair<const char*, deisa_status> kinds[] = {
      {"\"kind\":\"timeout\",", DEISA_ERROR_TIMEOUT},
      {"\"kind\":\"connection\",", DEISA_ERROR_CONNECTION},
      {"\"kind\":\"unsupported\",", DEISA_ERROR_UNSUPPORTED},
      {"\"kind\":\"argument\",", DEISA_ERROR_ARGUMENT},
      {"\"kind\":\"internal\",", DEISA_ERROR_INTERNAL},
      {"", DEISA_ERROR_CONNECTION}};
  for (const auto& [kind, status] : kinds) {
    const auto control = start(kHello + "read -r line; echo '{\"id\":1,\"error\":{" + kind +
                               "\"message\":\"so it is\"}}' >&0; sleep 100");
    EXPECT_EQ(error_with(status, [&] { control->run("f", "{}", Deadline::after(20)); }),
              "so it is");
  }
}

TEST_F(ControlTest, ShowsTheLastLines) {
  const std::string message = failure(
      "i=0; while [ $i -lt 100 ]; do i=$((i + 1)); echo \"line $i\"; done; echo '\"last\"' >&2; "
      "exit 1");
  EXPECT_THAT(message, AllOf(HasSubstr("printed:\nline 62\n"), HasSubstr("line 100\n\"last\"")));
  const std::string much = failure("head -c 100000 /dev/zero | tr '\\0' x; echo; echo end; exit 1");
  EXPECT_LT(much.size(), 4000U);
  EXPECT_THAT(much, HasSubstr("[...]\nend"));
}

TEST_F(ControlTest, ReadsWhatItPrintsSoThatItGoesOn) {
  const auto control = start("head -c 1000000 /dev/zero; " + kHello + "sleep 100");
  EXPECT_NO_THROW(control->wait_until_loaded(Deadline::after(20)));
}

TEST_F(ControlTest, WritesTheLog) {
  Launch how = launch("echo one; echo two >&2; " + kHello);
  how.command.log = machine_.path("log");
  start(how)->wait_until_loaded(Deadline::after(20));
  start(how)->wait_until_loaded(Deadline::after(20));
  EXPECT_EQ(contents(how.command.log), "one\ntwo\none\ntwo\n");
  how.command.log = "/none/log";
  EXPECT_THAT(error_with(DEISA_ERROR_ARGUMENT, [&] { start(how); }),
              HasSubstr("DEISA_CONTROL_LOG: /none/log cannot be written: No such"));
}

// Beyond the limit of file sizes the system sends a signal that ends the process.
TEST_F(ControlTest, EndsTheLogAtTheLimitOfFileSizes) {
  Launch how = launch("echo one; echo two >&2; " + kHello);
  how.command.log = machine_.file("log", "full");
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit low = {4, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  start(how)->wait_until_loaded(Deadline::after(20));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(contents(how.command.log), "full");
}

TEST_F(ControlTest, SaysWhyItCannotBeStarted) {
  Launch how = launch("");
  how.command.arguments.front() = "/none/java";
  EXPECT_THAT(error_with(DEISA_ERROR_CONNECTION, [&] { start(how); }),
              HasSubstr("/none/java cannot be started: No such file"));
  how.command.arguments.front() = machine_.file("java", "#!/none\n");
  EXPECT_THAT(error_with(DEISA_ERROR_CONNECTION, [&] { start(how); }),
              HasSubstr("/java cannot be started: Permission denied"));
}

TEST_F(ControlTest, KillsItAndWhatItHasStarted) {
  const std::string pids = machine_.path("pids");
  auto control = start("sleep 1000 & echo $! $$ >" + pids + "; " + kHello + "read -r line; wait");
  control->wait_until_loaded(Deadline::after(20));
  std::istringstream text(contents(pids));
  std::string one, two;
  text >> one >> two;
  ASSERT_TRUE(runs(one) && runs(two));
  const auto begin = std::chrono::steady_clock::now();
  control.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_TRUE(within_seconds([&] { return !runs(one) && !runs(two); }));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no zombie";
}

TEST_F(ControlTest, IsLeftAloneByAForkedCopy) {
  auto control = start(kHello + kEcho);
  control->wait_until_loaded(Deadline::after(20));
  const pid_t copy = ::fork();
  if (copy == 0) {
    control.reset();
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  EXPECT_EQ(status, 0);
  EXPECT_NO_THROW(control->run("f", "{}", Deadline::after(20)));
}

// What a program has made of its signals, its descriptors and its working directory.
TEST_F(ControlTest, HasNothingOfTheProgram) {
  const std::string seen = machine_.path("seen");
  const int open = ::open("/dev/null", O_RDONLY);  // not close-on-exec
  const std::string gone = machine_.path("gone");
  std::filesystem::create_directory(gone);
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(gone);
  std::filesystem::remove(gone);
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &set, &old);
  const auto ignored = ::signal(SIGPIPE, SIG_IGN);
  const auto control = start("ls /proc/$$/fd >" + seen + "; exec 2>>" + seen +
                             "; readlink /proc/$$/cwd >&2; grep Sig /proc/self/status >&2; "
                             "cut -d' ' -f5 /proc/$$/stat >&2; echo $$ >&2; " +
                             kHello + "sleep 100");
  ::signal(SIGPIPE, ignored);
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  std::filesystem::current_path(before);
  ::close(open);
  control->wait_until_loaded(Deadline::after(20));
  std::istringstream text(contents(seen));
  std::vector<std::string> rest;
  for (std::string line; std::getline(text, line);) rest.push_back(line);
  // The C library leaves two signals of its own ignored.
  EXPECT_THAT(rest, AllOf(testing::Contains("SigBlk:\t0000000000000000"),
                          testing::Contains(testing::MatchesRegex("SigIgn:\t0+(18)?0+"))));
  ASSERT_GE(rest.size(), 4U);
  rest.erase(std::remove(rest.begin(), rest.end(), "10"),
             rest.end());  // of the shell's redirection
  EXPECT_EQ(std::vector(rest.begin(), rest.begin() + 4),
            (std::vector<std::string>{"0", "1", "2", "/"}));
  ASSERT_GE(rest.size(), 2U);
  EXPECT_EQ(rest[rest.size() - 2], rest.back()) << "a process group of its own";
}

TEST_F(ControlTest, DoesNotNeedItsExitStatus) {
  {
    const auto before = ::signal(SIGCHLD, SIG_IGN);  // the system takes it
    EXPECT_THAT(failure("exit 3"), HasSubstr("the program itself took its exit status"));
    start(kHello + "sleep 100")->wait_until_loaded(Deadline::after(20));
    ::signal(SIGCHLD, before);
  }
  const auto control = start("exit 3");
  EXPECT_GT(::waitpid(-1, nullptr, 0), 0);
  EXPECT_THAT(
      error_with(DEISA_ERROR_CONNECTION, [&] { control->wait_until_loaded(Deadline::after(20)); }),
      HasSubstr("the program itself took its exit status"));
}

// A request larger than the buffers, to a child that has ended: no SIGPIPE.
TEST_F(ControlTest, SendsNoSignalToTheProgram) {
  const auto control = start(kHello + "exec 0<&-; exit 1");
  control->wait_until_loaded(Deadline::after(20));
  const std::string large = "\"" + std::string(10000000, 'x') + "\"";
  EXPECT_THAT(
      error_with(DEISA_ERROR_CONNECTION, [&] { control->run("f", large, Deadline::after(20)); }),
      HasSubstr("exited with status 1"));
}

}  // namespace
}  // namespace deisa
