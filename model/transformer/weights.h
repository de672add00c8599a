#pragma once
// A model's weights on the device, with constant tables: shared by training, evaluation and generation.

#include "model/ops/ops.h"
#include "model/transformer/parameters.h"

namespace lapilli {

class ModelWeights {
 public:
  // Reserves "parameters" in `arena`, and for f16 or bf16 "weights (f16)" or "weights (bf16)": 16-bit shadow weights of
  // the matrices that are GEMM operands. A model of odd width has none. `table` must outlive the object.
  ModelWeights(Arena& arena, const ModelConfig& config, const ParameterTable& table, Precision precision = Precision::f32);

  // Writes all values (flat, in the order of the table), the shadow weights and the cos/sin table. REQUIRES: the arena
  // is committed.
  void load(Device& device, const std::vector<float>& values) const;

  const ParameterArray& parameters() const { return parameters_; }
  Tensor operator[](const std::string& name) const { return parameters_[name]; }
  Tensor find(const std::string& name) const { return parameters_.find(name); }
  // The output embedding [V,D]: the input embedding if they are tied.
  Tensor head() const { return parameters_[head_name_]; }
  const char* head_name() const { return head_name_; }
  // A matrix as GEMM operand in this precision: its shadow weights if there are any, else itself.
  Tensor operand(const std::string& name, Precision precision) const;
  // 16-bit shadow weights of the parameters from first_shadowed() on in the flat array, updated by AdamW. Empty if none.
  Tensor shadow_weights() const { return shadow_weights_; }
  uint64_t first_shadowed() const { return first_shadowed_; }
  // cos/sin table of the rotary embedding [T,E] (model/ops/rope.h); empty if none.
  ConstTensor cos_sin_table() const { return cos_sin_table_; }

 private:
  ModelConfig config_;
  const ParameterTable* table_;
  const char* head_name_;
  ParameterArray parameters_;
  Tensor shadow_weights_;
  uint64_t first_shadowed_ = 0;
  Tensor cos_sin_table_;
};

}  // namespace lapilli
