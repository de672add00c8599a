#pragma once
// The tuner's cache between runs: a human-readable JSON file. It is valid for one device and driver and one set of
// kernels, which it names; for others it counts as empty.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tuning/crash_marker.h"
#include "engine/vulkan/device.h"

namespace lapilli {

struct TunedCandidate {
  std::string name;
  double median_seconds;  // infinity: it failed
};

// The choice made for one key.
struct TuningRecord {
  size_t chosen = 0;
  std::vector<TunedCandidate> candidates = {};  // in the order of preference
};
using TuningRecords = std::map<std::string, TuningRecord>;  // by key
// Names of the candidates that crashed: the device was lost or the process died in their trial.
using TuningCrashes = std::map<std::string, std::set<std::string>>;  // by key

// A kernel that `lapilli check` found wrong on this device and driver.
struct WrongKernel {
  std::string kernel, variant;  // for messages: "matmul nt", "f32 tiled 64x64"
  std::string precision;        // of training that uses it
  // Where tuning chooses among candidates: words that each key of such a choice has ("matmul nt f32"), and the candidate, which
  // stands also for those whose name continues it ("tiled 64x64 in 4 parts"). Else empty.
  std::string key, candidate;
  bool essential = false;       // nothing else does its work, or it is used without tuning
};

struct TuningMemory {
  TuningRecords choices = {};
  TuningCrashes crashes = {};
  std::vector<WrongKernel> wrong = {};
};

// Whether a candidate of the choice `key` was found wrong.
bool is_wrong(const std::vector<WrongKernel>& wrong, const std::string& key, const std::string& candidate);

class TuningFile {
 public:
  // `kernels`: hash_shaders() of the measured kernels. `path` empty: the device's file in cache_directory(). Neither
  // this nor a member below throws Error: a file that cannot be read counts as empty; one that cannot be written gives
  // a warning and is not used any more.
  TuningFile(const DeviceCaps& caps, std::string kernels, std::filesystem::path path);

  // The file's content, with the crashes that stale crash markers name (engine/tuning/crash_marker.h).
  TuningMemory read() const;
  // Merges the records, and crashes known from another file, into the file's current content, which other processes may
  // have changed; replaces records of the same key. Crashes named by stale crash markers are added too, and the markers
  // removed. Writes atomically; concurrent processes wait for each other.
  void add(const TuningRecords& records, const TuningCrashes& crashes = {});

  // Replaces the wrong kernels (`keep_others`: only adds). Choices and crashes stay. Else as add().
  void set_wrong(const std::vector<WrongKernel>& wrong, bool keep_others);

  const std::filesystem::path& path() const { return path_; }  // empty: not used any more
  // The content of the crash marker during a candidate's trial.
  std::string marker_text(const std::string& key, const std::string& name) const;

 private:
  void update(const std::function<void(TuningMemory&)>& change);
  void read_file(TuningMemory& memory) const;
  void read_crash_markers(TuningMemory& memory, const std::vector<StaleCrashMarker>& markers) const;

  std::filesystem::path path_;  // empty: not used any more
  bool named_;                  // by the caller: warn when the file is not valid here
  std::string device_;          // name and driver, for readers of the file
  std::string identity_;        // of the device
  std::string kernels_;         // their hash
};

}  // namespace lapilli
