#include "engine/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"

namespace lapilli {

namespace {

Error system_error(std::string_view what, const std::filesystem::path& path) {
  return Error("cannot {} '{}': {}", what, path.string(), std::strerror(errno));
}

constexpr std::string_view kTemporary = ".tmp-";

// Until the end of the file, which may be a pipe. Bytes: std::string or a vector of bytes.
template <typename Bytes>
Bytes read_all(const std::filesystem::path& path) {
  const Descriptor in(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.is_open()) throw system_error("read", path);
  struct stat info{};
  if (fstat(in.get(), &info) != 0) throw system_error("read", path);
  if (S_ISDIR(info.st_mode)) throw Error("cannot read '{}': it is a folder", path.string());
  constexpr size_t kBlockBytes = 1 << 16;
  Bytes bytes;
  bytes.resize(std::max(kBlockBytes, static_cast<size_t>(info.st_size) + 1));  // one more than the file has: its end is seen without growing
  size_t size_bytes = 0;
  while (true) {
    if (size_bytes == bytes.size()) bytes.resize(2 * bytes.size());
    const ssize_t count = read(in.get(), bytes.data() + size_bytes, bytes.size() - size_bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw system_error("read", path);
    size_bytes += static_cast<size_t>(count);
    if (count == 0) break;
  }
  bytes.resize(size_bytes);
  return bytes;
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) { return read_all<std::string>(path); }
std::vector<std::byte> read_binary_file(const std::filesystem::path& path) { return read_all<std::vector<std::byte>>(path); }

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  const std::string start = path_.filename().string() + std::string(kTemporary);
  remove_stale(path_.has_parent_path() ? path_.parent_path() : ".", [&](std::string_view name) { return name.starts_with(start); });
  while (true) {
    temporary_ = path_;
    temporary_ += fmt::format("{}{}", kTemporary, random_name());
    open_ = Descriptor(open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!open_.is_open() && errno != EEXIST) throw system_error("write", temporary_);
    // Another process may have taken it for a stale one before it was locked.
    if (open_.is_open() && (wait_for_lock(open_) == LockState::unsupported || still_names(temporary_, open_))) break;
  }
}

AtomicFile::~AtomicFile() {
  if (open_.is_open()) unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write_at(size_bytes_, bytes);
  size_bytes_ += bytes.size();
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(open_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      throw system_error("write", temporary_);
    }
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::commit() {
  if (fsync(open_.get()) != 0) throw system_error("sync", temporary_);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) throw system_error("rename into place", path_);
  open_.close();
  sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void copy_file_atomically(const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::vector<std::byte> bytes = read_binary_file(from);
  AtomicFile file(to);
  file.write(bytes);
  file.commit();
}

void sync_directory(const std::filesystem::path& directory) {
  const Descriptor folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) throw system_error("open folder", directory);
  fsync(folder.get());  // some file systems refuse this on a folder; the rename itself is atomic all the same
}

}  // namespace lapilli
