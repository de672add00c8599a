#include "model/weights.h"

#include "model/rope.h"

namespace lapilli {

ModelWeights::ModelWeights(Arena& arena, const ModelConfig& config, const ParameterTable& table)
    : config_(config),
      count_(table.count()),
      head_name_(config.tie_embeddings ? "wte.weight" : "head.weight"),
      parameters_(arena, table, "parameters") {
  if (config.position != PositionKind::rope) return;
  cosines_ = reserve_tensor(arena, {config.context, config.head_width() / 2}, "parameters");
  sines_ = reserve_tensor(arena, {config.context, config.head_width() / 2}, "parameters");
}

void ModelWeights::load(Device& device, const std::vector<float>& values) const {
  CHECK(values.size() == count_, "{} values for {} parameters", values.size(), count_);
  write_slice(device, parameters_.all().slice(), values);
  if (!cosines_) return;
  const RopeTables tables = make_rope_tables(config_.context, config_.head_width(), ModelConfig::kRopeTheta);
  write_slice(device, cosines_.slice(), tables.cosines);
  write_slice(device, sines_.slice(), tables.sines);
}

}  // namespace lapilli
