#include "tokenizer/text/tokenizer.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <span>
#include <unordered_map>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/utf8.h"
#include "tokenizer/text/model_proto.h"
#include "tokenizer/text/sentencepiece_bridge.h"
#include "tokenizer/text/text_loss.h"

namespace lapilli {

namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581: how SentencePiece writes a space in its pieces
constexpr size_t kMaxWordBytes = 4096;                     // a longer run without spaces is cut there
constexpr size_t kMaxCachedWords = 1 << 18;
constexpr size_t kMaxCachedWordBytes = 64;

bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// The unit of encoding: one newline; or spaces and what follows them up to the next space or newline (the next newline
// alone, when `at_spaces` is false). Returns its end, or npos when it may continue after the text.
size_t word_end(std::string_view text, size_t begin, bool at_spaces, bool is_end) {
  if (text[begin] == '\n') return begin + 1;
  const size_t limit = std::min(text.size(), begin + kMaxWordBytes);
  size_t i = begin;
  while (i < limit && text[i] == ' ') ++i;
  while (i < limit && text[i] != '\n' && !(at_spaces && text[i] == ' ')) ++i;
  if (i < limit) return i;
  while (i < text.size() && is_continuation(text[i])) --i;  // the limit may fall inside a character
  return i < text.size() || is_end ? i : std::string_view::npos;
}

// The bytes that a piece decodes to.
std::string decoded_piece(const ModelPiece& piece, bool escapes_spaces) {
  if (piece.kind == PieceKind::kControl || piece.kind == PieceKind::kUnused) return {};
  if (piece.kind == PieceKind::kUnknown) return {};
  if (piece.kind == PieceKind::kByte) return {static_cast<char>(std::stoi(piece.piece.substr(3, 2), nullptr, 16))};
  if (!escapes_spaces) return piece.piece;
  std::string bytes;
  for (size_t i = 0; i < piece.piece.size();) {
    const bool is_space = std::string_view(piece.piece).substr(i).starts_with(kSpaceSymbol);
    bytes.push_back(is_space ? ' ' : piece.piece[i]);
    i += is_space ? kSpaceSymbol.size() : 1;
  }
  return bytes;
}

// A space symbol after something else: such a piece spans two words, so words cannot be encoded one by one.
bool spans_words(const ModelPiece& piece) {
  if (piece.kind != PieceKind::kNormal && piece.kind != PieceKind::kUserDefined) return false;
  std::string_view rest = piece.piece;
  while (rest.starts_with(kSpaceSymbol)) rest.remove_prefix(kSpaceSymbol.size());
  return rest.find(kSpaceSymbol) != std::string_view::npos || rest.find(' ') != std::string_view::npos;
}

TokenizerType type_of(const ModelProto& model) {
  if (model.kind == ModelKind::kBpe) return TokenizerType::kBpe;
  if (model.kind != ModelKind::kChar) return TokenizerType::kUnigram;
  const bool has_characters = std::ranges::any_of(model.pieces, [](const ModelPiece& piece) { return piece.kind == PieceKind::kNormal; });
  return has_characters ? TokenizerType::kChar : TokenizerType::kByte;
}

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

}  // namespace

struct Tokenizer::Impl {
  Impl(std::filesystem::path model_path, const std::string& bytes) : path(std::move(model_path)), hash(hash_bytes(std::as_bytes(std::span(bytes)))) {
    const ModelProto model = parse_model(bytes);
    sentencepiece.emplace(with_spaces_kept(bytes));
    type = type_of(model);
    for (const ModelPiece& piece : model.pieces) {
      if (piece.kind == PieceKind::kByte && piece.piece.size() != 6) throw Error("not a SentencePiece model");
      piece_bytes.push_back(decoded_piece(piece, model.escape_whitespaces));
      if (piece_bytes.back().size() > UINT16_MAX) throw Error("it has a piece of more than 65535 bytes");
      pieces.push_back(piece.piece);
      words_are_separate &= !spans_words(piece);
      if (piece.kind == PieceKind::kByte) {
        byte_ids[static_cast<uint8_t>(piece_bytes.back()[0])] = static_cast<uint32_t>(pieces.size() - 1);
        ++byte_piece_count;
      }
    }
  }

  bool has_byte_fallback() const { return byte_piece_count == 256; }

  void encode_plain(std::vector<uint32_t>& ids, std::string_view plain) const {
    try {
      sentencepiece->encode(ids, plain);
    } catch (const SentencePieceFailure& failure) {  // a damaged model, or one with a normalizer that contradicts itself
      throw Error("'{}' cannot tokenize this text; SentencePiece says \"{}\"", path.string(), failure.what());
    }
  }

  // The tokens of one word. A literal U+2581 would come back as a space, so it goes in as its three bytes.
  void encode_word(std::vector<uint32_t>& ids, std::string_view word) {
    while (!word.empty()) {
      const size_t symbol = has_byte_fallback() ? word.find(kSpaceSymbol) : std::string_view::npos;
      const std::string_view plain = word.substr(0, symbol);
      if (!plain.empty()) encode_plain(ids, plain);
      word.remove_prefix(plain.size());
      if (word.empty()) return;
      for (const char byte : kSpaceSymbol) ids.push_back(byte_ids[static_cast<uint8_t>(byte)]);
      word.remove_prefix(kSpaceSymbol.size());
    }
  }

