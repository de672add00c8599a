#include "engine/base/hash.h"

#include <xxhash.h>

#include "engine/base/error.h"

namespace lapilli {

namespace {
XXH3_state_t* as_state(void* p) { return static_cast<XXH3_state_t*>(p); }
}  // namespace

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed) { return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed); }

void StreamingHash::Deleter::operator()(void* state) const { XXH3_freeState(as_state(state)); }

StreamingHash::StreamingHash() : state_(XXH3_createState()) {
  CHECK(state_ != nullptr);
  XXH3_64bits_reset(as_state(state_.get()));
}

void StreamingHash::update(std::span<const std::byte> bytes) { XXH3_64bits_update(as_state(state_.get()), bytes.data(), bytes.size()); }

uint64_t StreamingHash::digest() const { return XXH3_64bits_digest(as_state(state_.get())); }

std::string to_hex(uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace lapilli
