// Training of vocabularies: SentencePiece's trainer for unigram and bpe; char and byte models are written directly,
// because SentencePiece reads its training text by lines and so never sees a newline or a tab.

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/philox.h"
#include "tokenizer/text/corpus.h"
#include "tokenizer/text/model_proto.h"
#include "tokenizer/text/sentencepiece_bridge.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

namespace {

constexpr size_t kMaxSentenceBytes = 4096;
constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";
constexpr uint32_t kSpecialPieces = 3;  // <unk>, <s>, </s>
constexpr uint32_t kBasePieces = kSpecialPieces + 256;
// Of unigram models, behind the learned ones: readers without byte fallback could not read a text with lines. SentencePiece itself never sees
// either in training.
constexpr std::string_view kUnigramExtras[] = {"\n", "\t"};
constexpr uint64_t kSampleSeed = 0x5EED;

uint32_t extra_pieces(TokenizerType type) { return type == TokenizerType::kUnigram ? static_cast<uint32_t>(std::size(kUnigramExtras)) : 0; }

// The lines of a corpus, without their newlines; long ones in parts. Of a corpus larger than sample_bytes each line
// is kept with the same probability, which depends only on its number.
class SentenceReader {
 public:
  SentenceReader(std::span<const std::filesystem::path> inputs, const TokenizerSpec& spec) : reader_(inputs, {.field = spec.field}) {
    if (reader_.total_input_bytes() > spec.sample_bytes) {
      keep_share_ = static_cast<double>(spec.sample_bytes) / static_cast<double>(reader_.total_input_bytes());
    }
  }

  bool next(std::string& sentence) {
    while (true) {
      while (!take(sentence)) {
        if (ended_) return false;
        read_more();
      }
      if (keep_share_ >= 1 || philox_uniform(kSampleSeed, sentence_index_++, 0, 0) < keep_share_) return true;
    }
  }

 private:
  void read_more() {
    CorpusReader::Piece piece;
    carry_.erase(0, begin_);
    begin_ = 0;
    ended_ = !reader_.next(piece);
    if (ended_) return;
    if (piece.starts_document && !carry_.empty() && carry_.back() != '\n') carry_.push_back('\n');
    carry_.append(piece.text);
  }

  // The next non-empty sentence of carry_, if it is whole.
  bool take(std::string& sentence) {
    while (begin_ < carry_.size() && carry_[begin_] == '\n') ++begin_;
    if (begin_ == carry_.size()) return false;
    size_t end = carry_.find('\n', begin_);
    if (end == std::string::npos) {
      if (!ended_ && carry_.size() - begin_ <= kMaxSentenceBytes) return false;
      end = carry_.size();
    }
    if (end - begin_ > kMaxSentenceBytes) {
      end = begin_ + kMaxSentenceBytes;
      const size_t space = carry_.rfind(' ', end);
      if (space != std::string::npos && space > begin_) {
        end = space;
      } else {
        while ((static_cast<uint8_t>(carry_[end]) & 0xC0) == 0x80) --end;
      }
    }
    sentence.assign(carry_, begin_, end - begin_);
    begin_ = end;
    return true;
  }

