#include "model/kernel_tuning.h"

#include <spdlog/spdlog.h>

#include "engine/base/error.h"

namespace lapilli {

namespace {
constexpr double kSecondsPerChoice = 0.25;  // for its rounds
}

size_t KernelTuning::choose_index(const std::string& key, const std::vector<std::string>& names, const std::function<void()>& set_up,
                                  const Tuner::Prepare& prepare) {
  if (tuner_.would_measure(key, names)) {
    kernels_.wait();
    try {
      set_up();
    } catch (const Error& error) {
      spdlog::warn("{} was not measured: {}", key, error.what());
      return tuner_.first_trusted(key, names);
    }
  }
  return tuner_.choose(key, names, prepare, kSecondsPerChoice).index;
}

}  // namespace lapilli
