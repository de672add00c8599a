#include "model/io/import_tokenizer.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "tokenizer/text/byte_bpe_model.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

// The first of several. nullopt where config.json names none of the vocabulary.
std::optional<uint32_t> eos_of_config(const std::filesystem::path& folder, uint32_t vocab_size) {
  const nlohmann::ordered_json config = parse_json(read_text_file(folder / "config.json"));
  if (!config.is_object() || !config.contains("eos_token_id")) return std::nullopt;
  const nlohmann::ordered_json& ids = config["eos_token_id"];
  const nlohmann::ordered_json id = ids.is_array() && !ids.empty() ? ids[0] : ids;
  if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab_size) return std::nullopt;
  return id.get<uint32_t>();
}

}  // namespace

std::string import_tokenizer(const std::filesystem::path& folder, uint32_t vocab_size) {
  const Tokenizer tokenizer(tokenizer_in(folder));
  const uint32_t piece_count = tokenizer.vocab_size();
  if (piece_count > vocab_size)
    throw Error("'{}' has {} pieces, but config.json has vocab_size = {}", tokenizer.path().string(), piece_count, vocab_size);
  const std::string bytes = read_text_file(tokenizer.path());
  if (tokenizer.byte_bpe() == nullptr) return piece_count == vocab_size ? bytes : with_unused_pieces(bytes, piece_count, vocab_size);
  const std::optional<uint32_t> eos = tokenizer.eos_id() ? std::nullopt : eos_of_config(folder, piece_count);
  if (piece_count == vocab_size && !eos) return bytes;
  ByteBpeModel model = *tokenizer.byte_bpe();
  if (eos) model.eos = eos;
  pad_vocabulary(model, vocab_size);
  return to_tokenizer_json(model);
}

}  // namespace lapilli
