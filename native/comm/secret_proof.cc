#include "comm/secret_proof.hpp"

#include <dlfcn.h>
#include <sys/random.h>

#include <utility>

#include "base/error.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;

// Of OpenSSL 1.1 and 3, which declare them alike.
using Sha256 = const void*();
using Hmac = unsigned char*(const void* digest, const void* key, int key_bytes,
                            const unsigned char* text, size_t bytes, unsigned char* proof,
                            unsigned* proof_bytes);

struct Crypto {
  Sha256* sha256 = nullptr;
  Hmac* hmac = nullptr;
};

Crypto load() {
  Crypto crypto;
  for (const char* name : {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"}) {
    void* const library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    crypto.sha256 = reinterpret_cast<Sha256*>(::dlsym(library, "EVP_sha256"));
    crypto.hmac = reinterpret_cast<Hmac*>(::dlsym(library, "HMAC"));
    if (crypto.sha256 != nullptr && crypto.hmac != nullptr) return crypto;
  }
  throw Error(DEISA_ERROR_RESOURCE,
              "DEISA_SECRET is set, but libcrypto of OpenSSL, which checks it, is not found: "
              "install OpenSSL 1.1 or 3 (Debian: libssl3) on every node, or set no secret");
}

}  // namespace

std::string random_nonce() {
  std::string bytes(kNonceBytes, '\0');
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw Error(DEISA_ERROR_INTERNAL, "getrandom gave too few bytes");
  }
  return bytes;
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  static const Crypto crypto = load();
  std::string proof(kProofBytes, '\0');
  unsigned bytes = 0;
  const auto* from = reinterpret_cast<const unsigned char*>(text.data());
  auto* to = reinterpret_cast<unsigned char*>(proof.data());
  if (crypto.hmac(crypto.sha256(), key.data(), static_cast<int>(key.size()), from, text.size(), to,
                  &bytes) == nullptr ||
      bytes != kProofBytes) {
    throw Error(DEISA_ERROR_RESOURCE,
                "DEISA_SECRET is set, but libcrypto of OpenSSL refuses to compute an HMAC-SHA-256");
  }
  return proof;
}

bool equal_proofs(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < one.size(); ++i) difference |= static_cast<unsigned>(one[i] ^ other[i]);
  return difference == 0;
}

std::string secret_proof(std::string_view secret, Role role, std::string_view server_nonce,
                         std::string_view hello) {
  std::string text = role == Role::kServer ? "deisa rendezvous server" : "deisa rendezvous client";
  text += server_nonce;
  text += hello;
  return hmac_sha256(secret, text);
}

std::string SecretCheck::challenge(uint64_t connection, std::string_view hello) {
  Waiting& waiting = waiting_[connection];
  waiting = {std::string(hello), random_nonce()};
  return Encoder(Type::kChallenge)
      .text(waiting.nonce)
      .text(secret_proof(secret_, Role::kServer, waiting.nonce, hello))
      .frame();
}

SecretCheck::Shown SecretCheck::look(uint64_t connection, std::string_view frame) {
  if (static_cast<Type>(store::Decoder(frame).u8()) != Type::kProof) {
    store::Hello hello = store::decode_hello(frame);
    const bool wrong = hello.nonce.empty() == is_needed();
    return {std::move(hello), wrong, is_needed() && !wrong};
  }
  const auto found = waiting_.find(connection);
  if (found == waiting_.end()) throw store::Malformed("a proof that was not asked for");
  const Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  store::Decoder decoder(frame.substr(1));
  const std::string_view proof = decoder.text(kProofBytes);
  decoder.end();
  const std::string expected = secret_proof(secret_, Role::kClient, waiting.nonce, waiting.hello);
  return {store::decode_hello(waiting.hello), !equal_proofs(proof, expected), false};
}

std::optional<std::string> answer_challenge(std::string_view secret, std::string_view hello,
                                            std::string_view challenge) {
  store::Decoder decoder(challenge);
  const std::string_view nonce = decoder.text(kNonceBytes);
  const std::string_view proof = decoder.text(kProofBytes);
  decoder.end();
  if (secret.empty() || nonce.size() != kNonceBytes) throw store::Malformed("a challenge");
  if (!equal_proofs(proof, secret_proof(secret, Role::kServer, nonce, hello))) return std::nullopt;
  return Encoder(Type::kProof).text(secret_proof(secret, Role::kClient, nonce, hello)).frame();
}

std::string no_proof() { return Encoder(Type::kProof).text("").frame(); }

}  // namespace deisa
