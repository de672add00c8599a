#pragma once
// Chooses among several implementations of an operation by measurement on this device, and caches the choice.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/tuning/tuning_file.h"
#include "engine/vulkan/device.h"

namespace lapilli {

// State of a tuner, for a progress line.
struct TunerProgress {
  std::string key;                  // of the choice being measured; empty: finished
  size_t candidate = 0, count = 0;  // candidates 1 to `count` are prepared one by one; then all run, interleaved
  double seconds_spent = 0, seconds_in_all = 0;  // spent on earlier choices; limit for all choices
};

struct TunerOptions {
  bool measure = true;              // false: a cached choice, else the first that never crashed; writes nothing
  std::filesystem::path file = {};  // empty: tuning-<device_identity>.json in cache_directory()
  double seconds_budget = 2;        // wall clock for the rounds (at least one) of a choice, without warm-ups
  double seconds_in_all = std::numeric_limits<double>::infinity();  // wall clock; later choices are not measured
  std::function<void(const TunerProgress&)> on_measuring = {};  // before each candidate is prepared, and after each choice
};

struct TunedChoice {
  size_t index = 0;  // of the candidate
  // For a log: "measured: full 12.1 ms, tokens 13.0 ms", "remembered", "the only one", "not measured".
  std::string reason = {};
  std::vector<double> seconds = {};  // median by candidate, infinity: it failed; empty when not measured in this run
};

// A choice is valid for one device and driver, one set of kernels (all of shaders/) and one list of candidates; when
// any of these changes, it is measured again. Not thread-safe. Several processes may share a file.
//
// A candidate that crashes the driver ends the run and is recorded; the next run skips it. A crash marker beside the
// file names the running trial. When the device is lost or the process dies during the trial, the next tuner on the
// file reads the marker and excludes the candidate for good: for its key, and, unless it is the preferred one, for all
// keys of the same operation (the key's first word). A signal that ends the program records nothing, except SIGKILL.
class Tuner {
 public:
  // Prepares candidate `index` (allocates, records) and returns a function that runs it once and returns the seconds.
  // All candidates of a choice are alive at the same time; each is released when the choice is made, or when it fails.
  using Prepare = std::function<std::function<double()>(size_t index)>;

  // A file that cannot be read or written costs measurements and never ends a run.
  // `kernels`: hash_shaders() of the measured kernels; results of other kernels are ignored.
  Tuner(const DeviceCaps& caps, const std::string& kernels, TunerOptions options = {});

  // `key` names operation and shape ("loss 1024x256x32000 f32"); `names` the candidates, the preferred first: it wins
  // unless another is more than 2 % faster, so that noise does not change a choice. `prepare` is called only to
  // measure. A candidate that throws Error when prepared or run is logged and excluded. Throws Error when all are
  // excluded, and DeviceLost, with the candidate's name and the remedy, as soon as one throws it.
  // `seconds_budget` overrides the options'. REQUIRES: at least one name, all different; seconds finite and not
  // negative. `compile`, if given, compiles the kernels of the candidates that have not crashed, in parallel, before
  // the first is prepared; it throws no Error. If the process dies in it, the candidate at fault is unknown: from then
  // on each candidate compiles its kernels separately.
  using Compile = std::function<void(const std::vector<size_t>& indices)>;
  TunedChoice choose(const std::string& key, const std::vector<std::string>& names, const Prepare& prepare,
                     std::optional<double> seconds_budget = std::nullopt, const Compile& compile = {});

  // Whether choose() would measure now.
  bool would_measure(const std::string& key, const std::vector<std::string>& names) const {
    return names.size() > 1 && options_.measure && has_time_left() && recall(key, names) == nullptr && !all_excluded(key, names);
  }

  // The choice without a measurement: the first candidate that has not crashed, or the first of all when all have.
  size_t fallback_candidate(const std::string& key, const std::vector<std::string>& names) const;

  // The measured choices that this tuner returned, with their alternatives. Choices never measured are not included.
  const TuningRecords& decisions() const { return decisions_; }
  double seconds_spent() const { return seconds_spent_; }  // on measurements
  // All cached choices for the device.
  TuningRecords known() const;
  const TuningCrashes& crashes() const { return remembered_.crashes; }

 private:
  // Compiling cannot be interrupted: a choice begins only if compiling for it may end in time, judged by the slowest so far.
  bool has_time_left() const { return seconds_spent_ + slowest_compile_seconds_ < options_.seconds_in_all; }
  bool excluded(const std::string& key, const std::vector<std::string>& names, size_t index) const;
  bool all_excluded(const std::string& key, const std::vector<std::string>& names) const;
  const TuningRecord* recall(const std::string& key, const std::vector<std::string>& names) const;
  bool compiling_crashed() const;
  TuningRecord measure(const std::string& key, const std::vector<std::string>& names, const Prepare& prepare, double seconds_budget,
                       const Compile& compile);

  TunerOptions options_;
  std::string device_name_;
  TuningFile file_;
  TuningMemory remembered_;   // the file's content at the start
  TuningRecords measured_;    // measured by this tuner
  TuningRecords decisions_;
  double seconds_spent_ = 0, slowest_compile_seconds_ = 0;
};

}  // namespace lapilli
