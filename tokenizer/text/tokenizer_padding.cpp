#include "engine/base/error.h"
#include "engine/base/file.h"
#include "tokenizer/text/byte_bpe_model.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

std::string padded_tokenizer(const Tokenizer& tokenizer, uint32_t vocab_size, std::optional<uint32_t> eos) {
  const uint32_t piece_count = tokenizer.vocab_size();
  if (piece_count > vocab_size)
    throw Error("'{}' has {} pieces, more than the {} of the model's vocab_size", tokenizer.path().string(), piece_count, vocab_size);
  const std::string bytes = read_text_file(tokenizer.path());
  const bool needs_eos = tokenizer.byte_bpe() != nullptr && !tokenizer.eos_id() && eos && *eos < piece_count;
  if (piece_count == vocab_size && !needs_eos) return bytes;
  if (tokenizer.byte_bpe() == nullptr) return with_unused_pieces(bytes, piece_count, vocab_size);
  ByteBpeModel model = *tokenizer.byte_bpe();
  if (needs_eos) model.eos = eos;
  pad_vocabulary(model, vocab_size);
  return to_tokenizer_json(model);
}

}  // namespace lapilli
