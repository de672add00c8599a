#include "model/run/run_folder.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "model/io/checkpoint.h"

namespace lapilli {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLockName = ".lock";

// For remove_unkept(): null, or strings of the folder that may have to go.
std::atomic<const char*> unkept_lock = nullptr, unkept_folder = nullptr;

bool has(const fs::path& folder, const char* name) {
  std::error_code ignored;
  return fs::exists(folder / name, ignored);
}

bool is_empty_but_for_the_lock(const fs::path& folder) {
  std::error_code failure;
  for (auto entry = fs::directory_iterator(folder, failure); !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    if (entry->path().filename() != kLockName) return false;
  }
  return !failure;
}

bool make_folder(const fs::path& folder) {
  std::error_code failure;
  const bool made = fs::create_directories(folder, failure);
  if (failure) throw Error("cannot make the run folder '{}': {}", folder.string(), failure.message());
  return made;
}

}  // namespace

RunFolder::RunFolder(fs::path path, bool resume, bool just_made) : path_(std::move(path)), lock_path_((path_ / kLockName).string()) {
  std::error_code ignored;
  if (resume && !fs::exists(path_, ignored)) throw Error("there is no run folder '{}' to resume", path_.string());
  const bool made = make_folder(path_) || just_made;
  if (made) made_path_ = path_.string();
  else require_run(resume);  // before a file is made in a folder that is not ours
  lock_ = lock_file(lock_path_);
  if (lock_.state == LockState::busy) {
    const std::string owner = read_text_file(lock_path_);
    throw Error("another process{} is training in '{}'; wait for it, or name another folder with --run", owner.empty() ? "" : " (" + owner + ")",
                path_.string());
  }
  unkept_folder = made_path_.empty() ? nullptr : made_path_.c_str();
  unkept_lock = lock_path_.c_str();
  try {
    if (lock_.state == LockState::unsupported)
      log_warning("the file system of '{}' has no locks: do not start a second process there", path_.string());
    const std::string text = fmt::format("pid {}", getpid());
    if (ftruncate(lock_.open.get(), 0) != 0 || pwrite(lock_.open.get(), text.data(), text.size(), 0) < 0)
      throw Error("cannot write '{}': {}", lock_path_, std::strerror(errno));
    require_run(resume);  // again: it may have become one meanwhile
  } catch (...) {
    remove_unkept();
    throw;
  }
}

void RunFolder::unlock() {
  if (lock_.open.is_open() && still_names(lock_path_, lock_.open)) unlink(lock_path_.c_str());
  lock_.open = Descriptor();
}

RunFolder::~RunFolder() {
  remove_unkept();
  unlock();
}

void RunFolder::keep() { unkept_folder = nullptr; }

void RunFolder::remove_unkept() {
  if (const char* lock = unkept_lock.exchange(nullptr)) unlink(lock);
  if (const char* folder = unkept_folder.exchange(nullptr)) rmdir(folder);  // if it is empty
}

void RunFolder::require_run(bool resume) const {
  const bool has_checkpoint = !find_latest_checkpoint(path_).empty();
  const bool is_run = has(path_, kRunCheckpointsName) || has(path_, kRunMetricsName);
  if (resume) {
    if (!has_checkpoint) throw Error("there is no checkpoint to resume from in '{}'", path_.string());
    return;
  }
  if (has_checkpoint) throw Error("'{}' already holds a run; add --resume to continue it, or name another folder with --run", path_.string());
  if (!is_run && !is_empty_but_for_the_lock(path_))
    throw Error("'{}' is neither empty nor a run: training would replace files in it; name another folder with --run", path_.string());
}

fs::path make_numbered_folder(const fs::path& parent, const std::string& name) {
  make_folder(parent);
  for (uint32_t number = 1;; ++number) {
    const fs::path folder = parent / fmt::format("{}-{}", name, number);
    std::error_code failure;
    if (fs::create_directory(folder, failure)) return folder;
    if (failure) throw Error("cannot make the run folder '{}': {}", folder.string(), failure.message());
  }
}

}  // namespace lapilli
