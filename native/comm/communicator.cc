#include "comm/communicator.hpp"

#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "base/while_waiting.hpp"
#include "comm/c_table.hpp"

namespace deisa {
namespace {

// Root's answer to a gather that it has no memory for.
constexpr uint64_t kNoMemory = std::numeric_limits<uint64_t>::max();

class Single {
 public:
  int rank() const { return 0; }
  int size() const { return 1; }
  void barrier(const Deadline&) {}
  void gather(const void* sent, size_t bytes, void* received, int, const Deadline&) {
    if (bytes > 0) std::memcpy(received, sent, bytes);
  }
  void broadcast(void*, size_t, int, const Deadline&) {}
};

Error invalid_table(const std::string& problem) {
  return Error(DEISA_ERROR_ARGUMENT, "the communicator that was given is invalid: " + problem);
}

void check_functions(const deisa_communicator& table) {
  if (table.struct_size < sizeof(deisa_communicator)) {
    throw invalid_table("struct_size is " + std::to_string(table.struct_size) + ", expected " +
                        std::to_string(sizeof(deisa_communicator)) +
                        ": set it to sizeof(deisa_communicator), and compile with the deisa.h of "
                        "this library");
  }
  std::string missing;
  const auto need = [&](bool present, const char* name) {
    if (!present) missing += (missing.empty() ? "" : ", ") + std::string(name);
  };
  need(table.rank != nullptr, "rank");
  need(table.size != nullptr, "size");
  need(table.barrier != nullptr, "barrier");
  need(table.gather != nullptr, "gather");
  need(table.broadcast != nullptr, "broadcast");
  if (!missing.empty()) throw invalid_table("these functions are NULL: " + missing);
}

}  // namespace

Communicator::Communicator(const deisa_communicator& table) {
  check_functions(table);
  table_ = table;
  size_ = table_.size(table_.self);
  rank_ = table_.rank(table_.self);
  if (size_ < 1) {
    throw invalid_table("its size is " + std::to_string(size_) + ", expected at least 1");
  }
  if (rank_ < 0 || rank_ >= size_) {
    throw invalid_table("its rank is " + std::to_string(rank_) + ", expected 0 ... " +
                        std::to_string(size_ - 1));
  }
}

Communicator::~Communicator() {
  if (table_.release != nullptr) table_.release(table_.self);
}

std::unique_ptr<Communicator> Communicator::single() {
  return std::make_unique<Communicator>(make_table(std::make_unique<Single>()));
}

void Communicator::check_usable(const char* what, int root) {
  if (!broken_.empty()) {
    throw Error(DEISA_ERROR_COMMUNICATOR,
                std::string(what) +
                    ": the communicator is broken for good since an earlier failure (" + broken_ +
                    "); end this bridge and open another one with a new communicator")
        .at_rank(rank_);
  }
  if (root < 0 || root >= size_) {
    throw Error(DEISA_ERROR_ARGUMENT, std::string(what) + ": root is " + std::to_string(root) +
                                          ", expected 0 ... " + std::to_string(size_ - 1))
        .at_rank(rank_);
  }
}

void Communicator::fail(deisa_status status, const char* what, const std::string& message) {
  // Our own communicators say already who they are and what they did.
  const std::string who = "rank " + std::to_string(rank_) + " of " + std::to_string(size_) + ": ";
  broken_ = message.rfind(who, 0) == 0 ? message : who + what + ": " + message;
  throw Error(status, broken_).at_rank(rank_);
}

void Communicator::check(deisa_status status, const deisa_error& error, const char* what) {
  if (status == DEISA_OK) return;
  std::string message(error.message, ::strnlen(error.message, sizeof(error.message)));
  if (message.empty()) {
    message = "the communicator returned status " + std::to_string(status) + " without a message";
  }
  // A positive status says nothing about a collective: the ranks may be out of step now.
  fail(status < 0 ? status : DEISA_ERROR_COMMUNICATOR, what, message);
}

template <typename Call>
void Communicator::run(const char* what, const Call& call) {
  deisa_error error = {};
  deisa_status status = DEISA_ERROR_COMMUNICATOR;
  try {
    status = call(&error);
  } catch (const std::exception& caught) {
    fail(DEISA_ERROR_COMMUNICATOR, what,
         std::string("the communicator threw an exception: ") + caught.what());
  } catch (...) {
    fail(DEISA_ERROR_COMMUNICATOR, what, "the communicator threw an exception");
  }
  check(status, error, what);
}

void Communicator::barrier(const Deadline& deadline) {
  check_usable("barrier", 0);
  run("barrier", [&](deisa_error* error) {
    if (table_.barrier_meanwhile == nullptr) {
      return table_.barrier(table_.self, deadline.seconds(), error);
    }
    // It may be in another library, which does not see this one's.
    const auto meanwhile = [](void*) { WhileWaiting::run(); };
    return table_.barrier_meanwhile(table_.self, deadline.seconds(), meanwhile, nullptr, error);
  });
}

void Communicator::broadcast_bytes(const char* what, void* data, size_t bytes, int root,
                                   const Deadline& deadline) {
  run(what, [&](deisa_error* error) {
    return table_.broadcast(table_.self, data, bytes, root, deadline.seconds(), error);
  });
}

std::vector<std::string> Communicator::gather(const std::string& sent, int root,
                                              const Deadline& deadline) {
  check_usable("gather", root);
  const bool is_root = rank_ == root;
  const auto ranks = static_cast<size_t>(size_);
  const auto gather_bytes = [&](const void* data, size_t bytes, void* received) {
    run("gather", [&](deisa_error* error) {
      return table_.gather(table_.self, data, bytes, is_root ? received : nullptr, root,
                           deadline.seconds(), error);
    });
  };

  const uint64_t own = sent.size();
  std::vector<uint64_t> sizes(is_root ? ranks : 0);
  gather_bytes(&own, sizeof(own), sizes.data());

  // All ranks send as much as the longest: the table gathers equal numbers of bytes only.
  uint64_t longest = 0;
  std::vector<char> received;
  if (is_root) {
    for (const uint64_t size : sizes) longest = std::max(longest, size);
    try {
      if (longest > received.max_size() / ranks) throw std::bad_alloc();
      received.resize(static_cast<size_t>(longest) * ranks);
    } catch (const std::bad_alloc&) {
      longest = kNoMemory;
    }
  }
  broadcast_bytes("gather", &longest, sizeof(longest), root, deadline);
  if (longest == kNoMemory || longest < own) {
    fail(DEISA_ERROR_RESOURCE, "gather",
         "rank " + std::to_string(root) + " has no memory for the strings of all ranks");
  }
  if (longest > 0) {
    std::string padded = sent;
    padded.resize(static_cast<size_t>(longest));
    gather_bytes(padded.data(), padded.size(), received.data());
  }
  std::vector<std::string> all;
  if (is_root) {
    all.reserve(ranks);
    for (size_t rank = 0; rank < ranks; ++rank) {
      all.emplace_back(received.data() + rank * static_cast<size_t>(longest),
                       static_cast<size_t>(sizes[rank]));
    }
  }
  return all;
}

std::string Communicator::broadcast(const std::string& data, int root, const Deadline& deadline) {
  check_usable("broadcast", root);
  uint64_t size = data.size();
  broadcast_bytes("broadcast", &size, sizeof(size), root, deadline);
  std::string result;
  try {
    result = rank_ == root ? data : std::string(static_cast<size_t>(size), '\0');
  } catch (const std::exception&) {
    fail(DEISA_ERROR_RESOURCE, "broadcast",
         "no memory for the " + std::to_string(size) + " bytes of rank " + std::to_string(root));
  }
  if (size > 0) broadcast_bytes("broadcast", result.data(), result.size(), root, deadline);
  return result;
}

}  // namespace deisa
