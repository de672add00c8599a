#pragma once
// How this project measures: warm up, then take the things that are compared in turn, round after round, so that a machine
// that drifts is unfair to none; report the median and the spread.

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace lapilli {

// One of the things compared. `run` does it once and returns the seconds it took.
struct Contender {
  std::string name;
  std::function<double()> run;
};

struct MeasureOptions {
  uint32_t repeats = 0;         // rounds; 0: as many as fit into seconds_budget
  double seconds_budget = 8;    // for all contenders together
  uint32_t fewest = 3, most = 50;  // rounds, when they come from the budget
};

// Seconds over the rounds.
struct Timing {
  std::string name;
  double median = 0, lower_quartile = 0, upper_quartile = 0, min = 0, max = 0;
  uint32_t repeats = 0;
};

// In the order of the contenders. Each runs once before the first round (compilation, first touch of memory, clocks).
std::vector<Timing> measure(std::span<const Contender> contenders, const MeasureOptions& options);

// Linear interpolation between order statistics, as numpy. REQUIRES: not empty; 0 <= q <= 1.
double quantile(std::vector<double> values, double q);

// Wall-clock seconds of one call.
double wall_seconds(const std::function<void()>& work);

}  // namespace lapilli
