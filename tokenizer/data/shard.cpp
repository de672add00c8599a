#include "tokenizer/data/shard.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "engine/base/error.h"
#include "tokenizer/data/shard_layout.h"

namespace lapilli {

TokenShard::TokenShard(const std::filesystem::path& path, Verify verify, std::string name)
    : path_(path), name_(name.empty() ? path.string() : std::move(name)), file_(path) {
  parse_header();
  if (verify == Verify::kAll) verify_payload();
}

void TokenShard::parse_header() {
  const std::span<const std::byte> bytes = file_.bytes();
  const std::string& name = name_;
  ShardHeader header;
  if (bytes.size() < sizeof header || std::memcmp(bytes.data(), kShardMagic, sizeof header.magic) != 0) {
    throw Error("'{}' is not a token shard; make one with `lapilli data build`", name);
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version != kShardVersion) {
    throw Error("'{}' is a token shard of version {}, and this program reads version {}: build the data again", name, header.version, kShardVersion);
  }
  const bool is_intact = header.header_checksum == header_checksum(header) && (header.token_width_bits == 16 || header.token_width_bits == 32) &&
                         header.vocab_size > 0 && header.reserved == decltype(header.reserved){};
  if (!is_intact) throw Error("'{}' is damaged (its header does not match its checksum): build the data again", name);
  if (bytes.size() != header.file_bytes) {
    throw Error("'{}' is cut short or has grown: it has {} bytes and should have {}; build the data again", name, bytes.size(), header.file_bytes);
  }
  if (!fits_in_file(header.vocab_size, header.token_width_bits, header.token_count, header.document_count, header.file_bytes))
    throw Error("'{}' is damaged (it cannot hold {} tokens in {} documents): build the data again", name, header.token_count, header.document_count);
  const ShardLayout layout(header.vocab_size, header.token_width_bits, header.token_count, header.document_count);
  if (layout.file_bytes != header.file_bytes) throw Error("'{}' is damaged (sizes disagree): build the data again", name);
  if (header.eos_id != kNoToken && header.eos_id >= header.vocab_size)
    throw Error("'{}' is damaged (its end-of-text token is {}, its vocabulary {}): build the data again", name, header.eos_id, header.vocab_size);

  vocab_size_ = header.vocab_size;
  token_width_bits_ = header.token_width_bits;
  if (header.eos_id != kNoToken) eos_id_ = header.eos_id;
  token_count_ = header.token_count;
  text_bytes_ = header.text_bytes;
  tokenizer_hash_ = header.tokenizer_hash;
  source_entropy_nats_ = header.source_entropy_nats;
  payload_checksum_ = header.payload_checksum;
  checksum_ = header.header_checksum;
  const auto view = [&]<typename T>(const T*, uint64_t offset, uint64_t count) {
    return std::span(reinterpret_cast<const T*>(bytes.data() + offset), count);
  };
  const auto sizes = view(static_cast<const uint16_t*>(nullptr), layout.token_bytes_offset, vocab_size_);
  token_bytes_.assign(sizes.begin(), sizes.end());
  if (token_width_bits_ == 16) tokens16_ = view(static_cast<const uint16_t*>(nullptr), layout.tokens_offset, token_count_);
  if (token_width_bits_ == 32) tokens32_ = view(static_cast<const uint32_t*>(nullptr), layout.tokens_offset, token_count_);
  const auto starts = view(static_cast<const uint64_t*>(nullptr), layout.documents_offset, header.document_count);
  document_starts_.assign(starts.begin(), starts.end());
  file_.require_whole();
}

void TokenShard::verify_payload() {
  const std::string& name = name_;
  const auto hash = hash_bytes(file_.bytes().subspan(sizeof(ShardHeader)));
  file_.require_whole();
  if (hash != payload_checksum_) {
    throw Error("'{}' is damaged (its contents do not match its checksum): build the data again", name);
  }
  const auto largest = [](const auto& tokens) -> uint32_t { return tokens.empty() ? 0 : *std::max_element(tokens.begin(), tokens.end()); };
  if (std::max(largest(tokens16_), largest(tokens32_)) >= vocab_size_) {
    throw Error("'{}' holds tokens outside its vocabulary of {}: build the data again", name, vocab_size_);
  }
  // Rising starts from 0 are what makes document_of() right.
  const bool starts_at_0 = document_starts_.empty() ? token_count_ == 0 : document_starts_.front() == 0;
  const bool rises = std::ranges::adjacent_find(document_starts_, std::ranges::greater_equal()) == document_starts_.end();
  if (!starts_at_0 || !rises || (!document_starts_.empty() && document_starts_.back() >= token_count_))
    throw Error("'{}' is damaged (its documents do not start where they should): build the data again", name);
  sum_of_token_bytes_ = bytes_of_range(0, token_count_);
}

void TokenShard::read(std::span<uint32_t> out, uint64_t begin) const {
  CHECK(begin <= token_count_ && out.size() <= token_count_ - begin, "{} tokens from {} of {}", out.size(), begin, token_count_);
  if (out.empty()) return;
  if (token_width_bits_ == 16) std::ranges::copy(tokens16_.subspan(begin, out.size()), out.begin());
  if (token_width_bits_ == 32) std::ranges::copy(tokens32_.subspan(begin, out.size()), out.begin());
  file_.require_whole();
  const uint32_t largest = *std::ranges::max_element(out);
  if (largest >= vocab_size_)
    throw Error("'{}' has changed since it was opened: it holds the token {}, and its vocabulary has {}", name_, largest, vocab_size_);
}

uint32_t TokenShard::token(uint64_t index) const {
  uint32_t token = 0;
  read({&token, 1}, index);
  return token;
}

uint64_t TokenShard::bytes_of_range(uint64_t begin, uint64_t end) const {
  CHECK(begin <= end && end <= token_count_, "tokens [{}, {}) of {}", begin, end, token_count_);
  std::vector<uint32_t> block;
  uint64_t bytes = 0;
  for (uint64_t position = begin; position < end; position += block.size()) {
    block.resize(std::min<uint64_t>(end - position, 1 << 16));
    read(block, position);
    for (const uint32_t token : block) bytes += token_bytes_[token];
  }
  return bytes;
}

double TokenShard::text_bytes_of(uint64_t token_bytes, uint64_t tokens) const {
  const uint64_t all = sum_of_token_bytes_ ? *sum_of_token_bytes_ : bytes_of_range(0, token_count_);
  if (all == text_bytes_) return static_cast<double>(token_bytes);
  const double share = all > 0 ? static_cast<double>(token_bytes) / static_cast<double>(all)
                               : static_cast<double>(tokens) / static_cast<double>(std::max<uint64_t>(token_count_, 1));
  return share * static_cast<double>(text_bytes_);
}

uint64_t TokenShard::document_of(uint64_t token_index) const {
  CHECK(token_index < token_count_, "token {} of {}", token_index, token_count_);
  const auto after = std::ranges::upper_bound(document_starts_, token_index);
  return static_cast<uint64_t>(after - document_starts_.begin()) - 1;
}

void TokenShard::require_tokenizer(uint64_t tokenizer_hash, std::string_view user) const {
  if (tokenizer_hash == tokenizer_hash_) return;
  throw Error("'{}' was made with another tokenizer than {} (hash {} against {}): build the data with that tokenizer", name_, user,
              to_hex(tokenizer_hash_), to_hex(tokenizer_hash));
}

void TokenShard::require_vocab_size(uint32_t vocab_size, std::string_view user) const {
  if (vocab_size == vocab_size_) return;
  throw Error("'{}' was made with a vocabulary of {}, and {} has {}: build the data with the same tokenizer", name_, vocab_size_, user, vocab_size);
}

}  // namespace lapilli
