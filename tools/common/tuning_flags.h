#pragma once
// What commands share that choose kernels by measurement: their options, a line of progress, and what was chosen.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/tuning/tuner.h"
#include "tools/common/command_options.h"

namespace lapilli {

struct TuningFlags {
  bool no_tune = false;
  std::string file;  // empty: the device's own, among the caches
};
// --no-tune and --tuning.
void add_tuning_options(Command& command, TuningFlags& flags);
// Bounded in time; shows on a terminal what is being measured.
TunerOptions tuner_options(const TuningFlags& flags);

// Each choice with its time and what it beat, for people and for scripts: [{"operation", "chosen", "median_ms": {candidate: ms}}].
std::string tuning_table(const TuningRecords& records);
nlohmann::ordered_json tuning_to_json(const TuningRecords& records);

}  // namespace lapilli
