#pragma once
// Texts -> tokens by several threads, in the order in which they were given.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tokenizer/text/tokenizer.h"

namespace lapilli {

// Texts one after the other in one string. Each is a document or a part of one that ends at a cut (last_cut()).
struct TextBatch {
  struct Part {
    size_t begin = 0;              // of text; the part ends where the next begins
    bool starts_document = false;  // else it continues the part before it
    size_t file_index = 0;         // for the caller
  };
  std::string text;
  std::vector<Part> parts;  // rising

  std::string_view part_text(size_t part) const {
    const size_t end = part + 1 < parts.size() ? parts[part + 1].begin : text.size();
    return std::string_view(text).substr(parts[part].begin, end - parts[part].begin);
  }
};

struct EncodedBatch {
  struct Part {
    size_t begin = 0;         // of ids
    uint64_t text_bytes = 0;
    uint64_t lost_bytes = 0;  // as encode_prefix() counts them
  };
  TextBatch source;
  std::vector<uint32_t> ids;
  std::vector<Part> parts;  // as those of the source

  std::span<const uint32_t> part_ids(size_t part) const {
    const size_t end = part + 1 < parts.size() ? parts[part + 1].begin : ids.size();
    return std::span(ids).subspan(parts[part].begin, end - parts[part].begin);
  }
};

// Where a text of more than `begin` bytes may be cut after that so that its two halves, encoded one by one, have the tokens of the whole: behind
// the last single newline that stands between two characters of which neither is white space. Such a newline ends a word of every kind of
// tokenizer that Tokenizer reads, whatever comes later: of SentencePiece it is a word; the expressions of byte-level BPE end a word
// with it, and no added token of theirs goes on behind it (Tokenizer refuses those). 0: nowhere.
size_t last_cut(std::string_view text, size_t begin);

class TextEncoder {
 public:
  // `tokenizer` must outlive the object. The first batch is encoded by the caller's thread; with a second one `threads` (0: one for each core)
  // are started, each with a copy of the tokenizer loaded from its file.
  TextEncoder(const Tokenizer& tokenizer, unsigned threads);
  ~TextEncoder();
  TextEncoder(const TextEncoder&) = delete;
  TextEncoder& operator=(const TextEncoder&) = delete;

  void put(TextBatch batch);
  // Whether so many batches have been put and not taken that the next should wait until one is taken.
  bool is_full() const;
  bool is_empty() const { return slots_.empty(); }
  // Waits for the batch that was put first. Throws what its thread threw: a tokenizer file that cannot be read any more.
  // REQUIRES: not is_empty().
  EncodedBatch take();

 private:
  struct Slot {
    TextBatch batch;
    EncodedBatch encoded;
    std::exception_ptr error;
    bool done = false;
  };
  void work();
  std::shared_ptr<Slot> next_slot();

  const Tokenizer& tokenizer_;
  size_t thread_count_;
  bool has_put_ = false;
  std::deque<std::shared_ptr<Slot>> slots_;  // of the caller: put and not taken

  std::mutex mutex_;
  std::condition_variable has_work_, has_result_;
  std::deque<std::shared_ptr<Slot>> waiting_;  // put and not begun
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lapilli
