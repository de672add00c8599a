#include "model/run/resume.h"

#include "engine/base/error.h"
#include "model/io/config_schema.h"

namespace lapilli {

std::vector<std::string> require_same_run(const LoadedCheckpoint& checkpoint, const Config& config, const TrainingData& data) {
  const std::string name = checkpoint.folder.string();
  const TokenShard& train = data.first().train;
  train.require_tokenizer(checkpoint.state.tokenizer_hash, fmt::format("the checkpoint '{}'", name));
  train.require_vocab_size(checkpoint.config.model.vocab_size, fmt::format("the checkpoint '{}'", name));
  if (checkpoint.state.data_fingerprint != 0 && checkpoint.state.data_fingerprint != data.fingerprint())
    throw Error("{} are not the data that the checkpoint '{}' was trained on: their checksums differ{}; resume with that data, or start a new run",
                data.files(), name, data.is_mix() ? ", or their order or weights in data.mix" : "");
  std::string refused;
  std::vector<std::string> changed;
  for (const schema::Difference& difference : schema::differences(checkpoint.config, config)) {
    if (difference.key->on_resume == schema::Change::refused) {
      refused += fmt::format("{}{} = {}, not {}", refused.empty() ? "" : "; ", difference.key->path(), difference.before, difference.now);
    } else {
      changed.push_back(fmt::format("{} = {} ({} until now)", difference.key->path(), difference.now, difference.before));
    }
  }
  if (!refused.empty())
    throw Error("the checkpoint '{}' was trained with {}: a resumed run keeps them; start a new run to change them", name, refused);
  return changed;
}

}  // namespace lapilli
