#pragma once
// Which kernel an operation gets: measured for each shape as it is recorded, among candidates that the operation's family names.
//
// Candidates work on random numbers in memory of their own, of the operation's shape, or of a part of it where the whole would take long.
// A candidate whose result is wrong, or differs from the first one's by more than rounding explains, is out and logged: a driver that
// computes it wrongly is not trusted.

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

  // Allocates what the candidates are tried on. A candidate has to pass each trial, in order; the last is what is timed.
  template <typename Candidate>
  using SetUp = std::function<std::vector<std::unique_ptr<KernelTrial<Candidate>>>()>;

  // The index of the fastest candidate that is right, and the reason (Tuner::choose()). `key` begins with the operation's name; a Candidate
  // has to_string(). Where there is no memory to measure with, the first is taken: that is no reason not to train. Throws Error where no
  // candidate works. `seconds`: for the rounds; nullopt: as the Tuner has it.
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
                                  run_on_poison(kernels_.device(), *program, trial->outputs());
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
    std::function<void(size_t)> compile;                    // asks for the kernels of a candidate
    std::function<std::function<double()>(size_t)> check;  // gives what runs it once, and the seconds of that
  };
  TunedChoice tune_by_index(const std::string& key, const std::vector<std::string>& names, const Steps& steps, std::optional<double> seconds);

  KernelLibrary& kernels_;
  Tuner& tuner_;
};

}  // namespace lapilli
