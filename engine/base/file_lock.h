#pragma once
// Locks on open files and folders (flock): they end with their process, however that ends. So what a process keeps locked while it works on it
// can be told from what it left behind.

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace lapilli {

// An open file or folder, closed with the object. The lock on it goes with it.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : descriptor_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;

  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }
  int release();
  void close();

 private:
  int descriptor_;
};

// unsupported: the file system has no locks, or not for this.
enum class LockState { held, busy, unsupported };

LockState try_lock(const Descriptor& open);       // does not wait
LockState wait_for_lock(const Descriptor& open);  // held or unsupported
// Whether `path` is still the name of what is open: another process may have removed or replaced it before it was locked.
bool still_names(const std::filesystem::path& path, const Descriptor& open);

// Opens the file, made if it is missing, and locks it. busy: another process holds it, and nothing is open. Throws Error when it cannot be opened.
struct LockedFile {
  LockState state = LockState::busy;
  Descriptor open{};
};
LockedFile lock_file(const std::filesystem::path& path);

// Eight hexadecimal digits, for names that nobody else has.
std::string random_name();

// Removes the entries of `folder` that `is_temporary` says are temporary names, where no process holds a lock. Never throws: what cannot be
// removed stays.
void remove_stale(const std::filesystem::path& folder, const std::function<bool(std::string_view name)>& is_temporary);

}  // namespace lapilli
