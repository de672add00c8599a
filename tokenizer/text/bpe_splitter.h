#pragma once
// A text -> the words of byte-level BPE, by the regular expressions of its models (PCRE2).

#include <memory>
#include <string_view>

#include "tokenizer/text/byte_bpe_model.h"

namespace lapilli {

// The expression of the Llama 3 splitter as its tokenizer.json writes it.
extern const std::string_view kLlama3Pattern;

class WordSplitter {
 public:
  explicit WordSplitter(BpeSplitter splitter);
  ~WordSplitter();
  WordSplitter(WordSplitter&&) noexcept;
  WordSplitter& operator=(WordSplitter&&) noexcept;

  // Bytes of the first word of the text. With `is_end` false, 0 where text that follows might change it. The words of a text are those of its
  // rest behind any word: nothing looks back. One thread at a time. REQUIRES: valid UTF-8, not empty.
  size_t first_word(std::string_view text, bool is_end);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lapilli
