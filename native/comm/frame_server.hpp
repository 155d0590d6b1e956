// Serves frames of the rendezvous on listening sockets: one thread for every connection. What
// strangers send is bounded and dropped. Knows nothing of what the frames say.
#pragma once

#include <climits>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.hpp"
#include "comm/store_protocol.hpp"

namespace deisa {

class FrameServer {
 public:
  struct Limits {
    double hello_seconds = 10;  // for a connection to check in
    double frame_seconds = 60;  // for a frame that began to end, and for an answer to be read
    size_t max_bytes = size_t{512} << 20;  // of all buffers
    size_t max_frame = store::kMaxFrame;
    size_t max_strangers = 1024;  // connections that have not checked in; the oldest go first
  };

  using Admission = store::Admission;

  // What the frames mean. Called in the server's thread.
  class Handler {
   public:
    virtual ~Handler() = default;
    // A frame of one that has not checked in. Throws Malformed for a stranger, who gets no answer.
    virtual Admission hello(uint64_t connection, std::string_view frame, int fd) = 0;
    // A later frame. Returns false when the connection is to be closed, after sending what is to be
    // sent; throws Malformed.
    virtual bool request(uint64_t connection, std::string_view frame) = 0;
    // A connection has ended, and was not closed by hello() or request().
    virtual void gone(uint64_t connection) = 0;
    // After each round of frames; after `patience()` milliseconds, or a tenth of a second, at most.
    virtual void round() = 0;
    virtual int patience() { return INT_MAX; }
    // No more connections can be accepted, though all are of clients that checked in.
    virtual void out_of_files(const std::string& reason) = 0;
    // The server ends when this returns.
    virtual void end() {}
  };

  // Throws Error(DEISA_ERROR_RESOURCE). `name` is that of the thread.
  FrameServer(std::vector<FileDescriptor> listeners, const Limits& limits, Handler& handler,
              const char* name);
  // Sends what is still to be sent, for a second at most, and ends.
  ~FrameServer();
  FrameServer(const FrameServer&) = delete;
  FrameServer& operator=(const FrameServer&) = delete;

  void start();
  // Does `work` in the server's thread, soon.
  void post(std::function<void()> work);

  // In the server's thread only.
  // Queues a frame for a connection; calls nothing of the handler.
  void send(uint64_t connection, const std::string& frame);
  // Adds a connection that has checked in.
  uint64_t add(FileDescriptor fd);
  // Adds one that leads on to another server: the end does not wait for it.
  uint64_t add_upstream(FileDescriptor fd);
  // Closes a connection without a word to the handler.
  void close(uint64_t connection);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deisa
