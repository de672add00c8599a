#pragma once
// Files as memory.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "engine/base/file_lock.h"

namespace lapilli {

// A read-only memory map of a whole file. Pages are read when touched.
//
// A file that another program cuts short while it is mapped would end the process at the next touch (SIGBUS). Instead the missing pages read as
// zeros from then on, and require_whole() says so: who reads a map calls it after what it has read, before using it. A file system that cannot
// read a page, as of a broken disk, is the same.
class MappedFile {
 public:
  // Throws Error when the file cannot be opened, or is no plain file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_bytes_}; }
  // Throws Error if the file is shorter than when it was mapped, or a page was missing since.
  void require_whole() const;

 private:
  std::string path_;
  Descriptor file_;
  void* data_ = nullptr;
  size_t size_bytes_ = 0;
  size_t slot_ = 0;  // in the table that the signal handler reads
};

}  // namespace lapilli
