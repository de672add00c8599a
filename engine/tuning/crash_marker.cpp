#include "engine/tuning/crash_marker.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/file_lock.h"

namespace lapilli {

namespace {

constexpr std::string_view kSuffix = ".trying-";
constexpr std::array kEndingSignals = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGXCPU, SIGUSR1, SIGUSR2};

// State for the signal handler: the path of the current marker, and the previous action of each signal.
std::atomic<const char*> marker_path = nullptr;
std::atomic<bool> is_ending = false;
std::array<struct sigaction, kEndingSignals.size()> actions_before;

// Async-signal-safe calls only. The signal is blocked here and is delivered again after the return.
extern "C" void on_ending_signal(int signal) {
  const int error = errno;
  is_ending = true;
  if (const char* path = marker_path.exchange(nullptr)) unlink(path);
  for (size_t i = 0; i < kEndingSignals.size(); ++i)
    if (kEndingSignals[i] == signal) sigaction(signal, &actions_before[i], nullptr);
  raise(signal);
  errno = error;
}

bool is_ours(const struct sigaction& action) { return action.sa_handler == on_ending_signal; }

bool has_name(int descriptor) {
  struct stat status = {};
  return fstat(descriptor, &status) == 0 && status.st_nlink > 0;
}

}  // namespace

CrashMarker::CrashMarker(const std::filesystem::path& beside) {
  if (beside.empty() || is_ending) return;
  while (true) {
    path_ = beside.string() + std::string(kSuffix) + "XXXXXX";
    descriptor_ = mkostemp(path_.data(), O_CLOEXEC);
    if (descriptor_ < 0) {
      path_.clear();
      return;
    }
    flock(descriptor_, LOCK_EX);  // waits for processes that inspect it in stale_crash_markers()
    if (has_name(descriptor_)) break;
    close(descriptor_);  // one of them took it for stale before it was locked, and removed it
  }
  try {
    sync_directory(beside.has_parent_path() ? beside.parent_path() : ".");
  } catch (const Error&) {  // then it survives a crash of the process but not of the machine
  }
}

CrashMarker::~CrashMarker() {
  unguard();
  if (descriptor_ < 0) return;
  unlink(path_.c_str());
  close(descriptor_);
}

void CrashMarker::set(std::string_view what, bool synced) {
  if (descriptor_ < 0 || is_ending) return;
  guard();
  const bool written = ftruncate(descriptor_, 0) == 0 && pwrite(descriptor_, what.data(), what.size(), 0) == static_cast<ssize_t>(what.size());
  if (written && synced) fdatasync(descriptor_);
}

void CrashMarker::clear() {
  if (descriptor_ >= 0 && ftruncate(descriptor_, 0) != 0) {  // a full or broken disk: no marker rather than a wrong one
    unlink(path_.c_str());
    close(descriptor_);
    descriptor_ = -1;
  }
  unguard();
}

bool CrashMarker::leave() {
  unguard();
  if (descriptor_ < 0) return false;
  fsync(descriptor_);
  const bool stays = has_name(descriptor_);
  close(descriptor_);
  descriptor_ = -1;
  return stays;
}

void CrashMarker::guard() {
  const char* none = nullptr;
  if (guarding_ || !marker_path.compare_exchange_strong(none, path_.c_str())) return;
  guarding_ = true;
  struct sigaction action = {};
  action.sa_handler = on_ending_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kEndingSignals.size(); ++i) {
    struct sigaction before = {};
    sigaction(kEndingSignals[i], nullptr, &before);
    if (is_ours(before)) continue;  // saved by an earlier marker
    actions_before[i] = before;
    if (before.sa_handler != SIG_IGN) sigaction(kEndingSignals[i], &action, nullptr);
  }
}

void CrashMarker::unguard() {
  if (!guarding_) return;
  guarding_ = false;
  for (size_t i = 0; i < kEndingSignals.size(); ++i) {
    struct sigaction now = {};
    sigaction(kEndingSignals[i], nullptr, &now);
    if (is_ours(now)) sigaction(kEndingSignals[i], &actions_before[i], nullptr);
  }
  marker_path = nullptr;
}

std::vector<StaleCrashMarker> stale_crash_markers(const std::filesystem::path& beside) {
  std::vector<StaleCrashMarker> markers;
  std::error_code ignored;
  const std::string start = beside.filename().string() + std::string(kSuffix);
  const std::filesystem::path folder = beside.has_parent_path() ? beside.parent_path() : ".";
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (!entry.path().filename().string().starts_with(start)) continue;
    const int descriptor = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (flock(descriptor, LOCK_SH | LOCK_NB) == 0) {  // several processes may inspect it at the same time
      std::array<char, 4096> text;
      const ssize_t size = pread(descriptor, text.data(), text.size(), 0);
      markers.push_back({entry.path(), std::string(text.data(), static_cast<size_t>(std::max<ssize_t>(size, 0)))});
    }
    close(descriptor);
  }
  return markers;
}

void remove_stale_crash_marker(const std::filesystem::path& path) {
  const Descriptor marker(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (marker.is_open() && try_lock(marker) == LockState::held && still_names(path, marker)) unlink(path.c_str());
}

}  // namespace lapilli
