#include "model/io/export_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/base/error.h"
#include "engine/memory/half.h"

namespace lapilli {

namespace {

std::vector<uint64_t> dimensions(const Shape& shape) {
  std::vector<uint64_t> dims;
  for (uint32_t i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

// GPT-2 has a bias wherever it has a norm or a linear layer: zeros where the model has none.
std::optional<ExportTensor> missing_bias(const ParameterTable& table, const ParameterSpec& spec) {
  constexpr std::string_view kWeight = "weight";
  const std::string& name = spec.name;
  const bool embeds = name == "wte.weight" || name == "wpe.weight" || name == "head.weight";
  if (embeds || !name.ends_with(kWeight)) return std::nullopt;
  const auto as_bias = [&](const std::string& weight) { return weight.substr(0, weight.size() - kWeight.size()) + "bias"; };
  if (table.contains(as_bias(name))) return std::nullopt;
  return ExportTensor{.name = as_bias(spec.pieces.front().name), .shape = {spec.shape[0]}};
}

using Names = std::span<const std::pair<std::string_view, std::string_view>>;

// Parts of the names of Hugging Face and of llama.cpp. In the order in which they are looked for.
constexpr std::array<std::pair<std::string_view, std::string_view>, 13> kLlamaNames{{{"model.embed_tokens.", "token_embd."},
                                                                                     {"model.norm.", "output_norm."},
                                                                                     {"lm_head.", "output."},
                                                                                     {"model.layers.", "blk."},
                                                                                     {"input_layernorm.", "attn_norm."},
                                                                                     {"self_attn.q_proj.", "attn_q."},
                                                                                     {"self_attn.k_proj.", "attn_k."},
                                                                                     {"self_attn.v_proj.", "attn_v."},
                                                                                     {"self_attn.o_proj.", "attn_output."},
                                                                                     {"post_attention_layernorm.", "ffn_norm."},
                                                                                     {"mlp.gate_proj.", "ffn_gate."},
                                                                                     {"mlp.up_proj.", "ffn_up."},
                                                                                     {"mlp.down_proj.", "ffn_down."}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kGpt2Names{{{"transformer.wte.", "token_embd."},
                                                                                    {"transformer.wpe.", "position_embd."},
                                                                                    {"transformer.ln_f.", "output_norm."},
                                                                                    {"lm_head.", "output."},
                                                                                    {"transformer.h.", "blk."},
                                                                                    {"ln_1.", "attn_norm."},
                                                                                    {"attn.c_attn.", "attn_qkv."},
                                                                                    {"attn.c_proj.", "attn_output."},
                                                                                    {"ln_2.", "ffn_norm."},
                                                                                    {"mlp.c_fc.", "ffn_up."},
                                                                                    {"mlp.c_proj.", "ffn_down."}}};

std::string gguf_name(std::string name, Names names) {
  for (const auto& [theirs, gguf] : names)
    if (const size_t at = name.find(theirs); at != std::string::npos) name.replace(at, theirs.size(), gguf);
  return name;
}

enum class Order { to_pairs, from_pairs };

// Rows i and i + group/2 of each group become rows 2i and 2i + 1, or the reverse.
std::vector<float> interleave(std::span<const float> values, uint64_t rows, uint64_t group, Order order) {
  const uint64_t columns = values.size() / rows, half = group / 2;
  std::vector<float> moved(values.size());
  for (uint64_t row = 0; row < rows; ++row) {
    const uint64_t first = row / group * group, i = row % group;
    const uint64_t paired = first + (i < half ? 2 * i : 2 * (i - half) + 1);
    const uint64_t from = order == Order::to_pairs ? row : paired, to = order == Order::to_pairs ? paired : row;
    std::copy_n(values.data() + from * columns, columns, moved.data() + to * columns);
  }
  return moved;
}

}  // namespace

std::vector<float> ExportTensor::values(std::span<const float> flat) const {
  if (spec == nullptr) return std::vector<float>(shape[0]);
  std::vector<float> copied = copy_to_piece(flat, *spec, piece);
  return interleaved_group == 0 ? copied : interleave(copied, piece.rows, interleaved_group, Order::to_pairs);
}

void ExportTensor::store(std::span<float> flat, std::vector<float> values) const {
  CHECK(spec != nullptr, "{} has no parameter", name);
  if (interleaved_group != 0) values = interleave(values, piece.rows, interleaved_group, Order::from_pairs);
  copy_from_piece(flat, *spec, piece, values);
}

std::vector<ExportTensor> hugging_face_tensors(const ParameterTable& table, Arch arch) {
  std::vector<ExportTensor> tensors;
  for (const ParameterSpec& spec : table.specs()) {
    for (const ExportPiece& piece : spec.pieces)
      tensors.push_back({.name = piece.name, .shape = dimensions(piece_shape(spec, piece)), .spec = &spec, .piece = piece});
    if (arch != Arch::gpt2) continue;
    if (std::optional<ExportTensor> bias = missing_bias(table, spec)) tensors.push_back(*std::move(bias));
  }
  return tensors;
}

std::vector<ExportTensor> gguf_tensors(const ParameterTable& table, const ModelConfig& model, Arch arch) {
  std::vector<ExportTensor> tensors = hugging_face_tensors(table, arch);
  for (ExportTensor& tensor : tensors) {
    const bool rotates = tensor.name.find("self_attn.q_proj.") != std::string::npos || tensor.name.find("self_attn.k_proj.") != std::string::npos;
    if (rotates) tensor.interleaved_group = model.head_width();
    tensor.name = gguf_name(tensor.name, arch == Arch::gpt2 ? Names(kGpt2Names) : Names(kLlamaNames));
    if (!tensor.piece.transposed) continue;
    tensor.piece.transposed = false;
    std::ranges::reverse(tensor.shape);
  }
  return tensors;
}

Arch exportable_arch(const Config& config) {
  if (config.loss.softcap != 0) {
    throw Error("cannot export loss.softcap = {}: other programs have none", config.loss.softcap);
  }
  if (config.loss.temperature != 1) {
    throw Error("cannot export loss.temperature = {}: other programs have none", config.loss.temperature);
  }
  const ModelConfig& m = config.model;
  if (const std::optional<Arch> arch = hugging_face_arch(m)) return *arch;

  // Choose the class that matches more of the keys.
  const bool llama = (m.norm == NormKind::rmsnorm) + (m.mlp == MlpKind::swiglu) + (m.position == PositionKind::rope) >= 2;
  const auto error = [&](const char* key, const std::string& value, const std::string& wanted) {
    return Error(
        "cannot export model.{} = {}: {} has {} (layernorm, gelu, learned and kv_heads = heads make "
        "GPT2LMHeadModel; rmsnorm, swiglu and rope make LlamaForCausalLM)",
        key, value, llama ? "LlamaForCausalLM" : "GPT2LMHeadModel", wanted);
  };
  const auto require = [&](const char* key, auto value, auto wanted) {
    if (value != wanted) throw error(key, fmt::format("\"{}\"", to_string(value)), to_string(wanted));
  };
  require("norm", m.norm, llama ? NormKind::rmsnorm : NormKind::layernorm);
  require("mlp", m.mlp, llama ? MlpKind::swiglu : MlpKind::gelu);
  require("position", m.position, llama ? PositionKind::rope : PositionKind::learned);
  if (m.kv_heads != m.heads) throw error("kv_heads", fmt::format("{}", m.kv_heads), "as many as heads");
  throw error("head_width", fmt::format("{}", m.head_width()), "dim / heads");
}

void require_finite_in_f16(std::span<const float> values, const std::string& name) {
  for (const float value : values)
    if (std::isfinite(value) && !std::isfinite(half_value(f16_bits(value), DType::f16)))
      throw Error("cannot export {} in f16: it has the value {}, and f16 ends at 65504; use --dtype bf16 or f32", name, value);
}

}  // namespace lapilli
