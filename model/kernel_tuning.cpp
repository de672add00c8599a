#include "model/kernel_tuning.h"

#include <spdlog/spdlog.h>

#include "engine/base/error.h"

namespace lapilli {

size_t KernelTuning::choose_index(const std::string& key, const std::vector<std::string>& names, const Tuner::Prepare& prepare, double seconds_budget) {
  try {
    return tuner_.choose(key, names, prepare, seconds_budget).index;
  } catch (const Error& error) {
    spdlog::warn("{} was not measured: {}", key, error.what());
    return 0;
  }
}

}  // namespace lapilli
