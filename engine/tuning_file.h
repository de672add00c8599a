#pragma once
// What the tuner remembers between runs: a JSON file that a person can read. It holds for one device with one driver and
// for one set of kernels, which it names; for others it counts as empty.

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/device.h"

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

class TuningFile {
 public:
  // `path` empty: the device's file in cache_directory(). No Error is thrown here or below: a file that cannot be read counts
  // as empty, one that cannot be written (or placed) is given up with a warning.
  TuningFile(const DeviceCaps& caps, std::filesystem::path path);

  TuningRecords read() const;
  // Adds the records to what is there now, other processes' included; replaces those of the same key. Written atomically;
  // of two processes that do this in the same instant one may have to measure again.
  void add(const TuningRecords& records);

 private:
  std::filesystem::path path_;  // empty: given up
  bool named_;                  // by the caller: that it is void is worth a warning
  std::string device_;          // for people: name and driver
  std::string identity_;        // of the device
  std::string kernels_;         // hash of all SPIR-V
};

}  // namespace lapilli
