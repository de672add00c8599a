#include "model/io/hugging_face_config.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"

namespace lapilli {

namespace {

using nlohmann::ordered_json;

// An object of the file. Absent keys and null are the same.
class Reader {
 public:
  Reader(std::string path, const ordered_json& object) : path_(std::move(path)), object_(object) {}

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }

  uint32_t count(const char* key, std::optional<uint32_t> absent = std::nullopt) const {
    if (!has(key) && absent) return *absent;
    const ordered_json& value = required(key);
    if (!value.is_number_unsigned() || value.get<uint64_t>() == 0 || value.get<uint64_t>() > UINT32_MAX) fail(key, "a whole number above 0");
    return value.get<uint32_t>();
  }
  double number(const char* key, double absent) const {
    if (!has(key)) return absent;
    const ordered_json& value = object_[key];
    if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>())) fail(key, "a number above 0");
    return value.get<double>();
  }
  bool flag(const char* key, bool absent) const {
    if (!has(key)) return absent;
    if (!object_[key].is_boolean()) fail(key, "true or false");
    return object_[key].get<bool>();
  }
  std::string text(const char* key, const char* absent) const {
    if (!has(key)) return absent;
    if (!object_[key].is_string()) fail(key, "a string");
    return object_[key].get<std::string>();
  }
  std::optional<Reader> object(const char* key) const {
    if (!has(key)) return std::nullopt;
    if (!object_[key].is_object()) fail(key, "an object");
    return Reader(path_, object_[key]);
  }
  void require(const char* key, bool wanted) const {
    if (flag(key, wanted) != wanted) fail(key, wanted ? "true" : "false");
  }
  [[noreturn]] void fail(const char* key, const char* wanted) const {
    throw Error("'{}': {} = {} cannot be imported: it must be {}", path_, key, json_text(object_[key]), wanted);
  }

 private:
  const ordered_json& required(const char* key) const {
    if (!has(key)) throw Error("'{}' has no {}", path_, key);
    return object_[key];
  }

  std::string path_;
  const ordered_json& object_;
};

ModelConfig gpt2_model(const Reader& json) {
  ModelConfig m;
  apply_preset(m);
  m.layers = json.count("n_layer");
  m.heads = m.kv_heads = json.count("n_head");
  m.dim = json.count("n_embd");
  m.ffn_dim = json.count("n_inner", default_ffn_dim(m));
  m.context = json.count("n_positions");
  m.norm_eps = static_cast<float>(json.number("layer_norm_epsilon", 1e-5));
  m.tie_embeddings = json.flag("tie_word_embeddings", true);
  const std::string activation = json.text("activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh") json.fail("activation_function", "gelu_new or gelu_pytorch_tanh");
  json.require("scale_attn_weights", true);
  json.require("scale_attn_by_inverse_layer_idx", false);
  json.require("add_cross_attention", false);
  return m;
}

// Before transformers 5 in rope_theta and rope_scaling, since then in rope_parameters.
void read_rope(const Reader& json, ModelConfig& m) {
  const std::optional<Reader> parameters = json.object("rope_parameters");
  const std::optional<Reader> scaling = parameters ? parameters : json.object("rope_scaling");
  m.rope_theta = parameters && parameters->has("rope_theta") ? parameters->number("rope_theta", 10000) : json.number("rope_theta", 10000);
  if (!scaling) return;
  const char* key = scaling->has("rope_type") ? "rope_type" : "type";
  const std::string kind = scaling->text(key, "default");
  if (kind == "default") return;
  if (kind != "llama3") scaling->fail(key, "default or llama3");
  m.rope_scaling = {.kind = RopeScalingKind::llama3,
                    .factor = scaling->number("factor", 8),
                    .low_freq_factor = scaling->number("low_freq_factor", 1),
                    .high_freq_factor = scaling->number("high_freq_factor", 4),
                    .original_context = scaling->count("original_max_position_embeddings", 8192)};
}

ModelConfig llama_model(const Reader& json) {
  ModelConfig m{.arch = Arch::llama};
  apply_preset(m);
  m.layers = json.count("num_hidden_layers");
  m.heads = json.count("num_attention_heads");
  m.kv_heads = json.count("num_key_value_heads", m.heads);
  m.dim = json.count("hidden_size");
  m.ffn_dim = json.count("intermediate_size");
  m.context = json.count("max_position_embeddings", 2048);
  m.head_size = json.has("head_dim") ? json.count("head_dim") : 0;
  m.norm_eps = static_cast<float>(json.number("rms_norm_eps", 1e-6));
  m.tie_embeddings = json.flag("tie_word_embeddings", false);
  m.bias = json.flag("attention_bias", false) || json.flag("mlp_bias", false);  // zeros where one of them has none
  if (json.text("hidden_act", "silu") != "silu") json.fail("hidden_act", "silu");
  read_rope(json, m);
  return m;
}

}  // namespace

ModelConfig read_hugging_face_config(const std::filesystem::path& path) {
  const ordered_json parsed = parse_json(read_text_file(path));
  if (!parsed.is_object()) throw Error("'{}' is not a JSON object", path.string());
  const Reader json(path.string(), parsed);
  const std::string type = json.text("model_type", "");
  if (type != "gpt2" && type != "llama") throw Error("'{}': model_type = \"{}\" cannot be imported; gpt2 and llama can", path.string(), type);
  ModelConfig m = type == "gpt2" ? gpt2_model(json) : llama_model(json);
  m.vocab_size = json.count("vocab_size");
  return m;
}

}  // namespace lapilli
