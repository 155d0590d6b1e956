#include "comm/agreement.hpp"

#include <nlohmann/json.hpp>

#include "base/shortage.hpp"

namespace deisa {
namespace {

using nlohmann::json;

json failure(const Error& error, int rank) {
  return {{"status", static_cast<int>(error.status())},
          {"rank", error.rank() >= 0 ? error.rank() : rank},
          {"array", error.array()},
          {"timestep", error.timestep()},
          {"message", error.what()}};
}

json attempt(int rank, const std::function<std::string()>& work) {
  try {
    return {{"result", work()}};
  } catch (const std::exception& error) {
    return failure(as_error(error), rank);
  }
}

// Results are bytes, which JSON text would refuse: MessagePack keeps them.
std::string pack(const json& value) {
  std::string packed;
  json::to_msgpack(value, packed);
  return packed;
}

}  // namespace

std::string agree(Communicator& communicator, const Deadline& deadline,
                  const std::function<std::string()>& work,
                  const std::function<std::string(const std::vector<std::string>&)>& combine) {
  const int rank = communicator.rank();
  const auto all = communicator.gather(pack(attempt(rank, work)), 0, deadline);
  std::string decision;
  if (rank == 0) {
    decision = pack(attempt(0, [&] {
      std::vector<std::string> results;
      results.reserve(all.size());
      for (const std::string& packed : all) {
        const json one = json::from_msgpack(packed);
        if (!one.contains("result")) {
          Error error(static_cast<deisa_status>(one.at("status").get<int>()),
                      one.at("message").get<std::string>());
          throw error.at_rank(one.at("rank").get<int>())
              .at_array(one.at("array").get<std::string>())
              .at_timestep(one.at("timestep").get<int64_t>());
        }
        results.push_back(one.at("result").get<std::string>());
      }
      return combine(results);
    }));
  }
  const json agreed = json::from_msgpack(communicator.broadcast(decision, 0, deadline));
  if (agreed.contains("result")) return agreed.at("result").get<std::string>();
  Error error(static_cast<deisa_status>(agreed.at("status").get<int>()),
              agreed.at("message").get<std::string>());
  throw error.at_rank(agreed.at("rank").get<int>())
      .at_array(agreed.at("array").get<std::string>())
      .at_timestep(agreed.at("timestep").get<int64_t>());
}

void agree(Communicator& communicator, const Deadline& deadline,
           const std::function<void()>& work) {
  agree(
      communicator, deadline,
      [&] {
        work();
        return std::string();
      },
      [](const std::vector<std::string>&) { return std::string(); });
}

}  // namespace deisa
