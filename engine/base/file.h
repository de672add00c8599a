#pragma once
// Files, with the guarantees that shards, checkpoints and caches need: a file is complete or absent, and errors name
// the path and the reason.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/file_lock.h"

namespace lapilli {

std::string read_text_file(const std::filesystem::path& path);
std::vector<std::byte> read_binary_file(const std::filesystem::path& path);

// Writes `path`.tmp-XXXXXXXX, syncs it, renames it to `path` and syncs the folder: after a power cut the old or the new
// file is there, complete. On failure removes the temporary file and throws Error with the path and the system's
// reason. Temporary files that dead processes left for the same path are removed.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  // Overwrites bytes already written (a header whose fields are known at the end).
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t size_bytes() const { return size_bytes_; }
  void commit();  // otherwise the destructor discards the file

 private:
  std::filesystem::path path_, temporary_;
  Descriptor open_;
  uint64_t size_bytes_ = 0;
};

void write_file_atomically(const std::filesystem::path& path, std::string_view text);
void copy_file_atomically(const std::filesystem::path& from, const std::filesystem::path& to);
void sync_directory(const std::filesystem::path& directory);

}  // namespace lapilli
