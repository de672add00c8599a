#include <algorithm>
#include <cstring>

#include "engine/base/error.h"
#include "tokenizer/data/shard.h"
#include "tokenizer/data/shard_layout.h"

namespace lapilli {

namespace {
constexpr size_t kFlushBytes = 1 << 20;
}

TokenShardWriter::TokenShardWriter(const std::filesystem::path& path, Options options)
    : file_(path), options_(std::move(options)), token_width_bits_(options_.token_bytes.size() <= 65536 ? 16 : 32) {
  CHECK(!options_.token_bytes.empty());
  const ShardHeader header{};
  file_.write(std::as_bytes(std::span(&header, 1)));
  put(std::as_bytes(std::span(options_.token_bytes)));
  pad();
}

void TokenShardWriter::put(std::span<const std::byte> bytes) {
  payload_hash_.update(bytes);
  file_.write(bytes);
}

void TokenShardWriter::pad() {
  const std::byte zeros[8] = {};
  put(std::span(zeros).first(round_up_to_8(file_.size_bytes()) - file_.size_bytes()));
}

void TokenShardWriter::begin_document() {
  CHECK(document_starts_.empty() || document_starts_.back() < token_count_, "a document without tokens");
  document_starts_.push_back(token_count_);
}

void TokenShardWriter::append(std::span<const uint32_t> tokens) {
  CHECK(!document_starts_.empty(), "tokens before begin_document()");
  const size_t vocab_size = options_.token_bytes.size();
  const size_t width_bytes = token_width_bits_ / 8;
  const size_t begin = pending_.size();
  pending_.resize(begin + tokens.size() * width_bytes);
  std::byte* out = pending_.data() + begin;
  for (const uint32_t token : tokens) {
    CHECK(token < vocab_size, "token id {} of a vocabulary of {}", token, vocab_size);
    text_bytes_ += options_.token_bytes[token];
    std::memcpy(out, &token, width_bytes);  // little-endian: the low bytes come first
    out += width_bytes;
  }
  token_count_ += tokens.size();
  if (pending_.size() >= kFlushBytes) flush_tokens();
}

void TokenShardWriter::flush_tokens() {
  put(pending_);
  pending_.clear();
}

void TokenShardWriter::finish(double source_entropy_nats) {
  flush_tokens();
  pad();
  put(std::as_bytes(std::span(document_starts_)));
  ShardHeader header{};
  std::copy_n(kShardMagic, header.magic.size(), header.magic.begin());
  header.version = kShardVersion;
  header.token_width_bits = token_width_bits_;
  header.vocab_size = static_cast<uint32_t>(options_.token_bytes.size());
  header.eos_id = options_.eos_id.value_or(kNoToken);
  header.token_count = token_count_;
  header.document_count = document_starts_.size();
  header.text_bytes = text_bytes_;
  header.tokenizer_hash = options_.tokenizer_hash;
  header.source_entropy_nats = source_entropy_nats;
  header.file_bytes = file_.size_bytes();
  header.payload_checksum = payload_hash_.digest();
  header.header_checksum = header_checksum(header);
  file_.write_at(0, std::as_bytes(std::span(&header, 1)));
  file_.commit();
}

}  // namespace lapilli
