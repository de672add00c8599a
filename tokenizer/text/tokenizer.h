#pragma once
// Text <-> token ids, through SentencePiece model files.
//
// Models trained here are lossless: decode(encode(x)) == x, byte for byte, for every valid UTF-8 text x without NUL. No
// Unicode normalisation, no added or removed spaces; a newline is always one token of its own; what the vocabulary does
// not know becomes byte pieces, so nothing is ever "unknown".
//
// Ids of models trained here: 0 <unk>, 1 <s> (BOS), 2 </s> (EOS), 3..258 the byte pieces <0x00>..<0xFF>, then what was
// learned. In unigram, bpe and byte models the newline is <0x0A>, id 13; in char models it is a character like any
// other.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

enum class TokenizerType { kUnigram, kBpe, kChar, kByte };

// "unigram", "bpe", "char", "byte"; anything else is an Error that lists them.
TokenizerType parse_tokenizer_type(std::string_view name);
std::string_view tokenizer_type_name(TokenizerType type);

struct TokenizerSpec {
  TokenizerType type = TokenizerType::kUnigram;
  // Specials and byte pieces included. Exact for unigram and bpe; the most that char may use (0: no limit; the most
  // frequent characters are kept); ignored for byte, which always has 259.
  uint32_t vocab_size = 0;
  // unigram and bpe: the share of all characters that get a piece of their own; the rarest rest is spelled in bytes.
  double character_coverage = 0.9995;
  // unigram and bpe learn from about this much text; of a larger corpus an even, repeatable sample of lines is taken.
  uint64_t sample_bytes = 32ull << 20;
};

// Learns a vocabulary from the texts and writes a SentencePiece model file: whole, or not at all. The same inputs give
// the same bytes. Errors: an input that is missing, empty, binary or not UTF-8; a vocabulary that the texts cannot
// fill, or that is too small.
void train_tokenizer(const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs,
                     const std::filesystem::path& output);

// A loaded model. Also loads SentencePiece models made elsewhere (then losslessness is whatever that model can do).
// encode() keeps a cache of words: one thread at a time per object.
class Tokenizer {
 public:
  explicit Tokenizer(const std::filesystem::path& model_path);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Error when `text` is not UTF-8 or contains NUL. Never adds BOS or EOS; "<s>" in the text is just three characters.
  std::vector<uint32_t> encode(std::string_view text) const;

  // For text that arrives in blocks: appends to `ids` the tokens of the longest prefix whose tokens cannot depend on
  // what follows, and returns the length of that prefix in bytes; the caller puts the rest in front of its next block.
  // With `is_end` everything is consumed. The ids are those of encode() over the whole, wherever the blocks were cut.
  // REQUIRES: valid UTF-8 without NUL (CorpusReader checks that). At most about 4 KiB stay unconsumed.
  size_t encode_prefix(std::vector<uint32_t>& ids, std::string_view text, bool is_end) const;

  // The bytes the ids stand for. Specials give nothing. Ids drawn by a model may spell an incomplete character, so the
  // result of an arbitrary id sequence need not be valid UTF-8. REQUIRES ids < vocab_size().
  std::string decode(std::span<const uint32_t> ids) const;

  uint32_t vocab_size() const;
  std::optional<uint32_t> bos_id() const;  // always there in models trained here
  std::optional<uint32_t> eos_id() const;
  TokenizerType type() const;

  // How the piece is written in the model ("▁the", "<0x0A>", "</s>"), and the bytes it decodes to (" the", "\n", "").
  const std::string& piece(uint32_t id) const;
  const std::string& piece_bytes(uint32_t id) const;
  // [vocab_size] bytes of text each id stands for: a special 0, a byte piece 1. Sums over encode(x) to x.size().
  std::vector<uint16_t> token_bytes() const;

  // XXH3 of the model file: tells tokenizers apart.
  uint64_t hash() const;
  const std::filesystem::path& path() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lapilli