  CorpusReader reader_;
  double keep_share_ = 1;
  std::string carry_;
  size_t begin_ = 0;
  uint64_t sentence_index_ = 0;
  bool ended_ = false;
};

// SentencePiece reserves tabs, and skips lines with its symbol for unknown characters, U+2585.
bool can_learn_from(std::string_view sentence) {
  return sentence.find_first_not_of('\t') != std::string_view::npos && sentence.find("\xE2\x96\x85") == std::string_view::npos;
}

// The number that follows `marker` in SentencePiece's message.
std::optional<uint64_t> number_after(std::string_view message, std::string_view marker) {
  const size_t at = message.find(marker);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view digits = message.substr(at + marker.size());
  uint64_t value = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

Error explain(const SentencePieceFailure& failure, const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs) {
  const std::string_view message = failure.what();
  if (const auto most = number_after(message, "set it to a value <= ")) {
    return Error("{} has too little text for a {} vocabulary of {}: it supports at most --vocab-size {}", names_of(inputs),
                 tokenizer_type_name(spec.type), spec.vocab_size, *most + extra_pieces(spec.type));
  }
  if (message.find("smaller than required_chars") != std::string_view::npos) {
    const uint32_t extras = extra_pieces(spec.type);
    const auto needed = number_after(message, fmt::format("{} vs ", spec.vocab_size - extras));
    return Error("a vocabulary of {} is too small for the different characters of {}: --vocab-size must be at least {}", spec.vocab_size,
                 names_of(inputs), needed ? *needed + extras : spec.vocab_size + 1);
  }
  return Error("cannot learn a {} vocabulary of {} from {}: SentencePiece says \"{}\"", tokenizer_type_name(spec.type), spec.vocab_size,
               names_of(inputs), message);
}

// The score decides nothing: no other piece has these characters.
std::string with_extra_pieces(const std::string& bytes) {
  float lowest = 0;
  for (const ModelPiece& piece : parse_model(bytes).pieces)
    if (piece.kind == PieceKind::kNormal) lowest = std::min(lowest, piece.score);
  std::vector<ModelPiece> extras;
  for (const std::string_view text : kUnigramExtras) extras.push_back({std::string(text), lowest});
  return with_pieces(bytes, extras);
}

std::string train_subwords(const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs) {
  SentenceReader sentences(inputs, spec);
  bool has_characters = false;
  const SentencePieceTraining training{.is_bpe = spec.type == TokenizerType::kBpe,
                                       .vocab_size = spec.vocab_size - extra_pieces(spec.type),
                                       .character_coverage = spec.character_coverage,
                                       .max_sentence_bytes = 2 * kMaxSentenceBytes};
  try {
    const std::string model = train_sentencepiece(training, [&](std::string& sentence) {
      const bool more = sentences.next(sentence);
      has_characters |= more && can_learn_from(sentence);
      // SentencePiece ends the process when no character of a corpus remains.
      if (!more && !has_characters) throw Error("{} holds no words to learn from", names_of(inputs));
      return more;
    });
    return spec.type == TokenizerType::kUnigram ? with_extra_pieces(model) : model;
  } catch (const SentencePieceFailure& failure) {
    throw explain(failure, spec, inputs);
  }
}

// Every character of the corpus with its count, most frequent first, ties in code point order (of UTF-8, the byte
// order).
std::vector<std::pair<std::string, uint64_t>> count_characters(const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs) {
  std::unordered_map<std::string, uint64_t> counts;
  uint64_t ascii[128] = {};
  CorpusReader reader(inputs, {.field = spec.field});
  for (CorpusReader::Piece piece; reader.next(piece);) {
    for (size_t i = 0; i < piece.text.size();) {
      if (const auto byte = static_cast<uint8_t>(piece.text[i]); byte < 128) {
        ++ascii[byte];
        ++i;
        continue;
      }
      size_t end = i + 1;
      while (end < piece.text.size() && (static_cast<uint8_t>(piece.text[end]) & 0xC0) == 0x80) ++end;
      ++counts[std::string(piece.text.substr(i, end - i))];
      i = end;
    }
  }
  std::vector<std::pair<std::string, uint64_t>> sorted(counts.begin(), counts.end());
  for (uint32_t byte = 1; byte < 128; ++byte) {
    if (ascii[byte] > 0) sorted.emplace_back(std::string(1, static_cast<char>(byte)), ascii[byte]);
  }
  std::ranges::sort(sorted, [](const auto& a, const auto& b) { return a.second != b.second ? a.second > b.second : a.first < b.first; });
  return sorted;
}

std::string make_char_model(const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs) {
  ModelProto model{.pieces = base_pieces(), .kind = ModelKind::kChar};
  float score = 0;
  for (const auto& [character, count] : count_characters(spec, inputs)) {
    if (spec.vocab_size != 0 && model.pieces.size() >= spec.vocab_size) break;
    if (character == kSpaceSymbol) continue;  // it means a space there; a literal one is encoded as bytes
    model.pieces.push_back({character == " " ? std::string(kSpaceSymbol) : character, score, PieceKind::kNormal});
    score -= 1;
  }
  if (model.pieces.size() == kBasePieces) throw Error("{} holds no text to learn from", names_of(inputs));
  return serialize_model(model);
}

std::string make_byte_model(const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs) {
  if (!inputs.empty()) {
    CorpusReader reader(inputs, {.field = spec.field});  // reports unusable text now: a byte model would only delay the errors
    for (CorpusReader::Piece piece; reader.next(piece);) continue;
  }
  return serialize_model({.pieces = base_pieces(), .kind = ModelKind::kChar, .escape_whitespaces = false});
}

void check_vocab_size(const TokenizerSpec& spec) {
  if (spec.type == TokenizerType::kByte || (spec.type == TokenizerType::kChar && spec.vocab_size == 0)) return;
  if (const uint32_t taken = kBasePieces + extra_pieces(spec.type); spec.vocab_size <= taken) {
    throw Error("--vocab-size {} is too small: {} entries are taken by the 256 byte pieces{} and the specials, so give more", spec.vocab_size, taken,
                spec.type == TokenizerType::kUnigram ? ", newline, tab" : "");
  }
  if (spec.vocab_size > 1u << 20) {
    throw Error("--vocab-size {} is too large: at most {} are supported", spec.vocab_size, 1u << 20);
  }
}

}  // namespace

TokenizerType parse_tokenizer_type(std::string_view name) {
  for (const TokenizerType type : {TokenizerType::kUnigram, TokenizerType::kBpe, TokenizerType::kChar, TokenizerType::kByte}) {
    if (tokenizer_type_name(type) == name) return type;
  }
  throw Error("unknown tokenizer type '{}': use unigram, bpe, char or byte", name);
}

std::string_view tokenizer_type_name(TokenizerType type) {
  switch (type) {
    case TokenizerType::kUnigram: return "unigram";
    case TokenizerType::kBpe: return "bpe";
    case TokenizerType::kChar: return "char";
    case TokenizerType::kByte: return "byte";
    case TokenizerType::kByteBpe: return "byte_bpe";
  }
  return "?";
}

void train_tokenizer(const TokenizerSpec& spec, std::span<const std::filesystem::path> inputs, const std::filesystem::path& output) {
  check_vocab_size(spec);
  std::string model;
  switch (spec.type) {
    case TokenizerType::kUnigram:
    case TokenizerType::kBpe: model = train_subwords(spec, inputs); break;
    case TokenizerType::kChar: model = make_char_model(spec, inputs); break;
    case TokenizerType::kByte: model = make_byte_model(spec, inputs); break;
    case TokenizerType::kByteBpe: throw Error("byte_bpe tokenizers are read, not trained: use unigram, bpe, char or byte");
  }
  write_file_atomically(output, model);
}

}  // namespace lapilli
