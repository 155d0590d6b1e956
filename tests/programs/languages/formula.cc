// formula.c in C++: rank, world, array, cells, steps, pace, step and stop.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deisa/deisa.hpp>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

void say(std::string text) {
  const std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
  std::replace(text.begin(), text.end(), '\n', ' ');
  text = std::to_string(now.count()) + " " + text + "\n";
  if (write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) _exit(9);
}

struct Array {
  int number;
  std::string name;
  std::int64_t chunks, position;
};

struct Settings {
  std::map<std::string, std::string> options;
  std::vector<Array> mine;
  int rank = 0;
  std::vector<double> chunk;

  explicit Settings(int argc, char** argv) {
    std::vector<std::string> arrays;
    for (int i = 1; i < argc; ++i) {
      const std::string text = argv[i];
      const auto equals = text.find('=');
      const std::string name = text.substr(0, equals), value = text.substr(equals + 1);
      if (name == "array") arrays.push_back(value);
      options[name] = value;
    }
    rank = std::stoi(options.at("rank"));
    chunk.resize(std::stoul(options.at("cells")));
    for (std::size_t i = 0; i < arrays.size(); ++i) add(static_cast<int>(i), arrays[i]);
  }
  void add(int number, const std::string& members) {
    std::istringstream text(members);
    Array one = {number, "a" + std::to_string(number), 0, -1};
    for (std::string member; std::getline(text, member, ','); ++one.chunks) {
      if (std::stoi(member) == rank) one.position = one.chunks;
    }
    if (one.position >= 0) mine.push_back(one);
  }
  void fill(int number, std::int64_t timestep) {
    const double base = ((number * 64.0 + rank) * 4096.0 + static_cast<double>(timestep)) * 65536.0;
    for (std::size_t i = 0; i < chunk.size(); ++i) chunk[i] = base + static_cast<double>(i);
  }
};

void say_sent(int number, std::int64_t timestep, deisa::Status status) {
  say("sent " + std::to_string(number) + " " + std::to_string(timestep) + " " +
      std::to_string(static_cast<int>(status)));
}

void send_step(deisa::Bridge& bridge, Settings& all, std::int64_t timestep) {
  deisa::Step step = bridge.begin_step(timestep);
  if (!step) return say("skipped " + std::to_string(timestep));
  for (const Array& one : all.mine) {
    all.fill(one.number, timestep);
    step.put(one.name, all.chunk);
  }
  const deisa::Status status = step.end();
  for (const Array& one : all.mine) say_sent(one.number, timestep, status);
}

void send_each(deisa::Bridge& bridge, Settings& all, std::int64_t timestep) {
  for (const Array& one : all.mine) {
    all.fill(one.number, timestep);
    say_sent(one.number, timestep, bridge.send(one.name, all.chunk, timestep));
  }
}

int simulate(Settings& all) {
  bool reported = false;
  deisa::Options options;
  options.bridge_id = all.rank;
  options.world_size = std::stoi(all.options.at("world"));
  options.error_handler = [&reported](const deisa::Exception& error) {
    reported = true;
    const auto timestep = error.timestep().value_or(std::numeric_limits<std::int64_t>::min());
    say("reported " + std::to_string(error.status()) + " " + std::to_string(error.rank()) + " " +
        std::to_string(timestep) + " " + error.what());
  };
  deisa::Bridge bridge(std::move(options));
  for (const Array& one : all.mine) {
    deisa::Layout layout;
    layout.chunk_shape = {static_cast<std::int64_t>(all.chunk.size())};
    layout.nb_chunks_per_dim = {one.chunks};
    layout.chunk_position = {one.position};
    bridge.define<double>(one.name, layout);
  }
  bridge.ready();
  if (reported) return 3;
  say("ready");
  const std::int64_t steps = std::stoll(all.options.at("steps"));
  const std::chrono::duration<double> pace(std::stod(all.options.at("pace")));
  const bool in_steps = all.options.at("step") == "1", stops = all.options.at("stop") == "1";
  for (std::int64_t timestep = 0; timestep < steps; ++timestep) {
    std::this_thread::sleep_for(pace);
    in_steps ? send_step(bridge, all, timestep) : send_each(bridge, all, timestep);
    if (reported && stops) {
      bridge.abandon();
      return 3;
    }
  }
  say("closed " + std::to_string(static_cast<int>(bridge.close(steps))));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Settings all(argc, argv);
  try {
    return simulate(all);
  } catch (const deisa::Exception& error) {
    say("failed call " + std::to_string(error.status()) + " " + error.what());
    return 2;
  }
}
