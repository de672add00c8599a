#include "tokenizer/data/text_encoder.h"

#include <algorithm>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace lapilli {

namespace {

// A character that is certainly no white space, and that no newline is part of: ASCII but for blanks and controls, and the blocks of Unicode
// without spaces. (Latin-1's and Ogham's spaces and those of General Punctuation begin with C2, E1 and E2; U+3000 is E3 80 80.)
bool is_visible(std::string_view character) {
  const auto lead = static_cast<uint8_t>(character[0]);
  if (lead < 0x80) return lead > 0x20 && lead != 0x7F;
  return lead > 0xC2 && lead != 0xE1 && lead != 0xE2 && character != "\xE3\x80\x80";
}

// The character that begins, or that ends, at `at`. REQUIRES: valid UTF-8 and a character there.
std::string_view character_at(std::string_view text, size_t at) { return text.substr(at, utf8_length(text[at])); }
std::string_view character_before(std::string_view text, size_t at) {
  size_t begin = at - 1;
  while ((static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return text.substr(begin, at - begin);
}

EncodedBatch encode(const Tokenizer& tokenizer, TextBatch batch) {
  EncodedBatch encoded;
  for (size_t part = 0; part < batch.parts.size(); ++part) {
    const std::string_view text = batch.part_text(part);
    EncodedBatch::Part made{.begin = encoded.ids.size(), .text_bytes = text.size()};
    tokenizer.encode_prefix(encoded.ids, text, /*is_end=*/true, &made.lost_bytes);
    encoded.parts.push_back(made);
  }
  encoded.source = std::move(batch);
  return encoded;
}

}  // namespace

size_t last_cut(std::string_view text, size_t begin) {
  for (size_t newline = text.size(); newline > begin + 1;) {
    newline = text.rfind('\n', newline - 1);
    if (newline == std::string_view::npos || newline <= begin) return 0;
    if (newline + 1 < text.size() && is_visible(character_at(text, newline + 1)) && is_visible(character_before(text, newline))) return newline + 1;
  }
  return 0;
}

TextEncoder::TextEncoder(const Tokenizer& tokenizer, unsigned threads)
    : tokenizer_(tokenizer), thread_count_(threads > 0 ? threads : std::max(1U, std::thread::hardware_concurrency())) {}

TextEncoder::~TextEncoder() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  has_work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool TextEncoder::is_full() const { return slots_.size() >= 2 * thread_count_ + 1; }

void TextEncoder::put(TextBatch batch) {
  const auto slot = std::make_shared<Slot>();
  slots_.push_back(slot);
  if (!std::exchange(has_put_, true) || thread_count_ == 1) {
    slot->encoded = encode(tokenizer_, std::move(batch));
    slot->done = true;
    return;
  }
  while (threads_.size() < thread_count_) threads_.emplace_back([this] { work(); });
  slot->batch = std::move(batch);
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(slot);
  }
  has_work_.notify_one();
}

EncodedBatch TextEncoder::take() {
  CHECK(!slots_.empty(), "no batch to take");
  const std::shared_ptr<Slot> slot = std::move(slots_.front());
  slots_.pop_front();
  std::unique_lock lock(mutex_);
  has_result_.wait(lock, [&] { return slot->done; });
  if (slot->error) std::rethrow_exception(slot->error);
  return std::move(slot->encoded);
}

std::shared_ptr<TextEncoder::Slot> TextEncoder::next_slot() {
  std::unique_lock lock(mutex_);
  has_work_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
  if (stopping_) return nullptr;
  std::shared_ptr<Slot> slot = std::move(waiting_.front());
  waiting_.pop_front();
  return slot;
}

void TextEncoder::work() {
  std::unique_ptr<Tokenizer> own;  // encoding fills its cache: one thread at a time
  while (const std::shared_ptr<Slot> slot = next_slot()) {
    std::exception_ptr error;
    EncodedBatch encoded;
    try {
      if (!own) own = std::make_unique<Tokenizer>(tokenizer_.path());
      if (own->hash() != tokenizer_.hash()) throw Error("'{}' has changed while it was used", tokenizer_.path().string());
      encoded = encode(*own, std::move(slot->batch));
    } catch (...) {
      error = std::current_exception();
    }
    {
      const std::scoped_lock lock(mutex_);
      slot->encoded = std::move(encoded);
      slot->error = error;
      slot->done = true;
    }
    has_result_.notify_one();
  }
}

}  // namespace lapilli
