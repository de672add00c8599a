#include "engine/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "engine/base/error.h"

namespace lapilli {

namespace {

Error system_error(std::string_view what, const std::filesystem::path& path) {
  return Error("cannot {} '{}': {}", what, path.string(), std::strerror(errno));
}

std::ifstream open_to_read(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) throw Error("cannot read '{}': it is a folder", path.string());
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw system_error("read", path);
  return in;
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  std::ostringstream text;
  const std::ifstream in = open_to_read(path);
  if (in.rdbuf()->in_avail() != 0 || std::filesystem::file_size(path) > 0) text << in.rdbuf();
  return std::move(text).str();
}

std::vector<std::byte> read_binary_file(const std::filesystem::path& path) {
  std::ifstream in = open_to_read(path);
  std::vector<std::byte> bytes(std::filesystem::file_size(path));
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (static_cast<size_t>(in.gcount()) != bytes.size()) throw Error("cannot read all of '{}'", path.string());
  return bytes;
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  temporary_ = path_;
  temporary_ += fmt::format(".tmp-{}", getpid());
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw system_error("write", temporary_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write_at(size_bytes_, bytes);
  size_bytes_ += bytes.size();
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      throw system_error("write", temporary_);
    }
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) throw system_error("sync", temporary_);
  close(descriptor_);
  descriptor_ = -1;
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    const Error error = system_error("rename into place", path_);
    unlink(temporary_.c_str());
    throw error;
  }
  sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void sync_directory(const std::filesystem::path& directory) {
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw system_error("open folder", directory);
  fsync(descriptor);  // some file systems refuse this on a folder; the rename itself is atomic all the same
  close(descriptor);
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw system_error("open", path);
  struct stat info{};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    throw Error("cannot map '{}': it is not a plain file", path.string());
  }
  size_bytes_ = static_cast<size_t>(info.st_size);
  if (size_bytes_ > 0) {
    data_ = mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, descriptor, 0);
    if (data_ == MAP_FAILED) {
      data_ = nullptr;
      close(descriptor);
      throw system_error("map", path);
    }
  }
  close(descriptor);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_bytes_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

}  // namespace lapilli
