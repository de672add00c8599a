#include "model/io/gguf_config.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"

namespace lapilli {

namespace {

// llama.cpp has a tensor of factors, and not what they come from: our own files say that under these keys.
constexpr const char* kFactorKey = "lapilli.rope.factor";
constexpr const char* kLowKey = "lapilli.rope.low_freq_factor";
constexpr const char* kHighKey = "lapilli.rope.high_freq_factor";
constexpr const char* kOriginalKey = "lapilli.rope.original_context";

bool has_biases(const GgufFile& file) {
  return std::ranges::any_of(file.tensors(), [](const GgufTensor& t) { return t.name.starts_with("blk.") && t.name.ends_with(".bias"); });
}

[[noreturn]] void refuse(const GgufFile& file, const std::string& key, const auto& value, const char* wanted) {
  throw Error("'{}': {} = {} cannot be imported: it must be {}", file.path(), key, value, wanted);
}

// Which llama3 scaling gives the file's factors: that of our own keys, else that of Llama 3.1 and later models.
RopeScaling read_rope_scaling(const GgufFile& file, const ModelConfig& model) {
  const GgufTensor* tensor = file.find(kRopeFactors);
  if (tensor == nullptr) return {};
  const std::vector<float> factors = file.read(*tensor);
  if (2 * factors.size() != model.head_width())
    throw Error("'{}': {} has {} values for heads of width {}", file.path(), kRopeFactors, factors.size(), model.head_width());
  const RopeScaling usual;
  ModelConfig scaled = model;
  scaled.rope_scaling = {.kind = RopeScalingKind::llama3,
                         .factor = file.number(kFactorKey, static_cast<double>(*std::ranges::max_element(factors))),
                         .low_freq_factor = file.number(kLowKey, usual.low_freq_factor),
                         .high_freq_factor = file.number(kHighKey, usual.high_freq_factor),
                         .original_context = file.count(kOriginalKey, usual.original_context)};
  const std::vector<float> expected = rope_factors(scaled);
  const auto close = [](float a, float b) { return std::abs(a - b) <= 1e-5F * std::abs(b); };  // some rounding steps of f32
  if (!std::ranges::equal(factors, expected, close))
    refuse(file, kRopeFactors, fmt::format("[{}]", fmt::join(factors, ", ")), "the factors of a llama3 rope_scaling");
  return scaled.rope_scaling;
}

ModelConfig common_config(const GgufFile& file, Arch arch, const std::string& prefix) {
  ModelConfig m{.arch = arch};
  apply_preset(m);
  m.layers = file.count(prefix + "block_count");
  m.heads = file.count(prefix + "attention.head_count");
  m.kv_heads = file.count(prefix + "attention.head_count_kv", m.heads);
  m.dim = file.count(prefix + "embedding_length");
  m.ffn_dim = file.count(prefix + "feed_forward_length");
  m.context = file.count(prefix + "context_length");
  m.tie_embeddings = file.find("output.weight") == nullptr;
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) throw Error("'{}' has no tensor token_embd.weight of rows and columns", file.path());
  m.vocab_size = static_cast<uint32_t>(std::min<uint64_t>(embedding->shape[0], UINT32_MAX));
  return m;
}

ModelConfig llama_config(const GgufFile& file) {
  const std::string prefix = "llama.";
  ModelConfig m = common_config(file, Arch::llama, prefix);
  m.norm_eps = static_cast<float>(file.number(prefix + "attention.layer_norm_rms_epsilon"));
  m.rope_theta = file.number(prefix + "rope.freq_base", 10000);
  m.head_size = file.count(prefix + "attention.key_length", 0);
  if (m.heads == 0) refuse(file, prefix + "attention.head_count", 0, "above 0");
  const uint32_t values = file.count(prefix + "attention.value_length", m.head_width());
  if (values != m.head_width()) refuse(file, prefix + "attention.value_length", values, "attention.key_length");
  const uint32_t rotated = file.count(prefix + "rope.dimension_count", m.head_width());
  if (rotated != m.head_width()) refuse(file, prefix + "rope.dimension_count", rotated, "the width of a head");
  const std::string scaling = file.text(prefix + "rope.scaling.type", "none");
  if (scaling != "none") refuse(file, prefix + "rope.scaling.type", scaling, "none, or factors in rope_freqs.weight");
  if (const uint32_t experts = file.count(prefix + "expert_count", 0); experts != 0) refuse(file, prefix + "expert_count", experts, "0");
  m.bias = has_biases(file);
  m.rope_scaling = read_rope_scaling(file, m);
  return m;
}

ModelConfig gpt2_config(const GgufFile& file) {
  ModelConfig m = common_config(file, Arch::gpt2, "gpt2.");
  m.norm_eps = static_cast<float>(file.number("gpt2.attention.layer_norm_epsilon"));
  return m;
}

}  // namespace

std::vector<float> rope_factors(const ModelConfig& model) {
  if (model.rope_scaling.kind == RopeScalingKind::none) return {};
  const std::vector<double> plain = rope_frequencies(model.head_width(), model.rope_theta),
                            scaled = rope_frequencies(model.head_width(), model.rope_theta, model.rope_scaling);
  std::vector<float> factors;
  for (size_t i = 0; i < plain.size(); ++i) factors.push_back(static_cast<float>(plain[i] / scaled[i]));
  return factors;
}

void write_gguf_config(GgufWriter& writer, const ModelConfig& model, Arch arch) {
  const std::string name = to_string(arch), prefix = name + ".";
  writer.add("general.architecture", name);
  writer.add(prefix + "vocab_size", model.vocab_size);
  writer.add(prefix + "context_length", model.context);
  writer.add(prefix + "embedding_length", model.dim);
  writer.add(prefix + "block_count", model.layers);
  writer.add(prefix + "feed_forward_length", model.ffn_dim);
  writer.add(prefix + "attention.head_count", model.heads);
  writer.add(prefix + "attention.head_count_kv", model.kv_heads);
  writer.add(prefix + (arch == Arch::gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"), model.norm_eps);
  if (arch == Arch::gpt2) return;
  writer.add(prefix + "attention.key_length", model.head_width());
  writer.add(prefix + "attention.value_length", model.head_width());
  writer.add(prefix + "rope.dimension_count", model.head_width());
  writer.add(prefix + "rope.freq_base", static_cast<float>(model.rope_theta));
  if (model.rope_scaling.kind == RopeScalingKind::none) return;
  writer.add(kFactorKey, static_cast<float>(model.rope_scaling.factor));
  writer.add(kLowKey, static_cast<float>(model.rope_scaling.low_freq_factor));
  writer.add(kHighKey, static_cast<float>(model.rope_scaling.high_freq_factor));
  writer.add(kOriginalKey, model.rope_scaling.original_context);
}

ModelConfig read_gguf_config(const GgufFile& file) {
  const std::string arch = file.text("general.architecture");
  if (arch == to_string(Arch::llama)) return llama_config(file);
  if (arch == to_string(Arch::gpt2)) return gpt2_config(file);
  throw Error("'{}': general.architecture = \"{}\" cannot be imported; gpt2 and llama can", file.path(), arch);
}

}  // namespace lapilli
