#pragma once
// The binary layout of a token shard (documented in shard.h). Private to shard.cpp and shard_writer.cpp.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/base/hash.h"

namespace lapilli {

static_assert(std::endian::native == std::endian::little, "shards are memory-mapped without conversion");

inline constexpr char kShardMagic[9] = "LAPSHRD\n";
inline constexpr uint32_t kShardVersion = 1;
inline constexpr uint32_t kNoToken = 0xFFFFFFFFu;

struct ShardHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t token_width_bits;
  uint32_t vocab_size;
  uint32_t eos_id;
  uint64_t token_count;
  uint64_t document_count;
  uint64_t text_bytes;
  uint64_t tokenizer_hash;
  double source_entropy_nats;
  uint64_t file_bytes;
  uint64_t payload_checksum;
  uint64_t header_checksum;
  std::array<uint64_t, 5> reserved;
};
static_assert(sizeof(ShardHeader) == 128 && offsetof(ShardHeader, header_checksum) == 80);

inline uint64_t header_checksum(const ShardHeader& header) {
  return hash_bytes(std::as_bytes(std::span(&header, 1)).first(offsetof(ShardHeader, header_checksum)));
}

inline uint64_t round_up_to_8(uint64_t bytes) { return (bytes + 7) & ~uint64_t{7}; }

// Whether so many tokens and documents can be in a file of that size at all: then nothing below overflows.
inline bool fits_in_file(uint32_t vocab_size, uint32_t token_width_bits, uint64_t token_count, uint64_t document_count, uint64_t file_bytes) {
  return vocab_size <= file_bytes / sizeof(uint16_t) && token_count <= file_bytes / (token_width_bits / 8) &&
         document_count <= file_bytes / sizeof(uint64_t);
}

// Offsets of the parts of the payload, and the file size. REQUIRES: fits_in_file(), or numbers of our own.
struct ShardLayout {
  ShardLayout(uint32_t vocab_size, uint32_t token_width_bits, uint64_t token_count, uint64_t document_count)
      : token_bytes_offset(sizeof(ShardHeader)),
        tokens_offset(round_up_to_8(token_bytes_offset + uint64_t{vocab_size} * sizeof(uint16_t))),
        documents_offset(round_up_to_8(tokens_offset + token_count * (token_width_bits / 8))),
        file_bytes(documents_offset + document_count * sizeof(uint64_t)) {}

  uint64_t token_bytes_offset, tokens_offset, documents_offset, file_bytes;
};

}  // namespace lapilli
