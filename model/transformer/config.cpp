#include "model/transformer/config.h"

#include "engine/base/error.h"

namespace lapilli {

const char* to_string(Arch value) { return kArchNames[static_cast<size_t>(value)]; }
const char* to_string(NormKind value) { return kNormNames[static_cast<size_t>(value)]; }
const char* to_string(MlpKind value) { return kMlpNames[static_cast<size_t>(value)]; }
const char* to_string(PositionKind value) { return kPositionNames[static_cast<size_t>(value)]; }
const char* to_string(Schedule value) { return kScheduleNames[static_cast<size_t>(value)]; }

void apply_preset(ModelConfig& model) {
  const bool llama = model.arch == Arch::llama;
  model.norm = llama ? NormKind::rmsnorm : NormKind::layernorm;
  model.mlp = llama ? MlpKind::swiglu : MlpKind::gelu;
  model.position = llama ? PositionKind::rope : PositionKind::learned;
  model.bias = !llama;
  model.tie_embeddings = !llama;
}

// Two thirds of 4D give the three matrices of SwiGLU the size of the two of GELU (Shazeer, "GLU variants", 2020).
uint32_t default_ffn_dim(const ModelConfig& model) {
  if (model.mlp == MlpKind::gelu) return 4 * model.dim;
  return ((8 * model.dim + 2) / 3 + 31) / 32 * 32;
}

}  // namespace lapilli
