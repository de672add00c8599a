#pragma once
// XXH3 (64 bit) over bytes: checksums of shards and checkpoints, names of cache entries. Not cryptographic.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lapilli {

uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed = 0);

// The same value as hash_bytes over the concatenation of all updates, for data too large for memory.
class StreamingHash {
 public:
  StreamingHash();
  void update(std::span<const std::byte> bytes);
  uint64_t digest() const;

 private:
  struct Deleter {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, Deleter> state_;
};

std::string to_hex(uint64_t value);  // 16 lower-case digits

}  // namespace lapilli
