// The names and transpositions of Hugging Face's layout are in the table of parameters, the rest is here.

#include "model/io/export.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/staged_folder.h"
#include "engine/memory/half.h"
#include "model/transformer/parameters.h"
#include "tokenizer/text/hugging_face_json.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

using nlohmann::ordered_json;

// 1e-5F as 0.00001, and not as the double nearest to the float.
double shortest(float value) { return std::stod(fmt::format("{}", value)); }

// The Hugging Face class for a configuration; throws naming the key that fits neither.
Arch require_arch(const Config& config) {
  if (config.loss.softcap != 0) {
    throw Error("cannot export loss.softcap = {}: the models of Hugging Face have none", config.loss.softcap);
  }
  if (config.loss.temperature != 1) {
    throw Error("cannot export loss.temperature = {}: the models of Hugging Face have none", config.loss.temperature);
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

ordered_json gpt2_config(const ModelConfig& m) {
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"vocab_size", m.vocab_size},
          {"n_positions", m.context},
          {"n_ctx", m.context},
          {"n_embd", m.dim},
          {"n_layer", m.layers},
          {"n_head", m.heads},
          {"n_inner", m.ffn_dim},
          {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", shortest(m.norm_eps)},
          {"embd_pdrop", shortest(m.dropout)},
          {"resid_pdrop", shortest(m.dropout)},
          {"attn_pdrop", 0.0},
          {"scale_attn_weights", true},
          {"scale_attn_by_inverse_layer_idx", false},
          {"reorder_and_upcast_attn", false}};
}

ordered_json rope_scaling(const RopeScaling& scaling) {
  if (scaling.kind == RopeScalingKind::none) return nullptr;
  return {{"rope_type", "llama3"},
          {"factor", scaling.factor},
          {"low_freq_factor", scaling.low_freq_factor},
          {"high_freq_factor", scaling.high_freq_factor},
          {"original_max_position_embeddings", scaling.original_context}};
}

ordered_json llama_config(const ModelConfig& m) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", m.vocab_size},
          {"max_position_embeddings", m.context},
          {"hidden_size", m.dim},
          {"intermediate_size", m.ffn_dim},
          {"num_hidden_layers", m.layers},
          {"num_attention_heads", m.heads},
          {"num_key_value_heads", m.kv_heads},
          {"head_dim", m.head_width()},
          {"hidden_act", "silu"},
          {"rms_norm_eps", shortest(m.norm_eps)},
          {"rope_theta", m.rope_theta},
          {"rope_scaling", rope_scaling(m.rope_scaling)},
          {"attention_bias", m.bias},
          {"mlp_bias", m.bias},
          {"attention_dropout", 0.0},
          {"pretraining_tp", 1}};
}

const char* torch_name(TensorType type) { return type == TensorType::f16 ? "float16" : type == TensorType::bf16 ? "bfloat16" : "float32"; }

ordered_json special_ids(const HuggingFaceTokenizer& tokenizer) {
  const ordered_json id = tokenizer.document_end ? ordered_json(*tokenizer.document_end) : ordered_json(nullptr);
  return {{"bos_token_id", id}, {"eos_token_id", id}};
}

ordered_json hugging_face_config(const ModelConfig& model, Arch arch, const HuggingFaceTokenizer& tokenizer, TensorType type) {
  ordered_json config = arch == Arch::gpt2 ? gpt2_config(model) : llama_config(model);
  config["tie_word_embeddings"] = model.tie_embeddings;
  config["initializer_range"] = shortest(ModelConfig::kInitStd);
  config["use_cache"] = true;
  config["torch_dtype"] = torch_name(type);
  config.update(special_ids(tokenizer));
  return config;
}

// One tensor of the export: a piece of a parameter, or zeros.
struct Planned {
  TensorInfo info;
  const ParameterSpec* spec = nullptr;
  const ExportPiece* piece = nullptr;
};

TensorInfo describe(const std::string& name, const Shape& shape) {
  TensorInfo info{.name = name};
  for (uint32_t i = 0; i < shape.rank(); ++i) info.shape.push_back(shape[i]);
  return info;
}

// GPT-2 has a bias wherever it has a norm or a linear layer: zeros where the model has none.
std::optional<TensorInfo> missing_bias(const ParameterTable& table, const ParameterSpec& spec) {
  constexpr std::string_view kWeight = "weight";
  const std::string& name = spec.name;
  const bool embeds = name == "wte.weight" || name == "wpe.weight" || name == "head.weight";
  if (embeds || !name.ends_with(kWeight)) return std::nullopt;
  const auto as_bias = [&](const std::string& weight) { return weight.substr(0, weight.size() - kWeight.size()) + "bias"; };
  if (table.contains(as_bias(name))) return std::nullopt;
  return describe(as_bias(spec.pieces.front().name), {spec.shape[0]});
}

