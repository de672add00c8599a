#pragma once
// What the tuner remembers between runs: a JSON file that a person can read. It holds for one device with one driver and
// for one set of kernels, which it names; for others it counts as empty.

#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/vulkan/device.h"
#include "engine/tuning/crash_marker.h"

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
// Names of the candidates in whose trial the device was lost, or the process died.
using TuningCrashes = std::map<std::string, std::set<std::string>>;  // by key

struct TuningMemory {
  TuningRecords choices = {};
  TuningCrashes crashes = {};
};

class TuningFile {
 public:
  // `kernels`: hash_shaders() of those that are measured. `path` empty: the device's file in cache_directory(). No Error is thrown here or below: a file that cannot be read counts
  // as empty, one that cannot be written (or placed) is given up with a warning.
  TuningFile(const DeviceCaps& caps, std::string kernels, std::filesystem::path path);

  // What is in the file, and what marks of trials tell that processes left behind (engine/tuning/crash_marker.h).
  TuningMemory read() const;
  // Adds the records, and crashes that another file told of, to what is there now, other processes' included; replaces those of the same key.
  // What marks tell goes into the file with them, and the marks go. Written atomically; processes that do this at the same time wait for each other.
  void add(const TuningRecords& records, const TuningCrashes& crashes = {});

  const std::filesystem::path& path() const { return path_; }  // empty: given up
  // What a mark beside the file says while a candidate is tried.
  std::string mark_of(const std::string& key, const std::string& name) const;

 private:
  void read_file(TuningMemory& memory) const;
  void read_marks(TuningMemory& memory, const std::vector<LeftMark>& marks) const;

  std::filesystem::path path_;  // empty: given up
  bool named_;                  // by the caller: that it is void is worth a warning
  std::string device_;          // for people: name and driver
  std::string identity_;        // of the device
  std::string kernels_;         // their hash
};

}  // namespace lapilli
