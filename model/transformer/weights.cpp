#include "model/transformer/weights.h"

#include "engine/memory/half.h"
#include "model/ops/rope.h"

namespace lapilli {

ModelWeights::ModelWeights(Arena& arena, const ModelConfig& config, const ParameterTable& table, Precision precision)
    : config_(config),
      head_name_(config.tie_embeddings ? "wte.weight" : "head.weight"),
      parameters_(arena, table, "parameters") {
  if (precision != Precision::f32 && config.dim % 2 == 0) {
    // Matrices come first in the table, the embeddings before all others; an input embedding alone is not a GEMM
    // operand.
    first_copied_ = config.tie_embeddings ? 0 : table["layers.0.qkv.weight"].offset;
    copies_ = reserve_tensor(arena, {static_cast<uint32_t>(table.decayed_count() - first_copied_)}, fmt::format("weights ({})", to_string(precision)),
                             storage_type(precision));
  }
  if (config.position != PositionKind::rope) return;
  turns_ = reserve_tensor(arena, {config.context, config.head_width()}, "parameters");
}

void ModelWeights::load(Device& device, const std::vector<float>& values) const {
  const std::vector<float> written = parameters_.write(device, values);
  if (copies_) {
    std::vector<uint16_t> rounded(copies_.elements());
    for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = half_bits(written[first_copied_ + i], copies_.dtype());
    write_slice(device, copies_.slice(), rounded);
  }
  if (turns_) write_slice(device, turns_.slice(), make_turns(config_.context, config_.head_width(), ModelConfig::kRopeTheta));
}

Tensor ModelWeights::factor(const Tensor& parameter, Precision precision) const {
  if (!copies_ || copies_.dtype() != storage_type(precision)) return parameter;
  const uint64_t at = (parameter.slice().buffer_offset_bytes() - parameters_.all().slice().buffer_offset_bytes()) / sizeof(float);
  const uint64_t size = size_bytes(copies_.dtype());
  CHECK(at >= first_copied_ && at - first_copied_ + parameter.elements() <= copies_.elements(), "{} has no copy", parameter.shape().to_string());
  return {copies_.slice().sub((at - first_copied_) * size, parameter.elements() * size), parameter.shape(), copies_.dtype()};
}

}  // namespace lapilli
