#pragma once
// JSON Lines: one object a line, each with a text under the same name.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "tokenizer/text/input_file.h"

namespace lapilli {

class JsonLines {
 public:
  // The name ends with .jsonl or .ndjson, or with that and .gz or .zst.
  static bool is_name(const std::filesystem::path& path);

  // Reads blocks of `block_bytes`, which does not affect the result. Throws Error when the file cannot be read.
  JsonLines(const std::filesystem::path& path, std::string field, size_t block_bytes);

  // The text of the next line: UTF-8 without NUL, and perhaps empty; false at the end of the file. Lines of blanks are skipped. Throws Error that
  // names file and line for a line that is not an object, has no text under the field's name, or is longer than 256 MiB.
  bool next(std::string& text);

 private:
  bool next_line(std::string_view& line);
  std::string text_of(std::string_view line) const;
  std::string place() const;

  std::string name_, field_;
  InputFile file_;
  size_t block_bytes_;
  std::string buffer_;
  size_t begin_ = 0;        // first byte of buffer_ that is not yet returned
  uint64_t line_ = 0;       // number of the line last returned, from 1
  bool file_ended_ = false;
};

}  // namespace lapilli
