#pragma once
// How this project measures: warm up, then take the things that are compared in turn, round after round, so that a machine
// that drifts is unfair to none. What is made of the seconds (a median, a spread) is the caller's.

#include <cstdint>
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
  double seconds_budget = 8;    // wall clock, for all contenders together; the warm-up comes on top
  uint32_t fewest = 3, most = 50;  // rounds, when they come from the budget
  bool warm_up = true;          // each runs once before the first round (compilation, first touch of memory, clocks)
};

// [contender][round] seconds.
std::vector<std::vector<double>> measure_in_turn(std::span<const Contender> contenders, const MeasureOptions& options);

// Linear interpolation between order statistics, as numpy. REQUIRES: not empty; 0 <= q <= 1.
double quantile(std::vector<double> values, double q);

// Wall-clock seconds of one call.
double wall_seconds(const std::function<void()>& work);

}  // namespace lapilli
