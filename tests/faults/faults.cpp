// Faults done to a program from outside (LD_PRELOAD): a process killed or a power cut at one file operation, a full disk, a lost or hanging
// device, no device memory. Nothing of it is in the program.
//
//   c++ -std=c++20 -O2 -fPIC -shared tests/faults/faults.cpp -o /tmp/faults.so -ldl
//   FAULT_ROOT=DIR FAULT_KILL=17 LD_PRELOAD=/tmp/faults.so build/lapilli train ...
//
//   FAULT_ROOT=DIR       only files below DIR count; required for the faults of files
//   FAULT_COUNT=FILE     writes the number of file operations to FILE at the end
//   FAULT_KILL=K         SIGKILL in place of the K-th operation that changes files or folders (open to write, write, sync, rename, unlink ...)
//   FAULT_POWER=1        what was not synced is lost: contents back to the last fsync, renames undone whose folder was not synced. With
//                        FAULT_KILL at that operation, alone when the process ends
//   FAULT_DISK=N         after N bytes every write fails with ENOSPC
//   FAULT_DISK_FILE=NAME only writes to files of this name count for FAULT_DISK
//   FAULT_CLOCK=1        the wall clock goes back by an hour each time that it is asked
//   FAULT_SUBMIT=K       from the K-th vkQueueSubmit2 on, the device is lost
//   FAULT_WAIT=K         the same from the K-th vkWaitSemaphores on
//   FAULT_HANG=K         the K-th vkWaitSemaphores times out
//   FAULT_ALLOCATE=K     the K-th vkAllocateMemory finds no memory
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <vulkan/vulkan.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

long setting(const char* name) {
  const char* text = getenv(name);
  return text == nullptr ? 0 : atol(text);
}

std::string text(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

template <typename Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

struct Rename {
  std::string from, to;
};

struct State {
  std::recursive_mutex mutex;
  std::string root = text("FAULT_ROOT"), full_file = text("FAULT_DISK_FILE");
  long kill = setting("FAULT_KILL"), disk = setting("FAULT_DISK"), operations = 0, written = 0;
  bool power = setting("FAULT_POWER") != 0;
  std::map<int, std::string> open;  // descriptor -> path, of files open to write
  std::map<std::string, off_t> synced;  // path -> size at the last fsync, of files written since
  std::vector<Rename> renames;  // whose folder was not synced since
};

// Never destroyed: files are closed until the very end.
State& state() {
  static State* made = new State;
  return *made;
}

std::string whole(const char* path) {
  if (path[0] == '/') return path;
  char folder[4096];
  return getcwd(folder, sizeof folder) == nullptr ? path : std::string(folder) + "/" + path;
}

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
bool counts(const std::string& path) { return !state().root.empty() && path.starts_with(state().root); }

[[noreturn]] void cut_power() {
  State& s = state();
  for (auto last = s.renames.rbegin(); last != s.renames.rend(); ++last)
    real<int (*)(const char*, const char*)>("rename")(last->to.c_str(), last->from.c_str());
  for (const auto& [path, size] : s.synced) {
    std::string now = path;
    for (auto last = s.renames.rbegin(); last != s.renames.rend(); ++last)
      if (now.starts_with(last->to)) now = last->from + now.substr(last->to.size());
    [[maybe_unused]] const int ignored = real<int (*)(const char*, off_t)>("truncate")(now.c_str(), size);
  }
  raise(SIGKILL);
  abort();
}

// One operation that changes files.
void operation() {
  State& s = state();
  if (++s.operations != s.kill) return;
  if (s.power) cut_power();
  raise(SIGKILL);
}

// A file or folder has another name: what is known of it moves along.
void moved(const std::string& from, const std::string& to) {
  State& s = state();
  std::map<std::string, off_t> synced;
  for (auto& [path, size] : s.synced) synced[path.starts_with(from) ? to + path.substr(from.size()) : path] = size;
  s.synced = synced;
  for (auto& [descriptor, path] : s.open)
    if (path.starts_with(from)) path = to + path.substr(from.size());
}

void opened(int descriptor, const std::string& path, bool truncates) {
  if (descriptor < 0) return;
  State& s = state();
  s.open[descriptor] = path;
  struct stat info{};
  if (truncates) s.synced[path] = 0;
  else if (!s.synced.contains(path) && stat(path.c_str(), &info) == 0) s.synced[path] = info.st_size;
}

// The error for a write to the descriptor; 0: none.
int before_write(int descriptor, size_t size_bytes) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto file = s.open.find(descriptor);
  if (file == s.open.end()) return 0;
  operation();
  if (!s.full_file.empty() && !file->second.ends_with("/" + s.full_file)) return 0;
  s.written += static_cast<long>(size_bytes);
  return s.disk > 0 && s.written > s.disk ? ENOSPC : 0;
}

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const bool tracked = counts(whole(path)) && (flags & (O_WRONLY | O_RDWR)) != 0;
  if (tracked) operation();
  const int descriptor = real<int (*)(const char*, int, ...)>(name)(path, flags, mode);
  if (tracked) opened(descriptor, whole(path), (flags & (O_TRUNC | O_EXCL)) != 0);
  return descriptor;
}

