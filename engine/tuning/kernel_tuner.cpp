#include "engine/tuning/kernel_tuner.h"

#include "engine/base/error.h"
#include "engine/base/log.h"

namespace lapilli {

TunedChoice KernelTuner::tune_by_index(const std::string& key, const std::vector<std::string>& names, const Steps& steps,
                                       std::optional<double> seconds) {
  if (tuner_.would_measure(key, names)) {
    kernels_.wait();
    try {
      steps.set_up();
    } catch (const Error& error) {
      log_warning("{} was not measured: {}", key, error.what());
      return {.index = tuner_.fallback_candidate(key, names), .reason = "not measured"};
    }
  }
  const auto compile = [&](const std::vector<size_t>& indices) {
    for (const size_t index : indices) {
      try {
        steps.compile(index);
      } catch (const Error&) {  // reported when the candidate is measured
      }
    }
    kernels_.wait();
  };
  return tuner_.choose(key, names, steps.check, seconds, compile);
}

}  // namespace lapilli
