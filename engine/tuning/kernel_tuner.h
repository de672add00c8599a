#pragma once
// Chooses the kernel of an operation by measurement, for each shape when it is recorded. The operation's family lists
// the candidates.
//
// Candidates run on random inputs in separate memory, of the operation's shape, or of a part of it where the whole
// would take long. A candidate must match the default kernel's result within rounding; otherwise it is excluded and
// logged, because the driver computes it wrongly.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/tuning/kernel_trial.h"
#include "engine/tuning/tuner.h"

namespace lapilli {

class KernelTuner {
 public:
  // Both must outlive the object.
  KernelTuner(KernelLibrary& kernels, Tuner& tuner) : kernels_(kernels), tuner_(tuner) {}

  KernelLibrary& kernels() const { return kernels_; }
  const DeviceCaps& caps() const { return kernels_.device().caps(); }

  // Allocates the trials. A candidate must pass each trial, in order; the last one is timed.
  template <typename Candidate>
  using SetUp = std::function<std::vector<std::unique_ptr<KernelTrial<Candidate>>>()>;

  // The index of the fastest correct candidate, and the reason (Tuner::choose()). `key` begins with the operation's
  // name; a Candidate has to_string(). Without memory for the measurement, takes the first candidate, so that training
  // goes on. Throws Error when no candidate works. `seconds`: for the rounds; nullopt: the Tuner's default.
  template <typename Candidate>
  TunedChoice tune(const std::string& key, const std::vector<Candidate>& candidates, const SetUp<Candidate>& set_up,
                   std::optional<double> seconds = kSecondsPerChoice) {
    std::vector<std::string> names;
    for (const Candidate& candidate : candidates) names.push_back(candidate.to_string());
    std::vector<std::unique_ptr<KernelTrial<Candidate>>> trials;
    const auto record = [&](KernelTrial<Candidate>& trial, size_t index) {
      auto program = std::make_shared<Program>(kernels_.device(), "measurement", /*profiled=*/true);
      trial.record(*program, candidates[index]);
      program->finish();
      return program;
    };
    return tune_by_index(key, names,
                         {.set_up = [&] { trials = set_up(); },
                          .compile =
                              [&](size_t index) {
                                for (const auto& trial : trials) record(*trial, index);
                              },
                          .check =
                              [&](size_t index) {
                                std::shared_ptr<Program> program;
                                for (const auto& trial : trials) {
                                  program = record(*trial, index);
                                  run_with_poisoned_outputs(kernels_.device(), *program, trial->outputs());
                                  trial->check(candidates[index]);
                                }
                                return timed_run(program);
                              }},
                         seconds);
  }

  template <typename Candidate>
  Candidate choose(const std::string& key, const std::vector<Candidate>& candidates, const SetUp<Candidate>& set_up) {
    return candidates[tune(key, candidates, set_up).index];
  }

 private:
  static constexpr double kSecondsPerChoice = 0.25;

  struct Steps {
    std::function<void()> set_up;
    std::function<void(size_t)> compile;                    // requests the kernels of a candidate
    std::function<std::function<double()>(size_t)> check;  // returns what runs it once and gives the seconds
  };
  TunedChoice tune_by_index(const std::string& key, const std::vector<std::string>& names, const Steps& steps, std::optional<double> seconds);

  KernelLibrary& kernels_;
  Tuner& tuner_;
};

}  // namespace lapilli
