#include "model/train/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/base/error.h"

namespace lapilli {

namespace {

// The tokens that may still be drawn: ids with their weights, probabilities up to a factor.
class Candidates {
 public:
  Candidates(std::span<const float> logits, double temperature) : ids_(logits.size()), weights_(logits.size()) {
    std::iota(ids_.begin(), ids_.end(), 0U);
    const auto best = static_cast<double>(*std::ranges::max_element(logits));
    for (size_t i = 0; i < logits.size(); ++i) weights_[i] = std::exp((static_cast<double>(logits[i]) - best) / temperature);
  }

  // The most likely ones.
  void keep(size_t count) {
    if (count >= ids_.size()) return;
    order(count);
    ids_.resize(count);
  }

  void keep_top_p(double p) {
    if (p >= 1) return;
    order(ids_.size());
    const double least = p * sum();
    double kept = 0;
    size_t count = 0;
    while (count < ids_.size() && kept < least) kept += weights_[ids_[count++]];
    ids_.resize(std::max<size_t>(count, 1));
  }

  void keep_min_p(double p) {
    if (p <= 0) return;
    double best = 0;
    for (const uint32_t id : ids_) best = std::max(best, weights_[id]);
    std::erase_if(ids_, [&](uint32_t id) { return weights_[id] < p * best; });
  }

  uint32_t draw(double uniform) const {
    double target = uniform * sum();
    for (const uint32_t id : ids_) {
      target -= weights_[id];
      if (target < 0) return id;
    }
    return ids_.back();  // the sum was rounded
  }

 private:
  void order(size_t first) {
    const auto likelier = [&](uint32_t a, uint32_t b) { return weights_[a] != weights_[b] ? weights_[a] > weights_[b] : a < b; };
    std::ranges::partial_sort(ids_, ids_.begin() + static_cast<std::ptrdiff_t>(first), likelier);
  }
  double sum() const {
    double sum = 0;
    for (const uint32_t id : ids_) sum += weights_[id];
    return sum;
  }

  std::vector<uint32_t> ids_;
  std::vector<double> weights_;  // by id
};

std::vector<float> with_penalty(std::span<const float> logits, std::span<const uint32_t> seen, double penalty) {
  std::vector<float> changed(logits.begin(), logits.end());
  for (const uint32_t id : seen) {  // each token once: from what it was before
    const auto before = static_cast<double>(logits[id]);
    changed[id] = static_cast<float>(before > 0 ? before / penalty : before * penalty);
  }
  return changed;
}

}  // namespace

uint32_t sample_token(std::span<const float> logits, std::span<const uint32_t> seen, const SamplingOptions& options, double uniform) {
  CHECK(!logits.empty());
  std::vector<float> changed;
  if (options.repeat_penalty != 1) logits = changed = with_penalty(logits, seen, options.repeat_penalty);
  if (options.temperature <= 0) return static_cast<uint32_t>(std::ranges::max_element(logits) - logits.begin());
  Candidates candidates(logits, options.temperature);
  if (options.top_k != 0) candidates.keep(options.top_k);
  candidates.keep_top_p(options.top_p);
  candidates.keep_min_p(options.min_p);
  return candidates.draw(uniform);
}

}  // namespace lapilli
