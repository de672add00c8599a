#include "model/io/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/json.h"
#include "engine/base/mapped_file.h"
#include "engine/base/staged_folder.h"
#include "engine/base/version.h"
#include "model/io/config_toml.h"
#include "model/io/state_file.h"
#include "model/transformer/parameters.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

namespace fs = std::filesystem;

constexpr const char* kState = "state.bin";
constexpr const char* kConfig = "config.toml";
constexpr const char* kWrittenBy = "written_by.json";
constexpr std::string_view kPrefix = "step-";

template <typename Number>
std::optional<Number> parse_digits(std::string_view text) {
  if (text.empty() || text.front() == '-') return std::nullopt;
  Number value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<uint64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kPrefix) || name.size() < kPrefix.size() + 8) return std::nullopt;
  return parse_digits<uint64_t>(std::string_view(name).substr(kPrefix.size()));
}

struct Found {
  uint64_t step;
  fs::path folder;
};

// Checkpoints of a folder, newest first.
std::vector<Found> list_checkpoints(const fs::path& parent) {
  std::vector<Found> found;
  std::error_code failure;
  for (auto entry = fs::directory_iterator(parent, failure); !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    const std::optional<uint64_t> step = step_of(entry->path());
    if (step && fs::is_directory(entry->path(), failure)) found.push_back({*step, entry->path()});
  }
  std::ranges::sort(found, [](const Found& a, const Found& b) { return a.step > b.step; });
  return found;
}

bool is_complete(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / kConfig, ignored) && !find_tokenizer(folder).empty() && is_whole_state_file(folder / kState);
}

void keep_newest(const fs::path& parent, const fs::path& just_written, uint32_t keep, const fs::path& best) {
  if (keep == 0) return;
  uint32_t kept = 1;  // the one just written, even if an older run had got further
  for (const Found& found : list_checkpoints(parent)) {
    if (found.folder == just_written || !is_complete(found.folder)) continue;  // never remove what cannot be read
    if (++kept > keep && found.folder != best) remove_folder(found.folder);
  }
}

std::string describe_writer() {
  const BuildVersion& version = build_version();
  return json_text({{"version", version.version}, {"commit", version.commit}, {"compiler", version.compiler}, {"build_type", version.build_type}},
                   2) +
         "\n";
}

// Empty if the file is missing or damaged: the checkpoint is valid without it.
std::string read_commit(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_regular_file(folder / kWrittenBy, ignored)) return "";
  const nlohmann::ordered_json json = parse_json(read_text_file(folder / kWrittenBy));
  return json.is_object() && json.contains("commit") && json["commit"].is_string() ? json["commit"].get<std::string>() : "";
}

uint64_t hash_of(std::string_view text) { return hash_bytes(std::as_bytes(std::span(text))); }

void require_shapes(const std::vector<NamedShape>& stored, const ModelConfig& config, const fs::path& folder) {
  const auto fail = [&](const std::string& difference) {
    throw Error("'{}' does not fit '{}': {}", (folder / kState).string(), (folder / kConfig).string(), difference);
  };
  // A layer has parameters: no table is made for more layers than the file can have.
  if (config.layers > stored.size()) fail(fmt::format("it has {} parameters, the configuration {} layers", stored.size(), config.layers));
  std::vector<ParameterSpec> wanted;
  try {
    wanted = ParameterTable(config).specs();
  } catch (const Error& error) {
    fail(error.what());
  }
  for (size_t i = 0; i < std::min(stored.size(), wanted.size()); ++i) {
    if (stored[i].name != wanted[i].name) {
      fail(fmt::format("parameter {} is {} there, the configuration has {}", i, stored[i].name, wanted[i].name));
    }
    if (stored[i].shape != wanted[i].shape) {
      fail(fmt::format("parameter {} is {} there, the configuration makes it {}", stored[i].name, stored[i].shape.to_string(),
                       wanted[i].shape.to_string()));
    }
  }
  if (stored.size() > wanted.size()) fail(fmt::format("the configuration has no {}", stored[wanted.size()].name));
  if (stored.size() < wanted.size()) fail(fmt::format("it has no {}", wanted[stored.size()].name));
}

fs::path checkpoints_folder(const fs::path& path) { return fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path; }

