#include "model/io/import.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/json.h"
#include "engine/base/staged_folder.h"
#include "model/io/checkpoint.h"
#include "model/io/config_schema.h"
#include "model/io/config_toml.h"
#include "model/io/hugging_face_config.h"
#include "model/io/import_tokenizer.h"
#include "model/io/safetensors.h"
#include "model/transformer/parameters.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

namespace fs = std::filesystem;

// The tensors of one file, or of all that an index names.
class WeightFiles {
 public:
  explicit WeightFiles(const fs::path& folder) {
    const fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
    if (fs::exists(single)) {
      add(single);
    } else if (fs::exists(index)) {
      for (const std::string& name : names_in(index)) add(folder / name);
    } else {
      throw Error("'{}' has neither model.safetensors nor model.safetensors.index.json", folder.string());
    }
  }

  const SafetensorsFile* find(const std::string& name) const {
    const auto found = file_of_.find(name);
    return found == file_of_.end() ? nullptr : found->second;
  }
  const std::map<std::string, const SafetensorsFile*>& tensors() const { return file_of_; }

 private:
  static std::set<std::string> names_in(const fs::path& index) {
    const nlohmann::ordered_json json = parse_json(read_text_file(index));
    std::set<std::string> names;
    if (json.is_object() && json.contains("weight_map") && json["weight_map"].is_object()) {
      for (const auto& [tensor, file] : json["weight_map"].items()) {
        const bool is_name = file.is_string() && fs::path(file.get<std::string>()).filename() == file.get<std::string>();
        if (!is_name) throw Error("'{}': the file of {} is not the name of a file beside it", index.string(), tensor);
        names.insert(file.get<std::string>());
      }
    }
    if (names.empty()) throw Error("'{}' has no weight_map with names of files", index.string());
    return names;
  }

  void add(const fs::path& path) {
    files_.push_back(std::make_unique<SafetensorsFile>(path));
    for (const TensorInfo& tensor : files_.back()->tensors())
      if (!file_of_.emplace(tensor.name, files_.back().get()).second) throw Error("'{}' has {} a second time", path.string(), tensor.name);
  }

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*> file_of_;
};

// Files of the model without its head have no such prefix.
std::string without_prefix(const std::string& name) {
  for (const std::string_view prefix : {"transformer.", "model."})
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  return name;
}

// Masks and tables that other versions stored, and a head that is the embedding.
bool is_no_parameter(const std::string& name, const ModelConfig& model) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") || name.ends_with("rotary_emb.inv_freq") ||
         (model.tie_embeddings && name == "lm_head.weight");
}

// Whether a bias is one of those that the model does not have: attention_bias and mlp_bias are two keys, model.bias is one.
bool has_no_biases(const WeightFiles& files, const std::string& name) {
  const char* const kind = name.find("self_attn.") != std::string::npos ? "self_attn." : "mlp.";
  return name.ends_with("_proj.bias") && std::ranges::none_of(files.tensors(), [&](const auto& tensor) {
           return tensor.first.ends_with("_proj.bias") && tensor.first.find(kind) != std::string::npos;
         });
}

struct Source {
  const ParameterSpec* spec;
  const ExportPiece* piece;
  std::string name;  // in the file
  const SafetensorsFile* file;
};

// Where each part of each parameter is. Nothing is allocated for a configuration that the files do not fill.
std::vector<Source> find_sources(const WeightFiles& files, const ParameterTable& table, const ModelConfig& model, const std::string& folder) {
  std::vector<Source> sources;
  std::set<std::string> used;
  for (const ParameterSpec& spec : table.specs()) {
    for (const ExportPiece& piece : spec.pieces) {
      const std::string name = files.find(piece.name) != nullptr ? piece.name : without_prefix(piece.name);
      const SafetensorsFile* file = files.find(name);
      if (file == nullptr && model.arch == Arch::llama && has_no_biases(files, name)) continue;  // zeros
      if (file == nullptr) throw Error("'{}' has no tensor {}", folder, piece.name);
      const Shape shape = piece_shape(spec, piece);
      std::vector<uint64_t> wanted;
      for (uint32_t i = 0; i < shape.rank(); ++i) wanted.push_back(shape[i]);
      if (const std::vector<uint64_t>& is = file->info(name).shape; is != wanted)
        throw Error("'{}': tensor {} is [{}], config.json makes it [{}]", folder, name, fmt::join(is, ", "), fmt::join(wanted, ", "));
      sources.push_back({&spec, &piece, name, file});
      used.insert(name);
    }
  }
  for (const auto& [name, file] : files.tensors())
    if (!used.contains(name) && !is_no_parameter(name, model))
      throw Error("'{}': the model of config.json has no place for the tensor {}", folder, name);
  return sources;
}

std::vector<float> read_weights(const WeightFiles& files, const ParameterTable& table, const ModelConfig& model, const std::string& folder) {
  const std::vector<Source> sources = find_sources(files, table, model, folder);
  std::vector<float> values(table.count());
  for (const Source& source : sources) copy_from_piece(values, *source.spec, *source.piece, source.file->read<float>(source.name));
  return values;
}

void require_new(const fs::path& run) {
  std::error_code ignored;
  if (fs::exists(run, ignored) && !(fs::is_directory(run, ignored) && fs::is_empty(run, ignored)))
    throw Error("'{}' exists: name a new folder for the run", run.string());
}

}  // namespace

Imported import_hugging_face(const fs::path& folder, const fs::path& run) {
  require_new(run);
  if (!fs::is_directory(folder)) throw Error("'{}' is not a folder with config.json and model.safetensors", folder.string());
  Config config;
  config.model = read_hugging_face_config(folder / "config.json");
  config.data.batch = 1;  // contexts of others may be long
  try {
    validate_config(config);
  } catch (const Error& error) {
    throw Error("'{}' cannot be imported: {}", (folder / "config.json").string(), error.what());
  }
  if (!hugging_face_arch(config.model)) throw Error("'{}': its heads are not dim / heads wide", (folder / "config.json").string());
  const std::string tokenizer = import_tokenizer(folder, config.model.vocab_size);

  const WeightFiles files(folder);
  if (config.model.layers > files.tensors().size())
    throw Error("'{}' has {} tensors, too few for the {} layers of config.json", folder.string(), files.tensors().size(), config.model.layers);
  const ParameterTable table(config.model);
  TrainingState state;
  state.seed = config.train.seed;
  state.best_val_loss = std::numeric_limits<double>::infinity();
  state.tokenizer_hash = hash_bytes(std::as_bytes(std::span(tokenizer)));
  state.values = read_weights(files, table, config.model, folder.string());

  StagedFolder staged(run);
  write_file_atomically(staged / "config.toml", to_toml(config));
  const fs::path tokenizer_path = staged / tokenizer_file_name(tokenizer);
  write_file_atomically(tokenizer_path, tokenizer);
  fs::create_directory(staged / "checkpoints");
  save_checkpoint(staged / "checkpoints", config, state, tokenizer_path);
  staged.publish();
  return {.parameters = table.count(), .vocab_size = config.model.vocab_size};
}

}  // namespace lapilli
