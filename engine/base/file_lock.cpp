#include "engine/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "engine/base/error.h"

namespace lapilli {

namespace fs = std::filesystem;

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  close();
  descriptor_ = other.release();
  return *this;
}

int Descriptor::release() { return std::exchange(descriptor_, -1); }

void Descriptor::close() {
  if (descriptor_ >= 0) ::close(release());
}

namespace {

LockState lock(const Descriptor& open, int operation) {
  while (flock(open.get(), operation) != 0) {
    if (errno == EWOULDBLOCK) return LockState::busy;
    if (errno != EINTR) return LockState::unsupported;
  }
  return LockState::held;
}

}  // namespace

LockState try_lock(const Descriptor& open) { return lock(open, LOCK_EX | LOCK_NB); }
LockState wait_for_lock(const Descriptor& open) { return lock(open, LOCK_EX); }

bool still_names(const fs::path& path, const Descriptor& open) {
  struct stat of_path{}, of_open{};
  return lstat(path.c_str(), &of_path) == 0 && fstat(open.get(), &of_open) == 0 && of_path.st_dev == of_open.st_dev &&
         of_path.st_ino == of_open.st_ino;
}

LockedFile lock_file(const fs::path& path) {
  while (true) {
    Descriptor open(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!open.is_open()) throw Error("cannot write '{}': {}", path.string(), std::strerror(errno));
    const LockState state = try_lock(open);
    if (state == LockState::busy) return {};
    if (state == LockState::unsupported || still_names(path, open)) return {.state = state, .open = std::move(open)};
  }
}

std::string random_name() { return fmt::format("{:08x}", std::random_device{}()); }

void remove_stale(const fs::path& folder, const std::function<bool(std::string_view)>& is_temporary) {
  std::error_code failure;
  std::vector<fs::path> found;
  for (auto entry = fs::directory_iterator(folder, failure); !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    if (is_temporary(entry->path().filename().string())) found.push_back(entry->path());
  }
  for (const fs::path& path : found) {
    const Descriptor open(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!open.is_open() || try_lock(open) != LockState::held || !still_names(path, open)) continue;
    fs::remove_all(path, failure);
  }
}

}  // namespace lapilli
