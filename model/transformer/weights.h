#pragma once
// A model's weights on the device, and the constant tables that go with them: what training, evaluation and generation
// share.

#include "model/ops/ops.h"
#include "model/transformer/parameters.h"

namespace lapilli {

class ModelWeights {
 public:
  // Reserves "parameters" in `arena`, and for f16 or bf16 "weights (f16)" or "weights (bf16)": copies of the matrices that are factors
  // of products. A model of odd width has none. `table` must outlive the object.
  ModelWeights(Arena& arena, const ModelConfig& config, const ParameterTable& table, Precision precision = Precision::f32);

  // Writes all values (flat, as the table says), their copies and the turns. REQUIRES: the arena is committed.
  void load(Device& device, const std::vector<float>& values) const;

  const ParameterArray& parameters() const { return parameters_; }
  Tensor operator[](const std::string& name) const { return parameters_[name]; }
  Tensor find(const std::string& name) const { return parameters_.find(name); }
  // The output embedding [V,D]: the input embedding when they are tied.
  Tensor head() const { return parameters_[head_name_]; }
  const char* head_name() const { return head_name_; }
  // A parameter as factor of a product in this precision: its copy where there is one, else itself.
  Tensor factor(const Tensor& parameter, Precision precision) const;
  // The copies: parameters first_copied() .. of the flat array in 16 bits. AdamW keeps them up to date. Empty without.
  Tensor copies() const { return copies_; }
  uint64_t first_copied() const { return first_copied_; }
  // Of the rotary embedding [T,E] (model/ops/rope.h); empty without.
  ConstTensor turns() const { return turns_; }

 private:
  ModelConfig config_;
  const char* head_name_;
  ParameterArray parameters_;
  Tensor copies_;
  uint64_t first_copied_ = 0;
  Tensor turns_;
};

}  // namespace lapilli