FILE* fopen_as(const char* name, const char* path, const char* mode) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const bool tracked = counts(whole(path)) && mode[0] != 'r';
  if (tracked) operation();
  FILE* file = real<FILE* (*)(const char*, const char*)>(name)(path, mode);
  if (tracked && file != nullptr) opened(fileno(file), whole(path), mode[0] == 'w');
  return file;
}

int sync_as(const char* name, int descriptor) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  struct stat info{};
  if (fstat(descriptor, &info) != 0) return real<int (*)(int)>(name)(descriptor);
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path);
  const std::string of(path, length > 0 ? static_cast<size_t>(length) : 0);
  if (!counts(of) && of != s.root) return real<int (*)(int)>(name)(descriptor);
  operation();
  if (S_ISDIR(info.st_mode)) std::erase_if(s.renames, [&](const Rename& rename) { return parent_of(rename.to) == of; });
  else s.synced.erase(of);
  return 0;  // the operation counts, not the disk's time
}

int rename_with(const char* from, const char* to, bool exchanges, auto&& call) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const std::string old_name = whole(from), new_name = whole(to);
  if (!counts(new_name)) return call();
  operation();
  struct stat info{};
  const bool replaces = lstat(new_name.c_str(), &info) == 0;
  const int result = call();
  if (result != 0) return result;
  moved(old_name, new_name);
  // What was replaced cannot come back here, and an exchange is its own undoing.
  if (!replaces && !exchanges) s.renames.push_back({old_name, new_name});
  return result;
}

int path_operation(const char* name, const char* path) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (counts(whole(path))) {
    operation();
    s.synced.erase(whole(path));
  }
  return real<int (*)(const char*)>(name)(path);
}

// What is to happen when the process ends by itself.
void end_process() {
  static std::atomic<bool> ended{false};
  if (ended.exchange(true)) return;
  if (const char* path = getenv("FAULT_COUNT")) {
    FILE* file = real<FILE* (*)(const char*, const char*)>("fopen")(path, "w");
    if (file != nullptr) {
      fprintf(file, "%ld\n", state().operations);
      fclose(file);
    }
  }
  if (state().power && state().kill == 0) cut_power();
}

struct End {
  ~End() { end_process(); }
} at_end;

// Seconds to take from the wall clock.
time_t clock_error() {
  static std::atomic<time_t> calls{0};
  return setting("FAULT_CLOCK") == 0 ? 0 : 3600 * ++calls;
}

bool reached(const char* name, long& calls, bool stays) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const long at = setting(name);
  ++calls;
  return at > 0 && (stays ? calls >= at : calls == at);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open_as("open", path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open_as("open64", path, flags, mode);
}
FILE* fopen(const char* path, const char* mode) { return fopen_as("fopen", path, mode); }
FILE* fopen64(const char* path, const char* mode) { return fopen_as("fopen64", path, mode); }

