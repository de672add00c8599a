#include "tokenizer/data/corpus_encoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "engine/base/error.h"
#include "tokenizer/text/corpus.h"

namespace lapilli {

namespace {

class CorpusEncoder {
 public:
  CorpusEncoder(TokenShardWriter& writer, const Tokenizer& tokenizer, std::span<const std::filesystem::path> inputs, bool always_eos)
      : writer_(writer), tokenizer_(tokenizer), token_bytes_(tokenizer.token_bytes()), inputs_(inputs), always_eos_(always_eos) {}

  EncodedCorpus encode() {
    encoded_.documents.assign(inputs_.size(), 0);
    CorpusReader reader(inputs_);
    for (CorpusReader::Piece piece; reader.next(piece);) {
      if (piece.starts_document) {
        if (reader.document_count() > 1) end_document(true);
        writer_.begin_document();
        ++encoded_.documents[reader.file_index()];
      }
      text_.append(piece.text);
      encode_text(false);
    }
    end_document(always_eos_ || reader.document_count() > 1);
    writer_.add_text_bytes(total_.beyond_tokens);
    return std::move(encoded_);
  }

 private:
  void encode_text(bool is_end) {
    ids_.clear();
    uint64_t lost = 0;
    const size_t bytes = tokenizer_.encode_prefix(ids_, text_, is_end, &lost);
    text_.erase(0, bytes);
    auto beyond_tokens = static_cast<int64_t>(bytes);
    for (const uint32_t id : ids_) beyond_tokens -= token_bytes_[id];
    if (lost > 0 || beyond_tokens != 0) {
      encoded_.add_mark(writer_.token_count(), total_);
      total_.lost += lost;
      total_.beyond_tokens += beyond_tokens;
      encoded_.add_mark(writer_.token_count() + ids_.size(), total_);
    }
    writer_.append(ids_);
  }

  void end_document(bool with_eos) {
    encode_text(true);
    if (!with_eos) return;
    const std::optional<uint32_t> eos = tokenizer_.eos_id();
    if (!eos) {
      throw Error("{}: several documents need an end-of-text token, and the tokenizer '{}' has none; train one with `lapilli tokenizer train`",
                  names_of(inputs_), tokenizer_.path().string());
    }
    writer_.append({&*eos, 1});
    encoded_.has_eos = true;
  }

  TokenShardWriter& writer_;
  const Tokenizer& tokenizer_;
  std::vector<uint16_t> token_bytes_;  // [V]
  std::span<const std::filesystem::path> inputs_;
  bool always_eos_;
  std::string text_;
  std::vector<uint32_t> ids_;
  TextBytes total_;
  EncodedCorpus encoded_;
};

}  // namespace

void EncodedCorpus::add_mark(uint64_t token_count, TextBytes so_far) { marks_.push_back({token_count, so_far}); }

TextBytes EncodedCorpus::before(uint64_t token) const {
  const auto after = std::ranges::upper_bound(marks_, token, {}, &Mark::token_count);
  if (after == marks_.begin()) return {};
  const Mark& low = *(after - 1);
  if (after == marks_.end()) return low.so_far;
  const double share = static_cast<double>(token - low.token_count) / static_cast<double>(after->token_count - low.token_count);
  const auto lost = static_cast<double>(after->so_far.lost - low.so_far.lost);
  const auto beyond = static_cast<double>(after->so_far.beyond_tokens - low.so_far.beyond_tokens);
  return {low.so_far.beyond_tokens + std::llround(share * beyond), low.so_far.lost + static_cast<uint64_t>(std::llround(share * lost))};
}

TextBytes EncodedCorpus::text_bytes(uint64_t begin, uint64_t end) const {
  TextBytes bytes = before(end);
  if (begin == 0) return bytes;  // also what was lost before the first token
  const TextBytes skipped = before(begin);
  return {bytes.beyond_tokens - skipped.beyond_tokens, bytes.lost - skipped.lost};
}

EncodedCorpus encode_corpus(TokenShardWriter& writer, const Tokenizer& tokenizer, std::span<const std::filesystem::path> inputs, bool always_eos) {
  return CorpusEncoder(writer, tokenizer, inputs, always_eos).encode();
}

TokenShardWriter::Options shard_options(const Tokenizer& tokenizer) {
  return {.token_bytes = tokenizer.token_bytes(), .eos_id = tokenizer.eos_id(), .tokenizer_hash = tokenizer.hash()};
}

}  // namespace lapilli