  // Returns the bytes of the word that its ids do not decode to.
  uint64_t encode_cached(std::vector<uint32_t>& ids, std::string_view word) {
    if (const auto found = words.find(word); found != words.end()) {
      const CachedWord& cached = found->second;
      ids.insert(ids.end(), word_ids.begin() + cached.begin, word_ids.begin() + cached.begin + cached.count);
      return cached.lost_bytes;
    }
    const size_t begin = ids.size();
    encode_word(ids, word);
    std::string decoded;
    for (size_t i = begin; i < ids.size(); ++i) decoded += piece_bytes[ids[i]];
    const uint64_t lost = lost_bytes(word, decoded);
    if (word.size() > kMaxCachedWordBytes || words.size() >= kMaxCachedWords) return lost;
    words.emplace(word, CachedWord{static_cast<uint32_t>(word_ids.size()), static_cast<uint32_t>(ids.size() - begin), static_cast<uint32_t>(lost)});
    word_ids.insert(word_ids.end(), ids.begin() + static_cast<ptrdiff_t>(begin), ids.end());
    return lost;
  }

  std::filesystem::path path;
  uint64_t hash;
  TokenizerType type = TokenizerType::kUnigram;
  std::optional<SentencePieceModel> sentencepiece;
  std::vector<std::string> pieces, piece_bytes;  // [V]
  uint32_t byte_ids[256] = {};
  uint32_t byte_piece_count = 0;
  bool words_are_separate = true;

  struct CachedWord {
    uint32_t begin, count;  // in word_ids
    uint32_t lost_bytes;
  };
  std::unordered_map<std::string, CachedWord, StringHash, std::equal_to<>> words;
  std::vector<uint32_t> word_ids;
};

bool is_no_tokenizer(const std::filesystem::path& tokenizer_model) {
  std::string begin(kNoTokenizer.size(), '\0');
  std::ifstream(tokenizer_model, std::ios::binary).read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return begin == kNoTokenizer;
}

Tokenizer::Tokenizer(const std::filesystem::path& model_path) {
  const std::string bytes = read_text_file(model_path);
  if (bytes.starts_with(kNoTokenizer))
    throw Error("'{}': the tokens were imported without their tokenizer, so there is no text for them; import them again with --tokenizer T.model",
                model_path.string());
  try {
    impl_ = std::make_unique<Impl>(model_path, bytes);
  } catch (const std::exception& failure) {
    throw Error("cannot use '{}' as a tokenizer ({}); make one with `lapilli tokenizer train`", model_path.string(), failure.what());
  }
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<uint32_t> Tokenizer::encode(std::string_view text) const {
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw Error("the text has a NUL byte at offset {}: it is not plain text", nul);
  }
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
    throw Error("the text is not UTF-8: malformed character at byte offset {}", bad);
  }
  std::vector<uint32_t> ids;
  encode_prefix(ids, text, true);
  return ids;
}

size_t Tokenizer::encode_prefix(std::vector<uint32_t>& ids, std::string_view text, bool is_end, uint64_t* lost_bytes) const {
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = word_end(text, begin, impl_->words_are_separate, is_end);
    if (end == std::string_view::npos) break;
    const uint64_t lost = impl_->encode_cached(ids, text.substr(begin, end - begin));
    if (lost_bytes != nullptr) *lost_bytes += lost;
    begin = end;
  }
  return begin;
}

std::string Tokenizer::decode(std::span<const uint32_t> ids) const {
  std::string text;
  for (const uint32_t id : ids) text += piece_bytes(id);
  return text;
}

uint32_t Tokenizer::vocab_size() const { return static_cast<uint32_t>(impl_->pieces.size()); }

std::optional<uint32_t> Tokenizer::bos_id() const {
  const int id = impl_->sentencepiece->bos_id();
  return id < 0 ? std::nullopt : std::optional(static_cast<uint32_t>(id));
}

std::optional<uint32_t> Tokenizer::eos_id() const {
  const int id = impl_->sentencepiece->eos_id();
  return id < 0 ? std::nullopt : std::optional(static_cast<uint32_t>(id));
}

TokenizerType Tokenizer::type() const { return impl_->type; }
bool Tokenizer::has_byte_fallback() const { return impl_->has_byte_fallback(); }

const std::string& Tokenizer::piece(uint32_t id) const {
  CHECK(id < vocab_size(), "token id {} of a vocabulary of {}", id, vocab_size());
  return impl_->pieces[id];
}

const std::string& Tokenizer::piece_bytes(uint32_t id) const {
  CHECK(id < vocab_size(), "token id {} of a vocabulary of {}", id, vocab_size());
  return impl_->piece_bytes[id];
}

std::vector<uint16_t> Tokenizer::token_bytes() const {
  std::vector<uint16_t> sizes;
  for (const std::string& bytes : impl_->piece_bytes) sizes.push_back(static_cast<uint16_t>(bytes.size()));
  return sizes;
}

uint64_t Tokenizer::hash() const { return impl_->hash; }
const std::filesystem::path& Tokenizer::path() const { return impl_->path; }

}  // namespace lapilli
