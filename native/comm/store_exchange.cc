#include "comm/store_exchange.hpp"

#include "comm/store_protocol.hpp"

namespace deisa::store {

void Exchange::add(uint32_t place, uint32_t number, uint64_t connection, std::string_view text) {
  if (number != texts_.size() || place >= number || connections_[place] != 0 ||
      text.size() % number != 0) {
    throw Malformed("a part of another exchange");
  }
  texts_[place] = std::string(text);
  connections_[place] = connection;
  bytes_ += text.size();
  ++came_;
}

std::string Exchange::answer(uint32_t place) const {
  Encoder encoder(Type::kExchanged);
  encoder.u32(place);
  for (const std::string& text : texts_) {
    const size_t part = text.size() / texts_.size();
    encoder.text(std::string_view(text).substr(place * part, part));
  }
  return encoder.frame();
}

}  // namespace deisa::store
