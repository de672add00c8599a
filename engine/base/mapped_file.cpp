#include "engine/base/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include "engine/base/error.h"

namespace lapilli {

namespace {

// The maps of this process, for the signal handler. `begin` is written last and cleared first.
struct MappedRange {
  std::atomic<uintptr_t> begin = 0;
  std::atomic<size_t> size_bytes = 0;
  std::atomic<bool> is_cut = false;
  std::atomic<bool> is_taken = false;
};
constexpr size_t kNoSlot = 256;  // more maps than that are not watched
std::array<MappedRange, kNoSlot> ranges;
std::atomic<uintptr_t> page_bytes = 0;
struct sigaction action_before;

// mmap() is a system call and nothing else: safe here, though no standard says so (systemd's journal does the same).
extern "C" void on_missing_page(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (MappedRange& range : ranges) {
    const uintptr_t begin = range.begin;
    if (begin == 0 || address < begin || address >= begin + range.size_bytes) continue;
    void* page = reinterpret_cast<void*>(address / page_bytes * page_bytes);
    const int error = errno;
    const bool replaced = mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    errno = error;
    if (!replaced) break;
    range.is_cut = true;
    return;
  }
  // Not ours: as if this handler were not there. The fault repeats after the return.
  if ((action_before.sa_flags & SA_SIGINFO) != 0 && action_before.sa_sigaction != nullptr) return action_before.sa_sigaction(signal, info, context);
  sigaction(SIGBUS, &action_before, nullptr);
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_missing_page;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, &action_before);
  });
}

size_t take_slot(const void* data, size_t size_bytes) {
  for (size_t slot = 0; slot < kNoSlot; ++slot) {
    if (ranges[slot].is_taken.exchange(true)) continue;
    ranges[slot].is_cut = false;
    ranges[slot].size_bytes = size_bytes;
    ranges[slot].begin = reinterpret_cast<uintptr_t>(data);
    return slot;
  }
  return kNoSlot;
}

void give_slot_back(size_t slot) {
  if (slot == kNoSlot) return;
  ranges[slot].begin = 0;
  ranges[slot].is_taken = false;
}

Error system_error(const char* what, const std::string& path) { return Error("cannot {} '{}': {}", what, path, std::strerror(errno)); }

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path.string()), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)), slot_(kNoSlot) {
  if (!file_.is_open()) throw system_error("open", path_);
  struct stat info{};
  if (fstat(file_.get(), &info) != 0 || !S_ISREG(info.st_mode)) throw Error("cannot map '{}': it is not a plain file", path_);
  size_bytes_ = static_cast<size_t>(info.st_size);
  if (size_bytes_ == 0) return;
  install_handler();
  data_ = mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, file_.get(), 0);
  if (data_ == MAP_FAILED) {
    data_ = nullptr;
    throw system_error("map", path_);
  }
  slot_ = take_slot(data_, size_bytes_);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  give_slot_back(slot_);
  munmap(data_, size_bytes_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      slot_(std::exchange(other.slot_, kNoSlot)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  std::swap(slot_, other.slot_);
  return *this;
}

void MappedFile::require_whole() const {
  struct stat info{};
  const bool is_short = data_ != nullptr && (fstat(file_.get(), &info) != 0 || static_cast<size_t>(info.st_size) < size_bytes_);
  if (is_short || (slot_ != kNoSlot && ranges[slot_].is_cut)) throw Error("'{}' was cut short, or cannot be read, since it was opened", path_);
}

}  // namespace lapilli
