#include "tools/perf/step_prediction.h"

#include <algorithm>
#include <map>

#include "tools/perf/training_step_bench.h"

namespace lapilli {

namespace {

constexpr uint32_t kFewLayers = 2;
constexpr double kSecondsBudget = 1;
constexpr uint32_t kFewestRounds = 2, kMostRounds = 20;

struct ScopeFigures {
  double flops = 0, bytes = 0, ns = 0;  // of one step
};
using Scopes = std::map<std::string, ScopeFigures>;

struct SmallModel {
  Scopes scopes;            // median times
  double step_seconds = 0;  // median
  double outside_ns = 0;    // of that, time outside all scopes
};

SmallModel measure_layers(KernelLibrary& kernels, Tuner& tuner, Config config, uint32_t layers, double seconds_budget) {
  config.model.layers = layers;
  TrainingStepBench bench(kernels.device(), kernels, tuner, config, true);
  const double seconds = bench.run();  // includes page faults, so the number of rounds is a lower bound
  const auto rounds = static_cast<uint32_t>(std::clamp<double>(seconds_budget / seconds, kFewestRounds, kMostRounds));
  std::map<std::string, std::vector<double>> times;
  std::vector<double> walls, outsides;
  SmallModel model;
  for (const StepProfile& step : bench.profile(rounds)) {
    for (const ProfileSpan& span : step.device.by_scope()) {
      times[span.scope].push_back(span.ns);
      model.scopes[span.scope] = {.flops = span.flops, .bytes = span.bytes};
    }
    walls.push_back(step.wall_ns() * 1e-9);
    outsides.push_back(std::max(step.wall_ns() - step.device.total_ns(), 0.0));
  }
  for (auto& [scope, figures] : model.scopes) figures.ns = quantile(times[scope], 0.5);
  model.step_seconds = quantile(walls, 0.5);
  model.outside_ns = quantile(outsides, 0.5);
  return model;
}

// "matmul" for "forward/matmul", "loss" for "loss/logits".
std::string kind_of(const std::string& scope) {
  for (const std::string_view pass : {"forward/", "backward/"})
    if (scope.starts_with(pass)) return scope.substr(pass.size());
  return scope.substr(0, scope.find('/'));
}

// From one and from two layers to `layers`.
double extrapolate(double one, double two, uint32_t layers) { return one + (two - one) * (layers - 1); }

}  // namespace

StepPrediction predict_step(KernelLibrary& kernels, Tuner& tuner, const Config& config) {
  const uint32_t layers = config.model.layers, few = std::min(layers, kFewLayers);
  // For one layer only the declared work is needed, the same in any round, and the time on a device without timestamps.
  const SmallModel one = measure_layers(kernels, tuner, config, 1, few > 1 ? 0 : kSecondsBudget);
  const SmallModel two = few > 1 ? measure_layers(kernels, tuner, config, few, kSecondsBudget) : one;
  StepPrediction prediction;
  if (two.scopes.empty()) {
    prediction.seconds = extrapolate(one.step_seconds, std::max(two.step_seconds, one.step_seconds), layers);
    return prediction;
  }
  prediction.seconds = two.outside_ns * 1e-9;
  std::map<std::string, PredictedPart> parts;
  for (const auto& [scope, measured] : two.scopes) {
    const auto base = one.scopes.find(scope);
    const ScopeFigures first = base == one.scopes.end() ? ScopeFigures{} : base->second;
    const double flops = extrapolate(first.flops, measured.flops, layers), bytes = extrapolate(first.bytes, measured.bytes, layers);
    const double scale = measured.flops > 0 ? flops / measured.flops : measured.bytes > 0 ? bytes / measured.bytes : 1;
    PredictedPart& part = parts[kind_of(scope)];
    part.name = kind_of(scope);
    part.seconds += scale * measured.ns * 1e-9;
    part.flops += flops;
    part.bytes += bytes;
  }
  for (auto& [name, part] : parts) {
    prediction.seconds += part.seconds;
    prediction.parts.push_back(std::move(part));
  }
  std::ranges::stable_sort(prediction.parts, std::greater{}, &PredictedPart::seconds);
  return prediction;
}

}  // namespace lapilli
