#pragma once
// Reads text files of any size in bounded memory and validates them.
//
// Documents: every input file begins a new document, and inside a file a line "<|endoftext|>" separates documents (the
// TinyStories convention). The line may begin with a byte-order mark and end with up to 64 spaces, tabs and carriage
// returns; with more, or with anything else, it is text. The separator line, its newline included, is not text; the
// newline before it is. A document without any text does not count. A byte-order mark at the start of a file is not text.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

inline constexpr std::string_view kDocumentSeparator = "<|endoftext|>";
inline constexpr size_t kMaxBlanksAfterSeparator = 64;  // bounds how far ahead of a line's begin the reader must look

// 'a.txt', or 'a.txt' and 2 more files: for messages. REQUIRES an input.
std::string names_of(std::span<const std::filesystem::path> inputs);

class CorpusReader {
 public:
  // Errors: no inputs, or a missing or empty one. `block_bytes` bounds memory and does not affect the result.
  explicit CorpusReader(std::span<const std::filesystem::path> inputs, size_t block_bytes = 1 << 20);

  struct Piece {
    std::string_view text;         // never empty, whole characters; valid until the next call
    bool starts_document = false;  // the first piece of a document
  };

  // The next piece of text, in order; false at the end of the last file. Error, naming the file and the byte offset, at
  // the first NUL or malformed character; Error at the end when no input had any text.
  bool next(Piece& piece);

  uint64_t document_count() const { return document_count_; }  // documents started so far
  uint64_t total_input_bytes() const { return total_input_bytes_; }
  size_t file_index() const { return file_index_; }  // of the piece last returned

 private:
  bool fill();
  void open_next_file();
  void check_block(size_t begin);
  bool take_line_block(Piece& piece);

  std::vector<std::filesystem::path> inputs_;
  size_t block_bytes_;
  uint64_t total_input_bytes_ = 0;
  uint64_t document_count_ = 0;
  size_t file_index_ = 0;
  size_t next_file_ = 0;

  std::ifstream file_;
  bool file_open_ = false, file_ended_ = false;
  uint64_t buffer_offset_ = 0;  // file offset of buffer_[0]
  std::string buffer_;          // [begin_, end) is not yet returned
  size_t begin_ = 0;            // first byte not yet returned
  size_t checked_ = 0;          // bytes of buffer_ validated as complete characters
  bool at_line_start_ = true, document_begins_ = true;
};

}  // namespace lapilli
