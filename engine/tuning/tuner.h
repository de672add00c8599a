#pragma once
// One operation, several variants, one choice: measured on this device, and remembered between runs.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "engine/vulkan/device.h"
#include "engine/tuning/tuning_file.h"

namespace lapilli {

// Where a tuner is: for a line of progress.
struct TunerProgress {
  std::string key;                  // of what is measured; empty: done with it
  size_t candidate = 0, count = 0;  // candidates are prepared one by one, 1 to `count`; after the last all run in turn
  double seconds_spent = 0, seconds_in_all = 0;  // on the choices before, and at most on all
};

struct TunerOptions {
  bool measure = true;              // false: a remembered choice, else the first candidate that never crashed; nothing is written
  std::filesystem::path file = {};  // empty: tuning-<device_identity>.json in cache_directory()
  double seconds_budget = 2;        // wall clock for the rounds of one choice, at least one; warm-ups come on top
  double seconds_in_all = std::numeric_limits<double>::infinity();  // wall clock; once it is spent nothing more is measured
  std::function<void(const TunerProgress&)> on_measuring = {};  // before each candidate is prepared, and after each choice
};

struct TunedChoice {
  size_t index = 0;  // of the candidate
  // For a log: "measured: full 12.1 ms, tokens 13.0 ms", "remembered", "the only one", "not measured".
  std::string reason = {};
  std::vector<double> seconds = {};  // median by candidate, infinity: it failed; empty when nothing was measured now
};

// A choice holds for one device with one driver, one set of kernels (all of shaders/) and one list of candidates; where any
// of these changes it is measured again. Not thread-safe. Several processes may share a file.
//
// A candidate may crash a driver. What is being tried is said on disk beside the file while it runs; where the device is lost or the
// process dies in the middle, that is what the next tuner on the file reads, and the candidate counts as failed for good: for its key, and,
// unless it is the preferred one, for other keys of the same operation, which is the key's first word. Whoever ends the program by a
// signal blames nobody, unless by SIGKILL.
class Tuner {
 public:
  // Prepares candidate `index` (allocates, records) and returns what runs it once and gives the seconds that took. All
  // candidates of a choice are held at the same time; each is released when the choice is made, or when it fails.
  using Prepare = std::function<std::function<double()>(size_t index)>;

  // A file that cannot be read or written costs measurements, never a run.
  // `kernels`: hash_shaders() of those that are measured; what is remembered of others counts for nothing.
  Tuner(const DeviceCaps& caps, std::string kernels, TunerOptions options = {});

  // `key` names operation and shape ("loss 1024x256x32000 f32"); `names` the candidates, the preferred first: it wins when
  // the best is not more than 2 % faster, so that noise does not flip a choice. `prepare` is called only to measure.
  // A candidate that throws Error when prepared or run is logged and out. Throws Error when all are; DeviceLost, naming the candidate and what
  // to do, as soon as one throws that.
  // `seconds_budget`: instead of the options'. REQUIRES: at least one name, all different; seconds finite and not negative.
  // `compile`, if given, has what those candidates need that have not crashed compiled side by side, before the first is prepared; it throws no
  // Error. Where the process dies in it no candidate is known to be the culprit: from then on each candidate compiles its own.
  using Compile = std::function<void(const std::vector<size_t>& indices)>;
  TunedChoice choose(const std::string& key, const std::vector<std::string>& names, const Prepare& prepare,
                     std::optional<double> seconds_budget = std::nullopt, const Compile& compile = {});

  // Whether choose() would measure now.
  bool would_measure(const std::string& key, const std::vector<std::string>& names) const {
    return names.size() > 1 && options_.measure && seconds_spent_ < options_.seconds_in_all && recall(key, names) == nullptr && !all_crashed(key, names);
  }

  // What is taken where nothing is measured, or nothing can be: the preferred of the candidates that have not crashed; where all have, the
  // first.
  size_t first_trusted(const std::string& key, const std::vector<std::string>& names) const;

  // The choices that this tuner gave, with what each beat; those that were not measured, now or before, are not among them.
  const TuningRecords& given() const { return given_; }
  double seconds_spent() const { return seconds_spent_; }  // measuring
  // All that is remembered for the device.
  TuningRecords known() const;
  const TuningCrashes& crashes() const { return remembered_.crashes; }

 private:
  bool crashed(const std::string& key, const std::vector<std::string>& names, size_t index) const;
  bool all_crashed(const std::string& key, const std::vector<std::string>& names) const;
  const TuningRecord* recall(const std::string& key, const std::vector<std::string>& names) const;
  bool compiling_crashed() const;
  TuningRecord measure(const std::string& key, const std::vector<std::string>& names, const Prepare& prepare, double seconds_budget,
                       const Compile& compile) const;

  TunerOptions options_;
  std::string device_name_;
  TuningFile file_;
  TuningMemory remembered_;   // what the file held at the start
  TuningRecords measured_;    // what this tuner measured
  TuningRecords given_;
  double seconds_spent_ = 0;
};

}  // namespace lapilli
