#pragma once
// Tokenizers as GGUF files hold them, and what llama.cpp makes of them.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tokenizer/text/tokenizer.h"

namespace lapilli {

// The keys tokenizer.ggml.*.
struct GgufTokenizer {
  std::string model;  // "llama": SentencePiece's bpe, also of characters and of bytes; "t5": unigram; "gpt2": byte-level BPE
  std::string pre = "default";       // of gpt2: how text is split
  std::vector<std::string> tokens;   // [V]
  std::vector<float> scores;         // [V]; none in gpt2
  std::vector<int32_t> token_types;  // [V] the numbers of PieceKind
  std::vector<std::string> merges;   // "a b", of gpt2
  // As in HuggingFaceTokenizer, the end of a document is both; in gpt2 bos is the file's own.
  std::optional<uint32_t> bos, eos, unknown;
};

// The ids that llama.cpp makes (without a space or a BOS in front) are those of Tokenizer::encode(), but for read_differently(). Throws Error
// when llama.cpp has nothing like the tokenizer.
GgufTokenizer gguf_tokenizer(const Tokenizer& tokenizer);

// How many of the ids of a text llama.cpp would make otherwise: bytes of characters that its unigram tokenizer cannot spell, and of a literal
// U+2581, which it takes for a space.
uint64_t read_differently(const Tokenizer& tokenizer, std::span<const uint32_t> ids);

// The reverse: the bytes of a SentencePiece model or of tokenizer.json. Throws Error naming the key and value of every other kind.
std::string tokenizer_file(const GgufTokenizer& tokenizer);

}  // namespace lapilli