std::vector<Planned> plan_tensors(const ParameterTable& table, Arch arch, TensorType type) {
  std::vector<Planned> plan;
  for (const ParameterSpec& spec : table.specs()) {
    for (const ExportPiece& piece : spec.pieces) {
      plan.push_back({describe(piece.name, piece_shape(spec, piece)), &spec, &piece});
    }
    if (arch != Arch::gpt2) continue;
    if (const std::optional<TensorInfo> bias = missing_bias(table, spec)) plan.push_back({*bias});
  }
  for (Planned& planned : plan) planned.info.type = type;
  return plan;
}

void require_finite_in_f16(std::span<const float> values, const std::string& name) {
  for (const float value : values)
    if (std::isfinite(value) && !std::isfinite(half_value(f16_bits(value), DType::f16)))
      throw Error("cannot export {} in f16: it has the value {}, and f16 ends at 65504; use --dtype bf16 or f32", name, value);
}

void write_weights(const std::filesystem::path& path, std::span<const Planned> plan, std::span<const float> flat) {
  std::vector<TensorInfo> tensors;
  for (const Planned& planned : plan) tensors.push_back(planned.info);
  SafetensorsWriter writer(path, {{"format", "pt"}}, tensors);  // transformers refuses files that do not say so
  for (const Planned& planned : plan) {
    const std::vector<float> values =
        planned.spec != nullptr ? copy_to_piece(flat, *planned.spec, *planned.piece) : std::vector<float>(planned.info.elements());
    if (planned.info.type == TensorType::f16) require_finite_in_f16(values, planned.info.name);
    writer.write(values);
  }
  writer.commit();
}

// How many of the plan's tensors go into each file, in its order.
std::vector<size_t> split_plan(std::span<const Planned> plan, uint64_t most_bytes) {
  std::vector<size_t> counts{0};
  uint64_t filled = 0;
  for (const Planned& planned : plan) {
    const uint64_t bytes = planned.info.size_bytes();
    if (counts.back() > 0 && filled + bytes > most_bytes) {
      counts.push_back(0);
      filled = 0;
    }
    ++counts.back();
    filled += bytes;
  }
  return counts;
}

// Returns the names of the files, the index last where there are several.
std::vector<std::string> write_all_weights(const StagedFolder& folder, std::span<const Planned> plan, std::span<const float> flat,
                                           uint64_t most_bytes) {
  const std::vector<size_t> counts = split_plan(plan, most_bytes);
  ordered_json files = ordered_json::object();
  std::vector<std::string> names;
  uint64_t total = 0;
  size_t first = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    names.push_back(counts.size() == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, counts.size()));
    const std::span<const Planned> part = plan.subspan(first, counts[i]);
    first += counts[i];
    write_weights(folder / names.back(), part, flat);
    for (const Planned& planned : part) {
      files[planned.info.name] = names.back();
      total += planned.info.size_bytes();
    }
  }
  if (counts.size() > 1) {
    names.emplace_back("model.safetensors.index.json");
    write_file_atomically(folder / names.back(), json_text({{"metadata", {{"total_size", total}}}, {"weight_map", files}}, 2) + "\n");
  }
  return names;
}

}  // namespace

std::vector<std::string> export_safetensors(const LoadedCheckpoint& checkpoint, const std::filesystem::path& out_dir,
                                            const ExportSettings& settings) {
  const ModelConfig& model = checkpoint.config.model;
  const Arch arch = require_arch(checkpoint.config);
  const ParameterTable table(model);
  CHECK_EQ(checkpoint.state.values.size(), table.count());
  const std::filesystem::path tokenizer_path = tokenizer_in(checkpoint.folder);
  const Tokenizer stored(tokenizer_path);
  const HuggingFaceTokenizer tokenizer = hugging_face_tokenizer(stored, model.context);

  StagedFolder staged(out_dir);
  std::vector<std::string> names =
      write_all_weights(staged, plan_tensors(table, arch, settings.type), checkpoint.state.values, settings.most_bytes_in_a_file);
  const auto write_text = [&](const char* name, const std::string& text) {
    write_file_atomically(staged / name, text);
    names.emplace_back(name);
  };
  if (stored.byte_bpe() == nullptr) {  // its own file is tokenizer.json
    copy_file_atomically(tokenizer_path, staged / kTokenizerNames[0]);
    names.emplace_back(kTokenizerNames[0]);
  }
  write_text("tokenizer.json", tokenizer.tokenizer);
  write_text("tokenizer_config.json", tokenizer.tokenizer_config);
  write_text("special_tokens_map.json", tokenizer.special_tokens_map);
  write_text("generation_config.json", json_text(special_ids(tokenizer), 2) + "\n");
  write_text("config.json", json_text(hugging_face_config(model, arch, tokenizer, settings.type), 2) + "\n");
  std::vector<const char*> published;
  for (const std::string& name : names) published.push_back(name.c_str());
  staged.publish_files(published);
  return names;
}

}  // namespace lapilli
