#pragma once
// Byte-level BPE (GPT-2, Llama 3, SmolLM): what a tokenizer is made of, read from a Hugging Face `tokenizer.json`, or filled in by a reader of
// another format.
//
// Text is cut into words by a regular expression, each word is written in bytes, and neighbours are merged, the pair of lowest rank first.
// Pieces are written in GPT-2's alphabet: a printable character for each of the 256 bytes, e.g. U+0120 for the space.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/text/model_proto.h"

namespace lapilli {

// Which words a text is cut into.
//   gpt2    contractions, letters, digits or others, each with a space before it; white space
//   llama3  the same, but at most three digits, contractions in capitals too, and line ends with the punctuation before them
//   smollm  that of gpt2, with each digit by itself
enum class BpeSplitter { gpt2, llama3, smollm };
std::string_view to_string(BpeSplitter splitter);

struct ByteBpeModel {
  // [V] by id. Normal ones in the alphabet of bytes, added tokens as plain text.
  std::vector<std::string> pieces;
  // [V] kNormal; kControl: an added token that is special, never made from text; kUserDefined: an added token that is not special, taken
  // wherever the text has it; kUnused: an id without a piece, named unused_piece(id).
  std::vector<PieceKind> kinds;
  // Pieces that are merged if they are neighbours, the first pair first. Both and their concatenation are pieces.
  std::vector<std::pair<std::string, std::string>> merges;
  BpeSplitter splitter = BpeSplitter::gpt2;
  bool ignore_merges = false;  // a word that is a piece as a whole is that piece, whatever its merges would make of it
  // What a byte without a piece becomes; none: nothing.
  std::optional<uint32_t> unknown;
  // bos: what the model's makers put before a text, for information: encode() adds nothing. eos: the end of a document, "<|endoftext|>" where the
  // model has it.
  std::optional<uint32_t> bos, eos;
};

// The end of a document in the texts of many tokenizers.
inline constexpr std::string_view kEndOfText = "<|endoftext|>";

// Appends unused pieces up to `vocab_size`: models may have more rows than their tokenizer has tokens.
void pad_vocabulary(ByteBpeModel& model, uint32_t vocab_size);

// The text of tokenizer.json. Ids without a piece are unused. Throws Error naming key and value for every other kind of tokenizer (WordPiece,
// Unigram, another regular expression, a normalizer ...). bos and eos are those that to_tokenizer_json() wrote, else found by their usual names.
ByteBpeModel parse_tokenizer_json(std::string_view bytes);
// With these, transformers' PreTrainedTokenizerFast and parse_tokenizer_json() have the same ids. Nothing is added to a text there.
std::string to_tokenizer_json(const ByteBpeModel& model);

}  // namespace lapilli
