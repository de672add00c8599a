#include "model/transformer/weights.h"

#include "engine/memory/half.h"
#include "model/ops/rope.h"

namespace lapilli {

ModelWeights::ModelWeights(Arena& arena, const ModelConfig& config, const ParameterTable& table, Precision precision)
    : config_(config), table_(&table), head_name_(config.tie_embeddings ? "wte.weight" : "head.weight"), parameters_(arena, table, "parameters") {
  if (precision != Precision::f32 && config.dim % 2 == 0) {
    // Matrices come first in the table, the embeddings before all others; an input embedding alone is not a GEMM
    // operand.
    first_shadowed_ = config.tie_embeddings ? 0 : table["layers.0.qkv.weight"].offset;
    shadow_weights_ = reserve_tensor(arena, {static_cast<uint32_t>(table.decayed_count() - first_shadowed_)},
                                     fmt::format("weights ({})", to_string(precision)), storage_type(precision));
  }
  if (config.position != PositionKind::rope) return;
  cos_sin_table_ = reserve_tensor(arena, {config.context, config.head_width()}, "parameters");
}

void ModelWeights::load(Device& device, const std::vector<float>& values) const {
  const std::vector<float> written = parameters_.write(device, values);
  if (shadow_weights_) {
    std::vector<uint16_t> rounded(shadow_weights_.elements());
    for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = half_bits(written[first_shadowed_ + i], shadow_weights_.dtype());
    write_slice(device, shadow_weights_.slice(), rounded);
  }
  if (cos_sin_table_) {
    const ModelConfig& m = config_;
    write_slice(device, cos_sin_table_.slice(), make_cos_sin_table(m.context, m.head_width(), m.rope_theta, m.rope_scaling));
  }
}

Tensor ModelWeights::operand(const std::string& name, Precision precision) const {
  if (!shadow_weights_ || shadow_weights_.dtype() != storage_type(precision)) return parameters_[name];
  const ParameterSpec& spec = (*table_)[name];
  const uint64_t size = size_bytes(shadow_weights_.dtype()), elements = spec.shape.elements();
  CHECK(spec.offset >= first_shadowed_ && spec.offset - first_shadowed_ + elements <= shadow_weights_.elements(), "{} has no shadow weights", name);
  return {shadow_weights_.slice().sub((spec.offset - first_shadowed_) * size, elements * size), spec.shape, shadow_weights_.dtype()};
}

}  // namespace lapilli
