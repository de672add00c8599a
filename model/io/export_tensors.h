#pragma once
// The tensors of other programs' files, each with the part of a parameter that it holds. Export writes them, import looks for them.

#include <span>
#include <string>
#include <vector>

#include "model/transformer/parameters.h"

namespace lapilli {

struct ExportTensor {
  std::string name;
  std::vector<uint64_t> shape;          // slowest dimension first
  const ParameterSpec* spec = nullptr;  // in the table, which must outlive it; null: a bias that GPT-2 has and the model lacks, zeros
  ExportPiece piece = {};
  uint32_t interleaved_group = 0;  // rows i and i + group/2 of each group lie side by side, as for rotary pairs in GGUF; 0: the table's order

  // `flat`: the values of all parameters, in the order of the table.
  std::vector<float> values(std::span<const float> flat) const;
  // The reverse. REQUIRES: a spec, and as many values as the shape has.
  void store(std::span<float> flat, std::vector<float> values) const;
};

// As GPT2LMHeadModel and LlamaForCausalLM name them. `arch` is hugging_face_arch() of the model.
std::vector<ExportTensor> hugging_face_tensors(const ParameterTable& table, Arch arch);

// As llama.cpp names them ("blk.0.attn_q.weight"), matrices [out, in] in both families; rotary pairs interleaved.
std::vector<ExportTensor> gguf_tensors(const ParameterTable& table, const ModelConfig& model, Arch arch);

// The family whose files hold a model of this configuration. Throws Error naming the key that fits neither.
Arch exportable_arch(const Config& config);

// Throws Error naming the tensor when f16 cannot hold a value.
void require_finite_in_f16(std::span<const float> values, const std::string& name);

}  // namespace lapilli
