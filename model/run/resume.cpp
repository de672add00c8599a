#include "model/run/resume.h"

#include "engine/base/error.h"
#include "engine/base/hash.h"
#include "model/io/config_schema.h"

namespace lapilli {

uint64_t data_fingerprint(const TokenShard& train, const TokenShard& val) {
  const uint64_t checksums[] = {train.checksum(), val.checksum()};
  return hash_bytes(std::as_bytes(std::span(checksums)));
}

std::vector<std::string> require_same_run(const LoadedCheckpoint& checkpoint, const Config& config, const TokenShard& train, const TokenShard& val) {
  const std::string name = checkpoint.folder.string();
  train.require_tokenizer(checkpoint.state.tokenizer_hash, fmt::format("the checkpoint '{}'", name));
  train.require_vocab_size(checkpoint.config.model.vocab_size, fmt::format("the checkpoint '{}'", name));
  if (checkpoint.state.data_fingerprint != 0 && checkpoint.state.data_fingerprint != data_fingerprint(train, val))
    throw Error(
        "'{}' and '{}' are not the data that the checkpoint '{}' was trained on: their checksums differ; resume with that data, or start a new run",
        train.path().string(), val.path().string(), name);
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
