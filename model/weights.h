#pragma once
// A model's weights on the device, and the constant tables that go with them: what training, evaluation and generation
// share.

#include "model/parameters.h"

namespace lapilli {

class ModelWeights {
 public:
  // Reserves "parameters" in `arena`. `table` must outlive the object.
  ModelWeights(Arena& arena, const ModelConfig& config, const ParameterTable& table);

  // Writes all values (flat, as the table says) and the tables. REQUIRES: the arena is committed.
  void load(Device& device, const std::vector<float>& values) const;

  const ParameterArray& parameters() const { return parameters_; }
  Tensor operator[](const std::string& name) const { return parameters_[name]; }
  Tensor find(const std::string& name) const { return parameters_.find(name); }
  // The output embedding [V,D]: the input embedding when they are tied.
  Tensor head() const { return parameters_[head_name_]; }
  const char* head_name() const { return head_name_; }
  // Cosines and sines of the rotary embedding [T,E/2]; empty without.
  ConstTensor cosines() const { return cosines_; }
  ConstTensor sines() const { return sines_; }

 private:
  ModelConfig config_;
  uint64_t count_;
  const char* head_name_;
  ParameterArray parameters_;
  Tensor cosines_, sines_;
};

}  // namespace lapilli
