#pragma once
// Shared by commands that choose kernels by measurement: options, progress line, and the table of choices.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/tuning/tuner.h"
#include "tools/common/command_options.h"
#include "tools/common/status_line.h"

namespace lapilli {

struct TuningFlags {
  bool no_tune = false;
  std::string file;  // empty: the device's file in the cache folder
};
// --no-tune and --tuning.
void add_tuning_options(Command& command, TuningFlags& flags);
// With a time limit; shows the progress on a terminal.
// `meanwhile` is its text between two measurements; empty: none.
TunerOptions tuner_options(const TuningFlags& flags, StatusLine& status, const std::string& meanwhile = "");

// Each choice with the times of all candidates, as a table and as JSON: [{"operation", "chosen", "median_ms":
// {candidate: ms}}].
std::string tuning_table(const TuningRecords& records);
nlohmann::ordered_json tuning_to_json(const TuningRecords& records);

}  // namespace lapilli
