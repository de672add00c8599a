#include "model/run/init_from.h"

#include <algorithm>

#include "engine/base/error.h"
#include "model/io/checkpoint.h"
#include "model/io/config_schema.h"
#include "model/transformer/parameters.h"

namespace lapilli {

namespace {

bool may_differ(const schema::Key& key, const ModelConfig& theirs, const ModelConfig& ours) {
  if (key.path() == "loss.softcap" || key.path() == "loss.temperature") return false;
  if (std::string_view(key.section) != "model" || key.path() == "model.dropout" || key.path() == "model.arch") return true;
  if (key.path() == "model.head_width") return theirs.head_width() == ours.head_width();
  return key.path() == "model.context" && (ours.position == PositionKind::rope || ours.context <= theirs.context);
}

}  // namespace

std::vector<float> initial_weights_from(const Config& config, const TokenShard& train) {
  const LoadedCheckpoint from = load_checkpoint(config.train.init_from);
  const std::string name = "train.init_from '" + from.folder.string() + "'";
  train.require_tokenizer(from.state.tokenizer_hash, name);
  train.require_vocab_size(from.config.model.vocab_size, name);
  std::string refused;
  for (const schema::Difference& difference : schema::differences(from.config, config)) {
    if (may_differ(*difference.key, from.config.model, config.model)) continue;
    refused += fmt::format("{}{} = {}, not {}", refused.empty() ? "" : "; ", difference.key->path(), difference.before, difference.now);
  }
  if (!refused.empty()) throw Error("{} has {}: set the same values, or begin from its '{}'", name, refused, (from.folder / "config.toml").string());

  const ParameterTable theirs(from.config.model), ours(config.model);
  std::vector<float> values(ours.count());
  for (const ParameterSpec& spec : ours.specs()) {  // the same but for a shorter table of positions
    const float* source = from.state.values.data() + theirs[spec.name].offset;
    std::copy_n(source, spec.shape.elements(), values.begin() + static_cast<std::ptrdiff_t>(spec.offset));
  }
  return values;
}

}  // namespace lapilli
