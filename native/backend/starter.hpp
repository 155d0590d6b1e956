// How the backend of a bridge comes to be: what must run before chunks can go anywhere, and what
// must end when that is lost. The bridge knows no backend but by this.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "backend/backend.hpp"
#include "backend/plan.hpp"
#include "base/trace.hpp"
#include "comm/communicator.hpp"

namespace deisa {

// A rank among the others, once all have agreed on the plan.
struct Ranks {
  Communicator& communicator;
  const Plan& plan;
  const std::vector<ArrayMetadata>& arrays;  // of this rank; they outlive the backend
  const std::vector<ArrayFilter>& filters;   // by array
  Trace* trace;                              // NULL: none
  bool pickles = false;                      // feedback is read as Python's pickles

  int rank() const { return communicator.rank(); }
  size_t node() const { return static_cast<size_t>(plan.node_of.at(static_cast<size_t>(rank()))); }
  bool leads() const { return plan.leader[node()] == rank(); }
  // For the others while the leaders work: this much longer than those may, so that all get the
  // leader's error and not their own.
  static Deadline longer(const Deadline& deadline) {
    return Deadline::after(deadline.seconds() + 20.0);
  }
};

class Starter {
 public:
  virtual ~Starter() = default;
  // Collective. Fails on every rank alike: each phase ends in an agreement. `backend` is there as
  // soon as there is one, also when a later phase fails: the bridge leaves it then.
  virtual void start(const Ranks& ranks, const Deadline& deadline,
                     std::unique_ptr<Backend>& backend) = 0;
  // Ends what only the start needs, also when it is not to come; not the backend.
  virtual void stop() noexcept {}
  // Whoever takes the chunks has died: ends, once and if this rank is to, what else would never end.
  // `newest`: the newest timestep that this rank has sent, -1 if none; empty: it sends nothing.
  virtual void end_lost(std::optional<int64_t> /*newest*/) noexcept {}
};

}  // namespace deisa
