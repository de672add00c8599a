// The names and transpositions of Hugging Face's layout are in the table of parameters, the rest is here.

#include "model/io/export.h"

#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/staged_folder.h"
#include "model/io/export_tensors.h"
#include "tokenizer/text/hugging_face_json.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

using nlohmann::ordered_json;

// 1e-5F as 0.00001, and not as the double nearest to the float.
double shortest(float value) { return std::stod(fmt::format("{}", value)); }

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

TensorInfo describe(const ExportTensor& tensor, TensorType type) { return {.name = tensor.name, .type = type, .shape = tensor.shape}; }

void write_weights(const std::filesystem::path& path, std::span<const ExportTensor> tensors, TensorType type, std::span<const float> flat) {
  std::vector<TensorInfo> infos;
  for (const ExportTensor& tensor : tensors) infos.push_back(describe(tensor, type));
  SafetensorsWriter writer(path, {{"format", "pt"}}, infos);  // transformers refuses files that do not say so
  for (const ExportTensor& tensor : tensors) {
    const std::vector<float> values = tensor.values(flat);
    if (type == TensorType::f16) require_finite_in_f16(values, tensor.name);
    writer.write(values);
  }
  writer.commit();
}

// How many of the tensors go into each file, in their order.
std::vector<size_t> split_over_files(std::span<const ExportTensor> tensors, const ExportSettings& settings) {
  std::vector<size_t> counts{0};
  uint64_t filled = 0;
  for (const ExportTensor& tensor : tensors) {
    const uint64_t bytes = describe(tensor, settings.type).size_bytes();
    if (counts.back() > 0 && filled + bytes > settings.most_bytes_in_a_file) {
      counts.push_back(0);
      filled = 0;
    }
    ++counts.back();
    filled += bytes;
  }
  return counts;
}

// Returns the names of the files, the index last where there are several.
std::vector<std::string> write_all_weights(const StagedFolder& folder, std::span<const ExportTensor> tensors, std::span<const float> flat,
                                           const ExportSettings& settings) {
  const std::vector<size_t> counts = split_over_files(tensors, settings);
  ordered_json files = ordered_json::object();
  std::vector<std::string> names;
  uint64_t total = 0;
  size_t first = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    names.push_back(counts.size() == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, counts.size()));
    const std::span<const ExportTensor> part = tensors.subspan(first, counts[i]);
    first += counts[i];
    write_weights(folder / names.back(), part, settings.type, flat);
    for (const ExportTensor& tensor : part) {
      files[tensor.name] = names.back();
      total += describe(tensor, settings.type).size_bytes();
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
  const Arch arch = exportable_arch(checkpoint.config);
  const ParameterTable table(model);
  CHECK_EQ(checkpoint.state.values.size(), table.count());
  const std::filesystem::path tokenizer_path = tokenizer_in(checkpoint.folder);
  const Tokenizer stored(tokenizer_path);
  const HuggingFaceTokenizer tokenizer = hugging_face_tokenizer(stored, model.context);

  StagedFolder staged(out_dir);
  std::vector<std::string> names = write_all_weights(staged, hugging_face_tensors(table, arch), checkpoint.state.values, settings);
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
