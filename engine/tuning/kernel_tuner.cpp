#include "engine/tuning/kernel_tuner.h"

#include <spdlog/spdlog.h>

#include "engine/base/error.h"

namespace lapilli {

namespace {
constexpr double kSecondsPerChoice = 0.25;  // for its rounds
}

size_t KernelTuning::choose_index(const std::string& key, const std::vector<std::string>& names, const Trials<size_t>& trials) {
  if (tuner_.would_measure(key, names)) {
    kernels_.wait();
    try {
      trials.set_up();
    } catch (const Error& error) {
      spdlog::warn("{} was not measured: {}", key, error.what());
      return tuner_.first_trusted(key, names);
    }
  }
  const auto compile = [&](const std::vector<size_t>& indices) {
    for (const size_t index : indices) {
      try {
        trials.record(index);
      } catch (const Error&) {  // it is told when the candidate's turn comes
      }
    }
    kernels_.wait();
  };
  return tuner_.choose(key, names, trials.check, kSecondsPerChoice, compile).index;
}

}  // namespace lapilli
