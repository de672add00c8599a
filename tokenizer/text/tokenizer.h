#pragma once
// Text <-> token ids, with SentencePiece model files and with byte-level BPE of Hugging Face's tokenizer.json (byte_bpe_model.h).
//
// Models trained here are lossless: decode(encode(x)) == x, byte for byte, for every valid UTF-8 text x without NUL. No
// Unicode normalisation, no added or removed spaces; a newline is always a separate token; text outside the vocabulary
// becomes byte pieces, so nothing is ever "unknown".
//
// Ids of models trained here: 0 <unk>, 1 <s> (BOS), 2 </s> (EOS), 3..258 the byte pieces <0x00>..<0xFF>, then the
// learned pieces. In bpe and byte models the newline is <0x0A>, id 13; in char models it is a character like any other; in unigram models
// newline and tab are the last two pieces, V - 2 and V - 1.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

struct ByteBpeModel;

// The last is only read, from tokenizer.json; the others are SentencePiece's.
enum class TokenizerType { kUnigram, kBpe, kChar, kByte, kByteBpe };

// Of those that can be trained: "unigram", "bpe", "char", "byte"; throws Error listing them for anything else.
TokenizerType parse_tokenizer_type(std::string_view name);
std::string_view tokenizer_type_name(TokenizerType type);  // also "byte_bpe"

struct TokenizerSpec {
  TokenizerType type = TokenizerType::kUnigram;
  // Includes specials and byte pieces. Exact for unigram and bpe; an upper bound for char (0: no limit; keeps the most
  // frequent characters); ignored for byte, which always has 259.
  uint32_t vocab_size = 0;
  // unigram and bpe: the share of all characters with their own pieces; the rarest characters are spelled in bytes.
  double character_coverage = 0.9995;
  // unigram and bpe train on about this much text: a uniform, deterministic sample of lines of a larger corpus.
  uint64_t sample_bytes = 32ull << 20;
  std::string field = "text";  // of the objects in JSON Lines: the text (CorpusOptions)
};

// Learns a vocabulary from the texts and writes a SentencePiece model file: a complete file or none. The same inputs
// give the same bytes. Errors: an input that is missing, empty, binary or not UTF-8; a vocabulary too large for the
// texts, or too small.
void train_tokenizer(const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs, const std::filesystem::path& output);

// What stands in a tokenizer's place where tokens were imported without one: a text that begins like this. Tokenizer says so in its Error.
inline constexpr std::string_view kNoTokenizer = "lapilli: no tokenizer";
bool is_no_tokenizer(const std::filesystem::path& tokenizer_model);

// How a tokenizer's file is called in data sets, runs, checkpoints and exports: SentencePiece's, and byte-level BPE's.
inline constexpr const char* kTokenizerNames[] = {"tokenizer.model", "tokenizer.json"};
// Which of them, by what is in it.
const char* tokenizer_file_name(std::string_view bytes);
// The folder's tokenizer: the first of kTokenizerNames that is there. Without one, the first returns an empty path, the second throws Error.
std::filesystem::path find_tokenizer(const std::filesystem::path& folder);
std::filesystem::path tokenizer_in(const std::filesystem::path& folder);

// A loaded model. Also loads SentencePiece models made elsewhere (these may not be lossless: text_loss.h). encode() has a cache of
// words: one thread at a time per object.
class Tokenizer {
 public:
  explicit Tokenizer(const std::filesystem::path& path);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Throws Error when `text` is not UTF-8 or contains NUL. Never adds BOS or EOS; "<s>" in the text is three
  // characters. (An added token of tokenizer.json that is not special is taken wherever the text has it.)
  std::vector<uint32_t> encode(std::string_view text) const;

  // For text in blocks: appends to `ids` the tokens of the longest prefix whose tokens do not depend on later text, and
  // returns the length of that prefix in bytes; the caller prepends the rest to its next block. With `is_end` consumes
  // everything. The ids are those of encode() over the whole text, independent of the block boundaries.
  // REQUIRES: valid UTF-8 without NUL (CorpusReader checks that). At most about 4 KiB stay unconsumed; with byte-level BPE, whose words have
  // no limit, the last word and a few bytes more. A word takes about 50 bytes of memory for each of its own.
  // Adds to `lost_bytes` how much of the prefix its ids do not decode back to, word by word (text_loss.h).
  size_t encode_prefix(std::vector<uint32_t>& ids, std::string_view text, bool is_end, uint64_t* lost_bytes = nullptr) const;

  // The bytes of the ids. Specials give nothing. Ids sampled from a model may contain an incomplete character, so the
  // result of an arbitrary id sequence need not be valid UTF-8. REQUIRES ids < vocab_size().
  std::string decode(std::span<const uint32_t> ids) const;

  uint32_t vocab_size() const;
  std::optional<uint32_t> bos_id() const;  // always there in models trained here
  std::optional<uint32_t> eos_id() const;
  TokenizerType type() const;
  const ByteBpeModel* byte_bpe() const;  // null for SentencePiece
  bool has_byte_fallback() const;  // text outside the vocabulary is spelled in the 256 byte pieces, not lost

  // The piece as written in the model ("▁the", "<0x0A>", "</s>"), and the bytes it decodes to (" the", "\n", "").
  const std::string& piece(uint32_t id) const;
  const std::string& piece_bytes(uint32_t id) const;
  // [vocab_size] bytes of text of each id: a special 0, a byte piece 1. The sum over encode(x) is x.size() if the model is lossless.
  std::vector<uint16_t> token_bytes() const;

  // XXH3 of the file: identifies the tokenizer.
  uint64_t hash() const;
  const std::filesystem::path& path() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The bytes of the tokenizer's file for a model with `vocab_size` tokens: as they are if they fit, else with unused pieces behind the others,
// because models are padded. A tokenizer.json that names no end of a text gets `eos`. Throws Error where the tokenizer has more tokens.
std::string padded_tokenizer(const Tokenizer& tokenizer, uint32_t vocab_size, std::optional<uint32_t> eos = std::nullopt);

}  // namespace lapilli