ssize_t write(int descriptor, const void* bytes, size_t size_bytes) {
  if ((errno = before_write(descriptor, size_bytes)) != 0) return -1;
  return real<ssize_t (*)(int, const void*, size_t)>("write")(descriptor, bytes, size_bytes);
}
ssize_t writev(int descriptor, const iovec* parts, int count) {
  size_t size_bytes = 0;
  for (int i = 0; i < count; ++i) size_bytes += parts[i].iov_len;
  if ((errno = before_write(descriptor, size_bytes)) != 0) return -1;
  return real<ssize_t (*)(int, const iovec*, int)>("writev")(descriptor, parts, count);
}
ssize_t pwrite(int descriptor, const void* bytes, size_t size_bytes, off_t offset) {
  if ((errno = before_write(descriptor, size_bytes)) != 0) return -1;
  return real<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite")(descriptor, bytes, size_bytes, offset);
}
ssize_t pwrite64(int descriptor, const void* bytes, size_t size_bytes, off64_t offset) {
  if ((errno = before_write(descriptor, size_bytes)) != 0) return -1;
  return real<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64")(descriptor, bytes, size_bytes, offset);
}

int fsync(int descriptor) { return sync_as("fsync", descriptor); }
int fdatasync(int descriptor) { return sync_as("fdatasync", descriptor); }

int close(int descriptor) {
  {
    const std::lock_guard lock(state().mutex);
    state().open.erase(descriptor);
  }
  return real<int (*)(int)>("close")(descriptor);
}

int rename(const char* from, const char* to) {
  return rename_with(from, to, false, [&] { return real<int (*)(const char*, const char*)>("rename")(from, to); });
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  return rename_with(from, to, flags != 0, [&] {
    return real<int (*)(int, const char*, int, const char*, unsigned)>("renameat2")(from_folder, from, to_folder, to, flags);
  });
}
int unlink(const char* path) { return path_operation("unlink", path); }
// Of a folder that is being removed with all in it.
int unlinkat(int folder, const char* path, int flags) {
  {
    const std::lock_guard lock(state().mutex);
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    const ssize_t length = folder == AT_FDCWD ? -1 : readlink(link, name, sizeof name);
    const std::string of = length > 0 ? std::string(name, static_cast<size_t>(length)) + "/" + path : whole(path);
    if (counts(of)) {
      operation();
      state().synced.erase(of);
    }
  }
  return real<int (*)(int, const char*, int)>("unlinkat")(folder, path, flags);
}
int rmdir(const char* path) { return path_operation("rmdir", path); }
int mkdir(const char* path, mode_t mode) {
  {
    const std::lock_guard lock(state().mutex);
    if (counts(whole(path))) operation();
  }
  return real<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}

// How a run ends whose larger kernels are still being compiled: without destructors.
[[noreturn]] void _Exit(int code) noexcept {
  end_process();
  real<void (*)(int)>("_Exit")(code);
  abort();
}

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int result = real<int (*)(clockid_t, timespec*)>("clock_gettime")(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec -= clock_error();
  return result;
}
int gettimeofday(timeval* now, void* zone) noexcept {
  const int result = real<int (*)(timeval*, void*)>("gettimeofday")(now, zone);
  now->tv_sec -= clock_error();
  return result;
}
time_t time(time_t* copy) noexcept {
  const time_t now = real<time_t (*)(time_t*)>("time")(nullptr) - clock_error();
  if (copy != nullptr) *copy = now;
  return now;
}

VkResult vkQueueSubmit2(VkQueue queue, uint32_t count, const VkSubmitInfo2* submits, VkFence fence) {
  static long calls = 0;
  if (reached("FAULT_SUBMIT", calls, true)) return VK_ERROR_DEVICE_LOST;
  return real<PFN_vkQueueSubmit2>("vkQueueSubmit2")(queue, count, submits, fence);
}
VkResult vkWaitSemaphores(VkDevice device, const VkSemaphoreWaitInfo* info, uint64_t timeout) {
  static long lost = 0, hung = 0;
  if (reached("FAULT_WAIT", lost, true)) return VK_ERROR_DEVICE_LOST;
  if (reached("FAULT_HANG", hung, false)) return VK_TIMEOUT;
  return real<PFN_vkWaitSemaphores>("vkWaitSemaphores")(device, info, timeout);
}
VkResult vkAllocateMemory(VkDevice device, const VkMemoryAllocateInfo* info, const VkAllocationCallbacks* allocator, VkDeviceMemory* memory) {
  static long calls = 0;
  if (reached("FAULT_ALLOCATE", calls, false)) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  return real<PFN_vkAllocateMemory>("vkAllocateMemory")(device, info, allocator, memory);
}
}
