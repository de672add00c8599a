#include "model/train/lr_schedule.h"

#include <cmath>
#include <numbers>

#include "engine/base/error.h"

namespace lapilli {

double learning_rate(const OptimConfig& optim, uint64_t step, uint64_t steps) {
  CHECK(step >= 1, "steps count from 1");
  if (step < optim.warmup) return optim.lr * static_cast<double>(step) / optim.warmup;
  if (optim.schedule == Schedule::constant) return optim.lr;
  const double end = static_cast<double>(steps);
  const double flat_until = optim.schedule == Schedule::wsd ? 0.8 * end : 0;
  const double begin = std::max<double>(optim.warmup, flat_until);
  const double now = static_cast<double>(step);
  if (now <= begin) return optim.lr;
  if (now >= end) return optim.min_lr;
  const double done = (now - begin) / (end - begin);  // (0, 1)
  const double left = optim.schedule == Schedule::cosine ? (1 + std::cos(std::numbers::pi * done)) / 2 : 1 - done;
  return optim.min_lr + left * (optim.lr - optim.min_lr);
}

}  // namespace lapilli
