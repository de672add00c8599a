#include "tokenizer/data/corpus_encoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "engine/base/error.h"
#include "tokenizer/data/text_encoder.h"
#include "tokenizer/text/corpus.h"

namespace lapilli {

namespace {

class CorpusEncoder {
 public:
  CorpusEncoder(TokenShardWriter& writer, const Tokenizer& tokenizer, std::span<const std::filesystem::path> inputs, const EncodeOptions& options)
      : writer_(writer),
        tokenizer_(tokenizer),
        token_bytes_(tokenizer.token_bytes()),
        inputs_(inputs),
        options_(options),
        encoder_(tokenizer, options.threads) {}

  EncodedCorpus encode() {
    encoded_.documents.assign(inputs_.size(), 0);
    CorpusReader reader(inputs_, {.field = options_.field});
    for (CorpusReader::Piece piece; reader.next(piece);) {
      if (piece.starts_document && batch_.text.size() >= options_.batch_bytes) send(batch_.text.size());
      if (piece.starts_document || batch_.parts.empty())
        batch_.parts.push_back({.begin = batch_.text.size(), .starts_document = piece.starts_document, .file_index = reader.file_index()});
      batch_.text.append(piece.text);
      if (batch_.text.size() >= options_.batch_bytes) cut_batch();
    }
    send(batch_.text.size());
    while (!encoder_.is_empty()) write(encoder_.take());
    if (options_.always_eos || document_count_ > 1) append_eos();
    writer_.add_text_bytes(total_.beyond_tokens);
    return std::move(encoded_);
  }

 private:
  // Sends what later text cannot change: up to a cut in the last document, or to its begin.
  void cut_batch() {
    const size_t last_begin = batch_.parts.back().begin;
    if (const size_t cut = last_cut(batch_.text, last_begin)) return send(cut);
    if (last_begin > 0) return send(last_begin);
    if (batch_.text.size() >= encode_here_at_) encode_here();
  }

  // The first `bytes` of the batch; the rest stays.
  void send(size_t bytes) {
    TextBatch rest{.text = batch_.text.substr(bytes), .parts = {}};
    const auto first_kept = std::ranges::lower_bound(batch_.parts, bytes, {}, &TextBatch::Part::begin);
    if (!rest.text.empty() && (first_kept == batch_.parts.end() || first_kept->begin > bytes)) rest.parts.push_back({});
    for (auto part = first_kept; part != batch_.parts.end(); ++part) {
      rest.parts.push_back(*part);
      rest.parts.back().begin -= bytes;
    }
    batch_.parts.erase(first_kept, batch_.parts.end());
    batch_.text.resize(bytes);
    while (encoder_.is_full()) write(encoder_.take());
    if (bytes > 0) encoder_.put(std::move(batch_));
    batch_ = std::move(rest);
  }

  // REQUIRES: the batch is (part of) one document.
  void encode_here() {
    while (!encoder_.is_empty()) write(encoder_.take());
    EncodedBatch encoded{.source = {.text = {}, .parts = batch_.parts}, .ids = {}, .parts = {{}}};
    encoded.parts[0].text_bytes = tokenizer_.encode_prefix(encoded.ids, batch_.text, /*is_end=*/false, &encoded.parts[0].lost_bytes);
    batch_.text.erase(0, encoded.parts[0].text_bytes);
    batch_.parts[0].starts_document = false;
    encode_here_at_ = std::max(options_.most_batch_bytes, 2 * batch_.text.size());  // a word without end is not looked at for each block
    write(encoded);
  }

  void write(const EncodedBatch& batch) {
    for (size_t i = 0; i < batch.parts.size(); ++i) {
      if (const TextBatch::Part& source = batch.source.parts[i]; source.starts_document) {
        if (document_count_++ > 0) append_eos();
        writer_.begin_document();
        ++encoded_.documents[source.file_index];
      }
      write_part(batch.part_ids(i), batch.parts[i]);
    }
  }

  void write_part(std::span<const uint32_t> ids, const EncodedBatch::Part& part) {
    auto beyond_tokens = static_cast<int64_t>(part.text_bytes);
    for (const uint32_t id : ids) beyond_tokens -= token_bytes_[id];
    if (part.lost_bytes > 0 || beyond_tokens != 0) {
      encoded_.add_mark(writer_.token_count(), total_);
      total_.lost += part.lost_bytes;
      total_.beyond_tokens += beyond_tokens;
      encoded_.add_mark(writer_.token_count() + ids.size(), total_);
    }
    writer_.append(ids);
  }

  void append_eos() {
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
  const EncodeOptions& options_;
  TextEncoder encoder_;
  TextBatch batch_;  // read and not yet sent
  size_t encode_here_at_ = options_.most_batch_bytes;
  uint64_t document_count_ = 0;  // written
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

EncodedCorpus encode_corpus(TokenShardWriter& writer, const Tokenizer& tokenizer, std::span<const std::filesystem::path> inputs,
                            const EncodeOptions& options) {
  return CorpusEncoder(writer, tokenizer, inputs, options).encode();
}

TokenShardWriter::Options shard_options(const Tokenizer& tokenizer) {
  return {.token_bytes = tokenizer.token_bytes(), .eos_id = tokenizer.eos_id(), .tokenizer_hash = tokenizer.hash()};
}

}  // namespace lapilli
