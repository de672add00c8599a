#pragma once
// Crash markers: a file that names the trial in progress. When the process dies inside a driver, the file stays and
// names the candidate that crashed.
//
// A marker is a file `<beside>.trying-XXXXXX` under a lock (flock). The lock ends with its process, however that ends,
// so an unlocked marker is stale. On a file system without locks no marker counts as stale.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

// One trial at a time. When the marker cannot be written there is none: nothing here throws Error.
class CrashMarker {
 public:
  explicit CrashMarker(const std::filesystem::path& beside);  // empty path: no marker
  ~CrashMarker();                                             // removes the file
  CrashMarker(const CrashMarker&) = delete;
  CrashMarker& operator=(const CrashMarker&) = delete;

  // Writes what is tried from now on, until clear(). `synced`: survives a crash of the machine too, and takes as long
  // as the disk. A signal that ends the program on request or by a limit (HUP, INT, QUIT, TERM, PIPE, ALRM, XCPU, USR1,
  // USR2) removes the marker before its normal action: it is not a crash. After the program's own handler for such a
  // signal has returned, this process writes no more markers: it is about to end, and may be killed first.
  void set(std::string_view what, bool synced);
  void clear();
  // Leaves the file in place, as if the process had crashed. False: there is none, or another process removed it.
  bool leave();

 private:
  void guard();
  void unguard();

  std::string path_;  // empty: no marker
  int descriptor_ = -1;
  bool guarding_ = false;
};

struct StaleCrashMarker {
  std::filesystem::path path;
  std::string what;  // empty: no trial was running
};
// The markers of processes that have ended.
std::vector<StaleCrashMarker> stale_crash_markers(const std::filesystem::path& beside);
// Removes a marker if it is still stale: a process that was just making it may hold it by now.
void remove_stale_crash_marker(const std::filesystem::path& path);

}  // namespace lapilli
