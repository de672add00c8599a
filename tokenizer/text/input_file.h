#pragma once
// A file read from front to back: as it is, or decompressed on the way if it is gzip or zstd (several streams one after the other, too).
//
// Which of them it is, its first bytes say: no UTF-8 text begins like either. Memory is bounded whatever the file expands to: a stream that
// needs a window of more than 128 MiB is refused.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace lapilli {

class Decompressor;

class InputFile {
 public:
  // Throws Error when the file cannot be read, or is named .gz or .zst and is not compressed like that.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  // Fills `out`, except at the end of the file: returns the bytes read. Throws Error when the file cannot be read, is damaged, or ends inside
  // a compressed stream.
  size_t read(std::span<char> out);
  bool is_compressed() const { return decompressor_ != nullptr; }

 private:
  size_t read_raw(std::span<char> out);

  std::string name_;
  std::ifstream file_;
  std::unique_ptr<Decompressor> decompressor_;  // null: not compressed
  std::vector<char> block_;                     // compressed bytes
  std::span<const char> unread_;                // of block_
};

// The name without .gz or .zst: "text.jsonl.gz" -> "text.jsonl".
std::filesystem::path without_compression_suffix(const std::filesystem::path& path);

// Bytes that reading the file gives. Decompresses all of a compressed one to find out.
uint64_t decompressed_size(const std::filesystem::path& path);

}  // namespace lapilli
