#pragma once
// A tokenizer as the files from which `AutoTokenizer` of transformers (its "fast" tokenizers) makes the same ids.

#include <cstdint>
#include <optional>
#include <string>

#include "tokenizer/text/tokenizer.h"

namespace lapilli {

struct HuggingFaceTokenizer {
  std::string tokenizer, tokenizer_config, special_tokens_map;  // the texts of tokenizer.json, tokenizer_config.json, special_tokens_map.json
  // Both for config.json's bos_token_id and eos_token_id, as in the texts. Documents are trained behind the token that ends the one before: the
  // beginning of a text is that, too. No model here saw another BOS.
  std::optional<uint32_t> document_end;
};

// `context`: the most tokens that the model reads. The ids are those of Tokenizer::encode() for texts that hold neither U+2581 nor the text of
// a special piece, which transformers always takes for that piece. Throws Error when the file cannot be read or is a
// model by words. Of byte-level BPE the added tokens that are not special are taken in both.
HuggingFaceTokenizer hugging_face_tokenizer(const Tokenizer& tokenizer, uint32_t context);

}  // namespace lapilli