fs::path resolve(const fs::path& path) {
  if (!fs::exists(path)) throw Error("there is no run or checkpoint '{}'", path.string());
  if (!fs::is_directory(path)) {
    throw Error("'{}' is a file; name the folder of the run or of the checkpoint", path.string());
  }
  if (step_of(path) || fs::exists(path / kState)) return path;
  const fs::path latest = find_latest_checkpoint(path);
  if (!latest.empty()) return latest;
  const bool any = !list_checkpoints(checkpoints_folder(path)).empty();
  throw Error("'{}' holds no {}checkpoint; they are folders called {}", checkpoints_folder(path).string(), any ? "complete " : "", "step-XXXXXXXX");
}

// Everything in it is verified.
LoadedCheckpoint load_folder(const fs::path& folder) {
  const auto require = [&](const char* name, bool is_there) {
    if (!is_there) throw Error("the checkpoint '{}' is not complete: {} is missing", folder.string(), name);
  };
  for (const char* name : {kState, kConfig}) require(name, fs::is_regular_file(folder / name));
  const fs::path tokenizer = find_tokenizer(folder);
  require(kTokenizerNames[0], !tokenizer.empty());
  StateFile file = read_state_file(folder / kState);
  const std::string config_text = read_text_file(folder / kConfig);
  LoadedCheckpoint loaded{.folder = folder,
                          .config = parse_config(config_text, (folder / kConfig).string()),
                          .state = std::move(file.state),
                          .commit = read_commit(folder)};
  loaded.config.model.vocab_size = file.vocab_size;
  require_shapes(file.table, loaded.config.model, folder);
  const auto require_hash = [&](const fs::path& path, uint64_t actual, uint64_t written) {
    if (actual == written) return;
    throw Error("'{}' is damaged: its bytes do not match the checksum in {}", path.string(), kState);
  };
  require_hash(folder / kConfig, hash_of(config_text), file.config_hash);
  require_hash(tokenizer, hash_bytes(MappedFile(tokenizer).bytes()), file.tokenizer_file_hash);
  return loaded;
}

}  // namespace

void remove_unfinished_checkpoints(const fs::path& parent) { remove_stale_folders(parent, kPrefix); }

fs::path checkpoint_folder(const fs::path& parent, uint64_t step) { return parent / fmt::format("{}{:08}", kPrefix, step); }

fs::path save_checkpoint(const fs::path& parent, const Config& config, const TrainingState& state, const fs::path& tokenizer) {
  const std::vector<std::byte> tokenizer_bytes = read_binary_file(tokenizer);
  const std::string_view tokenizer_text(reinterpret_cast<const char*>(tokenizer_bytes.data()), tokenizer_bytes.size());
  const std::string config_text = to_toml(config);
  const fs::path written = checkpoint_folder(parent, state.step);
  {
    StagedFolder staged(written, kPrefix);
    write_state_file(staged / kState, ParameterTable(config.model), state, config.model.vocab_size, hash_of(config_text),
                     hash_bytes(tokenizer_bytes));
    write_file_atomically(staged / kConfig, config_text);
    write_file_atomically(staged / kWrittenBy, describe_writer());
    AtomicFile copy(staged / tokenizer_file_name(tokenizer_text));
    copy.write(tokenizer_bytes);
    copy.commit();
    staged.publish();
  }
  keep_newest(parent, written, config.train.keep, config.train.keep_best ? checkpoint_folder(parent, state.best_step) : fs::path());
  return written;
}

fs::path find_latest_checkpoint(const fs::path& path) {
  for (const Found& found : list_checkpoints(checkpoints_folder(path))) {
    if (is_complete(found.folder)) return found.folder;
  }
  return {};
}

LoadedCheckpoint load_checkpoint(const fs::path& path) {
  const fs::path folder = resolve(path.has_filename() ? path : path.parent_path());  // "run/" is "run"
  try {
    return load_folder(folder);
  } catch (const Error& error) {
    for (const Found& other : list_checkpoints(folder.parent_path())) {
      if (other.folder.filename() != folder.filename() && is_complete(other.folder)) {
        throw Error("{}; another checkpoint is '{}'", error.what(), other.folder.string());
      }
    }
    throw;
  }
}

}  // namespace lapilli
