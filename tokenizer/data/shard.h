#pragma once
// A token shard: one split of a data set as token ids in a file, memory-mapped for reading.
//
// Layout, all integers little-endian:
//
//   offset  bytes  field
//        0      8  magic "LAPSHRD\n"
//        8      4  version, u32 = 1
//       12      4  token width in bits, u32: 16 (vocabulary <= 65536) or 32
//       16      4  vocabulary size V, u32; every token id < V
//       20      4  EOS id, u32; 0xFFFFFFFF: the tokenizer has none
//       24      8  token count n, u64
//       32      8  document count D, u64
//       40      8  UTF-8 bytes of the text, u64: the tokens' own, and what a tokenizer that is not lossless leaves out
//       48      8  tokenizer hash (XXH3 of its model file), u64
//       56      8  source entropy of the whole shard in nats, f64; NaN if unknown
//       64      8  size of the whole file in bytes, u64
//       72      8  XXH3 of the payload (bytes 128 to the end), u64
//       80      8  XXH3 of header bytes 0..79, u64
//       88     40  zero
//      128         payload:
//                    u16 token_bytes[V]      bytes of text of a token with this id (EOS and specials: 0)
//                    zeros up to a multiple of 8
//                    u16 or u32 tokens[n]
//                    zeros up to a multiple of 8
//                    u64 document_starts[D]  index of each document's first token, rising, [0] = 0
//
// Several documents: each ends with EOS, which belongs to the document it ends (not where a split cut one in two). A single text has no EOS.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/mapped_file.h"

namespace lapilli {

// Thread-safe for reading once constructed.
class TokenShard {
 public:
  enum class Verify {
    kAll,     // header, size, checksum and token ids: reads the whole file once
    kHeader,  // header and size only
  };

  // Errors, each naming the file: not a shard, another version, truncated, corrupt (checksum).
  // `name`: what messages call it, where that is not its path.
  explicit TokenShard(const std::filesystem::path& path, Verify verify = Verify::kAll, std::string name = {});

  const std::filesystem::path& path() const { return path_; }
  const std::string& name() const { return name_; }
  uint64_t token_count() const { return token_count_; }
  uint32_t vocab_size() const { return vocab_size_; }
  uint32_t token_width_bits() const { return token_width_bits_; }
  std::optional<uint32_t> eos_id() const { return eos_id_; }
  uint64_t tokenizer_hash() const { return tokenizer_hash_; }
  uint64_t text_bytes() const { return text_bytes_; }
  uint64_t checksum() const { return checksum_; }  // of the header, which holds the payload's
  // Sum of -ln p of the shard's text under its generating distribution, in nats; NaN unless the corpus is synthetic.
  double source_entropy_nats() const { return source_entropy_nats_; }

  // Copies tokens [begin, begin + out.size()). REQUIRES the range to lie in the shard. Throws Error if the file has become shorter since it was
  // opened, or holds ids outside its vocabulary.
  void read(std::span<uint32_t> out, uint64_t begin) const;
  uint32_t token(uint64_t index) const;  // read() of one

  std::span<const uint16_t> token_bytes() const { return token_bytes_; }  // [V]
  // UTF-8 bytes of tokens [begin, end).
  uint64_t bytes_of_range(uint64_t begin, uint64_t end) const;
  // Bytes of text behind `tokens` tokens whose token_bytes() sum to `token_bytes`: the same, unless the tokenizer loses or changes text. Then
  // text_bytes() is spread over the shard in proportion to token_bytes, so that all tokens together have exactly text_bytes(). O(n)
  // for a shard opened with kHeader.
  double text_bytes_of(uint64_t token_bytes, uint64_t tokens) const;

  std::span<const uint64_t> document_starts() const { return document_starts_; }  // [D]
  // Index of the document that holds the token. O(log D).
  uint64_t document_of(uint64_t token_index) const;

  // Throws Error unless the shard was made with that tokenizer / vocabulary. `user` names the other side: "the
  // checkpoint".
  void require_tokenizer(uint64_t tokenizer_hash, std::string_view user) const;
  void require_vocab_size(uint32_t vocab_size, std::string_view user) const;

 private:
  void parse_header();
  void verify_payload();

  std::filesystem::path path_;
  std::string name_;
  MappedFile file_;
  uint64_t token_count_ = 0, text_bytes_ = 0, tokenizer_hash_ = 0, payload_checksum_ = 0, checksum_ = 0;
  uint32_t vocab_size_ = 0, token_width_bits_ = 0;
  std::optional<uint32_t> eos_id_;
  std::optional<uint64_t> sum_of_token_bytes_;
  double source_entropy_nats_ = std::numeric_limits<double>::quiet_NaN();
  // Copies, so that they stay what was verified.
  std::vector<uint16_t> token_bytes_;      // [V]
  std::span<const uint16_t> tokens16_;     // [n], when 16 bits wide
  std::span<const uint32_t> tokens32_;     // [n], when 32 bits wide
  std::vector<uint64_t> document_starts_;
};

// Writes a shard sequentially; the file appears at `path` only after finish().
class TokenShardWriter {
 public:
  struct Options {
    std::vector<uint16_t> token_bytes;  // [V], see the layout; its size is the vocabulary size
    std::optional<uint32_t> eos_id;
    uint64_t tokenizer_hash = 0;
  };
  TokenShardWriter(const std::filesystem::path& path, Options options);

  void begin_document();  // REQUIRED before the first token
  void append(std::span<const uint32_t> tokens);
  // Bytes of text that no token stands for; negative where tokens stand for more than the text had.
  void add_text_bytes(int64_t beyond_tokens) { text_bytes_ += static_cast<uint64_t>(beyond_tokens); }
  uint64_t token_count() const { return token_count_; }
  void finish(double source_entropy_nats = std::numeric_limits<double>::quiet_NaN());

 private:
  void put(std::span<const std::byte> bytes);
  void pad();
  void flush_tokens();

  AtomicFile file_;
  Options options_;
  StreamingHash payload_hash_;
  uint32_t token_width_bits_;
  uint64_t token_count_ = 0, text_bytes_ = 0;
  std::vector<uint64_t> document_starts_;
  std::vector<std::byte> pending_;
};

}  // namespace lapilli
