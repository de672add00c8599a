#pragma once
// Reads text files of any size in bounded memory and validates them. They may be compressed (input_file.h).
//
// Documents: every input file begins a new document, and inside a file a line "<|endoftext|>" separates documents (the
// TinyStories convention). The line may begin with a byte-order mark and end with up to 64 spaces, tabs and carriage
// returns; with more, or with anything else, it is text. The separator line, its newline included, is not text; the
// newline before it is. A document without any text does not count. A byte-order mark at the start of a file is not text.
// Of a JSON Lines file (by its name, json_lines.h) each line is a document, and its text is taken as it is.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/text/input_file.h"
#include "tokenizer/text/json_lines.h"

namespace lapilli {

inline constexpr std::string_view kDocumentSeparator = "<|endoftext|>";
inline constexpr size_t kMaxBlanksAfterSeparator = 64;  // bounds how far ahead of a line's begin the reader must look

// 'a.txt', or 'a.txt' and 2 more files: for messages. REQUIRES an input.
std::string names_of(std::span<const std::filesystem::path> inputs);

struct CorpusOptions {
  std::string field = "text";    // of the objects in JSON Lines
  size_t block_bytes = 1 << 20;  // bounds memory and does not affect the result
};

class CorpusReader {
 public:
  // Errors: no inputs, or a missing or empty one.
  explicit CorpusReader(std::span<const std::filesystem::path> inputs, CorpusOptions options = {});

  struct Piece {
    std::string_view text;         // never empty, whole characters; valid until the next call; of JSON Lines a whole document
    bool starts_document = false;  // the first piece of a document
  };

  // The next piece of text, in order; false at the end of the last file. Error, naming the file and the byte offset, at
  // the first NUL or malformed character (JSON Lines: and the line); Error at the end when no input had any text.
  bool next(Piece& piece);

  uint64_t document_count() const { return document_count_; }  // documents started so far
  // Of all files, decompressed: the first call reads through those that are compressed.
  uint64_t total_input_bytes();
  size_t file_index() const { return file_index_; }  // of the piece last returned

 private:
  bool next_of_file(Piece& piece);
  bool next_of_json_lines(Piece& piece);
  bool fill();
  void open_next_file();
  void check_block(size_t begin);
  bool take_line_block(Piece& piece);

  std::vector<std::filesystem::path> inputs_;
  CorpusOptions options_;
  std::optional<uint64_t> total_input_bytes_;
  uint64_t document_count_ = 0;
  size_t file_index_ = 0;
  size_t next_file_ = 0;

  std::optional<InputFile> file_;    // the file being read,
  std::optional<JsonLines> lines_;   // or this
  bool file_ended_ = false;
  uint64_t buffer_offset_ = 0;  // file offset of buffer_[0]
  std::string buffer_;          // [begin_, end) is not yet returned; of JSON Lines the document last returned
  size_t begin_ = 0;            // first byte not yet returned
  size_t checked_ = 0;          // bytes of buffer_ validated as complete characters
  bool at_line_start_ = true, document_begins_ = true;
};

}  // namespace lapilli
