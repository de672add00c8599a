#pragma once
// A driver's statistics of a compiled kernel: registers, spills, shared memory, occupancy, code size
// (VK_KHR_pipeline_executable_properties), and the machine code as text. Names and units are the driver's own.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/kernel/kernel.h"

namespace lapilli {

using StatisticValue = std::variant<bool, int64_t, uint64_t, double>;

struct PipelineStatistic {
  std::string name, description;
  StatisticValue value;
};

struct PipelineText {
  std::string name, text;  // "Assembly", intermediate representations
};

// One piece of machine code. A driver may compile several for one kernel, for example for different subgroup sizes.
struct PipelineExecutable {
  std::string name;
  uint32_t subgroup_size = 0;
  std::vector<PipelineStatistic> statistics;
  std::vector<PipelineText> texts;
  const StatisticValue* find(std::string_view statistic) const;  // null when the driver does not report it
};

// REQUIRES: the device was made with DeviceOptions::pipeline_statistics.
std::vector<PipelineExecutable> read_pipeline_statistics(const Device& device, const Kernel& kernel);

}  // namespace lapilli
