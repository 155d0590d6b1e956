// How the two ends of a connection show each other that they have the secret, without sending it:
// each gives a nonce, and then an HMAC-SHA-256 over both that is keyed with the secret. What is
// said later is neither encrypted nor signed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "comm/store_protocol.hpp"

namespace deisa {

// Random bytes that are used once.
constexpr size_t kNonceBytes = 32;
constexpr size_t kProofBytes = 32;
std::string random_nonce();

// By OpenSSL's libcrypto, which is loaded at the first call: only a start with a secret needs it.
// Throws Error(DEISA_ERROR_RESOURCE) where this machine has none.
std::string hmac_sha256(std::string_view key, std::string_view text);

// Takes the same time wherever they differ.
bool equal_proofs(std::string_view one, std::string_view other);

// The proof of one end. `role` says of which; `hello` is what the client said first, its nonce in
// it.
enum class Role { kServer, kClient };
std::string secret_proof(std::string_view secret, Role role, std::string_view server_nonce,
                         std::string_view hello);

// The server's side, for all connections that have still to show that they have the secret.
class SecretCheck {
 public:
  explicit SecretCheck(std::string secret) : secret_(std::move(secret)) {}

  bool is_needed() const { return !secret_.empty(); }
  struct Shown {
    store::Hello hello;
    bool wrong = false;      // the client has another secret, or one where there is none, or none
    bool undecided = false;  // its answer to challenge() decides
  };
  // What a HELLO or PROOF shows. Throws store::Malformed when it is neither, or when no proof is
  // expected of this connection.
  Shown look(uint64_t connection, std::string_view frame);
  // The frame that answers a HELLO, which is kept for its PROOF.
  std::string challenge(uint64_t connection, std::string_view hello);
  void forget(uint64_t connection) { waiting_.erase(connection); }

 private:
  struct Waiting {
    std::string hello;
    std::string nonce;
  };
  const std::string secret_;
  std::unordered_map<uint64_t, Waiting> waiting_;
};

// The client's side: the frame that answers the payload of a CHALLENGE to `hello`, or nothing when
// the server does not have this secret.
std::optional<std::string> answer_challenge(std::string_view secret, std::string_view hello,
                                            std::string_view challenge);
// The answer to a server that does not.
std::string no_proof();

}  // namespace deisa
