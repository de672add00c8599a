#include "model/run/failure_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/file.h"
#include "engine/base/json.h"

namespace lapilli {

namespace {

using Json = nlohmann::ordered_json;

Json range_of(std::span<const float> values) {
  float largest = 0;
  uint64_t not_finite = 0;
  for (const float value : values) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
    else ++not_finite;
  }
  return {{"largest", largest}, {"not_finite", not_finite}};
}

}  // namespace

std::filesystem::path write_failure_report(const std::filesystem::path& run, uint64_t step, const StepResult& result, const ParameterTable& table,
                                           std::span<const float> values, std::span<const float> gradients, std::span<const Batch> batches) {
  Json json{{"step", step}, {"not_finite", result.not_finite}, {"parameters", Json::array()}, {"micro_batches", Json::array()}};
  for (const ParameterSpec& spec : table.specs()) {
    const auto part = [&](std::span<const float> all) { return range_of(all.subspan(spec.offset, spec.shape.elements())); };
    json["parameters"].push_back({{"name", spec.name}, {"values", part(values)}, {"gradients", part(gradients)}});
  }
  for (const Batch& batch : batches)
    json["micro_batches"].push_back(
        {{"index", batch.index}, {"context", batch.context}, {"inputs", batch.inputs}, {"targets", batch.targets}, {"weights", batch.weights}});
  const std::filesystem::path path = run / fmt::format("failed-step-{:08}.json", step);
  write_file_atomically(path, json_text(json) + "\n");
  return path;
}

}  // namespace lapilli
