#include "model/io/import.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/staged_folder.h"
#include "model/io/checkpoint.h"
#include "model/io/config_schema.h"
#include "model/io/config_toml.h"
#include "model/io/export_tensors.h"
#include "model/io/gguf_config.h"
#include "model/io/hugging_face_config.h"
#include "model/io/tensor_source.h"
#include "tokenizer/text/gguf_tokenizer.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

namespace fs = std::filesystem;

// What the files of a family may leave out or have besides.
struct Leniency {
  std::function<bool(const std::string& name)> may_lack;  // a bias that the model then does not have: zeros
  std::function<bool(const std::string& name)> is_no_parameter;
};

// Where each part of each parameter is. Nothing is allocated for a configuration that the files do not fill.
std::vector<const ExportTensor*> require_all(const TensorSource& files, const std::vector<ExportTensor>& tensors, const Leniency& leniency) {
  std::vector<const ExportTensor*> found;
  std::set<std::string> used;
  for (const ExportTensor& tensor : tensors) {
    const std::vector<uint64_t>* shape = files.find(tensor.name);
    if (shape == nullptr && leniency.may_lack(tensor.name)) continue;
    if (shape == nullptr) throw Error("'{}' has no tensor {}", files.path(), tensor.name);
    if (*shape != tensor.shape)
      throw Error("'{}': tensor {} is [{}], but the model's configuration makes it [{}]", files.path(), tensor.name, fmt::join(*shape, ", "),
                  fmt::join(tensor.shape, ", "));
    found.push_back(&tensor);
    used.insert(files.canonical(tensor.name));
  }
  for (const std::string& name : files.names())
    if (!used.contains(files.canonical(name)) && !leniency.is_no_parameter(name))
      throw Error("'{}': the model has no place for the tensor {}", files.path(), name);
  return found;
}

// Masks and tables that other versions stored, and a head that is the embedding. attention_bias and mlp_bias are two keys, model.bias is one:
// the biases of one of them may be missing, all together.
Leniency of_hugging_face(const TensorSource& files, const ModelConfig& model) {
  return {.may_lack =
              [&files, arch = model.arch](const std::string& name) {
                const char* const kind = name.find("self_attn.") != std::string::npos ? "self_attn." : "mlp.";
                return arch == Arch::llama && name.ends_with("_proj.bias") && std::ranges::none_of(files.names(), [&](const std::string& other) {
                         return other.ends_with("_proj.bias") && other.find(kind) != std::string::npos;
                       });
              },
          .is_no_parameter =
              [tied = model.tie_embeddings](const std::string& name) {
                return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") || name.ends_with("rotary_emb.inv_freq") ||
                       (tied && name == "lm_head.weight");
              }};
}

// Each bias of a Llama is there in all layers, or in none.
Leniency of_gguf(const TensorSource& files, const ModelConfig& model) {
  const auto kind = [](const std::string& name) { return name.substr(name.rfind('.', name.size() - std::string_view(".bias").size() - 1)); };
  return {.may_lack =
              [&files, arch = model.arch, kind](const std::string& name) {
                return arch == Arch::llama && name.ends_with(".bias") &&
                       std::ranges::none_of(files.names(), [&](const std::string& other) { return other.ends_with(kind(name)); });
              },
          .is_no_parameter = [](const std::string& name) { return name == kRopeFactors; }};
}

void require_new(const fs::path& run) {
  std::error_code ignored;
  if (fs::exists(run, ignored) && !(fs::is_directory(run, ignored) && fs::is_empty(run, ignored)))
    throw Error("'{}' exists: name a new folder for the run", run.string());
}

Config run_config(const ModelConfig& model, const std::string& path) {
  Config config;
  config.model = model;
  config.data.batch = 1;  // contexts of others may be long
  try {
    validate_config(config);
  } catch (const Error& error) {
    throw Error("'{}' cannot be imported: {}", path, error.what());
  }
  if (!hugging_face_arch(config.model)) throw Error("'{}': its heads are not dim / heads wide", path);
  return config;
}

// The tensors of a configuration with as many layers as that are not listed before anything else is known to fit.
void require_layers(const TensorSource& files, const ModelConfig& model) {
  if (const size_t tensors = files.names().size(); model.layers > tensors)
    throw Error("'{}' has {} tensors, too few for {} layers", files.path(), tensors, model.layers);
}

std::vector<float> read_weights(const TensorSource& files, const ParameterTable& table, const std::vector<ExportTensor>& tensors,
                                const Leniency& leniency) {
  const std::vector<const ExportTensor*> found = require_all(files, tensors, leniency);
  std::vector<float> values(table.count());
  for (const ExportTensor* tensor : found) tensor->store(values, files.read(tensor->name));
  return values;
}

