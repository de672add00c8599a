#pragma once
// The table of parameters. It defines allocation, initialisation, decay groups, the optimizer, checkpoints and export.
//
// Linear weights are [out, in]. Matrices with the same input are fused: qkv is [(H+2G)E, D] (q rows, k rows, v
// rows), gate_up is [2F, D] (gate rows, up rows). In memory all parameters are one flat f32 array, those with weight
// decay (matrices and embeddings) first; gradients and optimizer moments have the same layout.

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/memory/tensor.h"
#include "model/transformer/config.h"

namespace lapilli {

// The tensor of a Hugging Face checkpoint that holds (a part of) a parameter. A vector counts as rows of one column.
struct ExportPiece {
  std::string name;          // "model.layers.0.self_attn.k_proj.weight"
  uint32_t first_row = 0;    // of the parameter; all columns
  uint32_t rows = 0;
  bool transposed = false;   // stored as [in, out] (GPT-2's Conv1D)
};

// The row order on the device of the first `rows` rows of a parameter, in groups of `group`: rows i and i + group/2 of
// a group, which a kernel needs together, are interleaved, as rows 2i and 2i + 1. Flat arrays of the host, checkpoints
// and exports keep the order of the table.
struct InterleavedRows {
  uint32_t rows = 0, group = 0;  // `rows` a multiple of the even `group`; 0: the order of the table
};

struct ParameterSpec {
  std::string name;      // ours: "layers.0.qkv.weight"
  Shape shape;
  float init_std = 0;    // normal with mean 0; 0: constant
  float init_value = 0;  // the constant
  bool decay = false;
  uint64_t offset = 0;   // elements from the start of the flat array
  InterleavedRows interleaved;     // row order on the device
  std::vector<ExportPiece> pieces;  // together all rows; none when hugging_face_arch() has no class for the model
};

// The Hugging Face class that computes the same function: GPT2LMHeadModel for layernorm, gelu, learned positions,
// kv_heads = heads and heads as wide as dim / heads; LlamaForCausalLM for rmsnorm, swiglu and rope; nothing for other mixtures.
std::optional<Arch> hugging_face_arch(const ModelConfig& config);

// A piece's tensor: its shape, and its values copied from and to the flat array. `flat` is the whole array. REQUIRES:
// `values` have the size of the piece.
Shape piece_shape(const ParameterSpec& spec, const ExportPiece& piece);
std::vector<float> copy_to_piece(std::span<const float> flat, const ParameterSpec& spec, const ExportPiece& piece);
void copy_from_piece(std::span<float> flat, const ParameterSpec& spec, const ExportPiece& piece, std::span<const float> values);

// The table alone, without memory: for plans, checkpoints, tools.
class ParameterTable {
 public:
  explicit ParameterTable(const ModelConfig& config);

  const std::vector<ParameterSpec>& specs() const { return specs_; }
  uint64_t count() const { return count_; }                // total number of elements
  uint64_t decayed_count() const { return decayed_count_; }  // elements with weight decay, the first ones
  const ParameterSpec& operator[](const std::string& name) const;  // REQUIRES: it exists
  const ParameterSpec* find(const std::string& name) const;        // null when the model has no such parameter
  bool contains(const std::string& name) const { return find(name) != nullptr; }

 private:
  std::vector<ParameterSpec> specs_;
  uint64_t count_ = 0, decayed_count_ = 0;
};

// The weight matrices [out, in] of one layer, in the order of the forward pass: "qkv", "proj", "fc" or "gate_up",
// "out".
std::vector<std::pair<std::string, Shape>> layer_matrices(const ModelConfig& config);

// Initial values of the whole flat array, a pure function of table and seed: Philox4x32-10 with the seed as key and
// (name of the parameter, element) as counter, Box-Muller in double, rounded once. A parameter's values do not depend
// on the other parameters.
std::vector<float> initial_values(const ParameterTable& table, uint64_t seed);

// A flat device array in the layout of the table, except for InterleavedRows. Borrows the table, which must outlive it.
class ParameterArray {
 public:
  ParameterArray() = default;
  ParameterArray(Arena& arena, const ParameterTable& table, const std::string& kind);

  // Copies values in the order of the table to the device and back. REQUIRES: the arena is committed. write() returns
  // the values in device order.
  std::vector<float> write(Device& device, std::vector<float> values) const;
  std::vector<float> read(Device& device) const;

  Tensor all() const { return all_; }                                    // [count]
  Tensor operator[](const std::string& name) const;                      // with its shape
  Tensor find(const std::string& name) const;                            // empty when the model has no such parameter
  Tensor decayed() const;                                                // [decayed_count]
  Tensor undecayed() const;                                              // the rest; empty when there is none
  Tensor range(uint64_t first, uint64_t count) const;                    // [count]

 private:
  const ParameterTable* table_ = nullptr;
  Tensor all_;
};

}  // namespace lapilli