Tokenizer write_tokenizer(const StagedFolder& staged, const std::string& bytes) {
  const fs::path path = staged / tokenizer_file_name(bytes);
  write_file_atomically(path, bytes);
  return Tokenizer(path);
}

// `tokenizer`: a file of `staged`.
Imported write_run(StagedFolder& staged, const Config& config, const Tokenizer& tokenizer, std::vector<float> values) {
  TrainingState state;
  state.seed = config.train.seed;
  state.best_val_loss = std::numeric_limits<double>::infinity();
  state.tokenizer_hash = tokenizer.hash();
  state.values = std::move(values);
  write_file_atomically(staged / "config.toml", to_toml(config));
  fs::create_directory(staged / "checkpoints");
  save_checkpoint(staged / "checkpoints", config, state, tokenizer.path());
  staged.publish();
  return {.parameters = state.values.size(), .vocab_size = config.model.vocab_size};
}

// The first eos_token_id of config.json, if it has one.
std::optional<uint32_t> eos_of(const fs::path& config_path) {
  const nlohmann::ordered_json config = parse_json(read_text_file(config_path));
  const nlohmann::ordered_json ids = config.value("eos_token_id", nlohmann::ordered_json());
  const nlohmann::ordered_json id = ids.is_array() && !ids.empty() ? ids[0] : ids;
  return id.is_number_unsigned() && id.get<uint64_t>() <= UINT32_MAX ? std::optional(id.get<uint32_t>()) : std::nullopt;
}

Imported import_hugging_face(const fs::path& folder, const fs::path& run) {
  const fs::path config_path = folder / "config.json";
  const Config config = run_config(read_hugging_face_config(config_path), config_path.string());
  const std::string tokenizer = padded_tokenizer(Tokenizer(tokenizer_in(folder)), config.model.vocab_size, eos_of(config_path));
  const std::unique_ptr<TensorSource> files = open_safetensors(folder);
  require_layers(*files, config.model);
  const ParameterTable table(config.model);
  std::vector<float> values = read_weights(*files, table, hugging_face_tensors(table, config.model.arch), of_hugging_face(*files, config.model));
  StagedFolder staged(run);
  return write_run(staged, config, write_tokenizer(staged, tokenizer), std::move(values));
}

GgufTokenizer read_gguf_tokenizer(const GgufFile& file) {
  const std::string prefix = "tokenizer.ggml.";
  const auto id = [&](const char* key) { return file.has(prefix + key) ? std::optional(file.count(prefix + key)) : std::nullopt; };
  GgufTokenizer tokenizer{.model = file.text(prefix + "model"),
                          .pre = file.text(prefix + "pre", "default"),
                          .tokens = file.texts(prefix + "tokens"),
                          .bos = id("bos_token_id"),
                          .eos = id("eos_token_id"),
                          .unknown = id("unknown_token_id")};
  if (file.has(prefix + "scores"))
    for (const double score : file.numbers(prefix + "scores")) tokenizer.scores.push_back(static_cast<float>(score));
  if (file.has(prefix + "merges")) tokenizer.merges = file.texts(prefix + "merges");
  for (const double type : file.numbers(prefix + "token_type")) tokenizer.token_types.push_back(static_cast<int32_t>(type));
  return tokenizer;
}

Imported import_gguf(const fs::path& path, const fs::path& run) {
  const GgufFile file(path);
  const Config config = run_config(read_gguf_config(file), path.string());
  const GgufTokenizer theirs = read_gguf_tokenizer(file);
  if (theirs.tokens.size() != config.model.vocab_size)
    throw Error("'{}' has {} tokens, but token_embd.weight has {} rows", path.string(), theirs.tokens.size(), config.model.vocab_size);
  const std::unique_ptr<TensorSource> files = open_gguf_tensors(file);
  require_layers(*files, config.model);
  const ParameterTable table(config.model);
  std::vector<float> values = read_weights(*files, table, gguf_tensors(table, config.model, config.model.arch), of_gguf(*files, config.model));
  StagedFolder staged(run);
  try {
    return write_run(staged, config, write_tokenizer(staged, tokenizer_file(theirs)), std::move(values));
  } catch (const Error& error) {
    throw Error("'{}' cannot be imported: {}", path.string(), error.what());
  }
}

}  // namespace

Imported import_model(const fs::path& source, const fs::path& run) {
  require_new(run);
  if (fs::is_directory(source)) return import_hugging_face(source, run);
  if (fs::is_regular_file(source)) return import_gguf(source, run);
  throw Error("'{}' {}", source.string(),
              fs::exists(source) ? "is neither a folder with config.json and model.safetensors nor a GGUF file" : "does not exist");
}

}  // namespace lapilli
