#include <algorithm>
#include <utility>

#include "engine/base/error.h"
#include "tokenizer/text/model_proto.h"
#include "tokenizer/text/sentencepiece_bridge.h"
#include "tokenizer/text/text_loss.h"
#include "tokenizer/text/tokenizer_kind.h"
#include "tokenizer/text/word_cache.h"

namespace lapilli {

namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581: how SentencePiece writes a space in its pieces
constexpr size_t kMaxWordBytes = 4096;                     // a longer run without spaces is cut there

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

class SentencePiece final : public TokenizerKind {
 public:
  SentencePiece(const std::string& bytes, std::string name) : name_(std::move(name)), model_(with_spaces_kept(bytes)) {
    const ModelProto model = parse_model(bytes);
    type_ = type_of(model);
    for (const ModelPiece& piece : model.pieces) {
      if (piece.kind == PieceKind::kByte && piece.piece.size() != 6) throw Error("not a SentencePiece model");
      add_piece(piece.piece, decoded_piece(piece, model.escape_whitespaces));
      words_are_separate_ &= !spans_words(piece);
      if (piece.kind == PieceKind::kByte) {
        byte_ids_[static_cast<uint8_t>(piece_bytes().back()[0])] = static_cast<uint32_t>(pieces().size() - 1);
        ++byte_piece_count_;
      }
    }
  }

  size_t encode_prefix(std::vector<uint32_t>& ids, std::string_view text, bool is_end, uint64_t& lost) override {
    size_t begin = 0;
    while (begin < text.size()) {
      const size_t end = word_end(text, begin, words_are_separate_, is_end);
      if (end == std::string_view::npos) break;
      lost += words_.append(ids, text.substr(begin, end - begin), [&](auto& to, std::string_view word) { return encode_and_compare(to, word); });
      begin = end;
    }
    return begin;
  }

  std::optional<uint32_t> bos_id() const override { return id_or_none(model_.bos_id()); }
  std::optional<uint32_t> eos_id() const override { return id_or_none(model_.eos_id()); }
  TokenizerType type() const override { return type_; }
  bool has_byte_fallback() const override { return byte_piece_count_ == 256; }

 private:
  static std::optional<uint32_t> id_or_none(int id) { return id < 0 ? std::nullopt : std::optional(static_cast<uint32_t>(id)); }

  void encode_plain(std::vector<uint32_t>& ids, std::string_view plain) const {
    try {
      model_.encode(ids, plain);
    } catch (const SentencePieceFailure& failure) {  // a damaged model, or one with a normalizer that contradicts itself
      throw Error("'{}' cannot tokenize this text; SentencePiece says \"{}\"", name_, failure.what());
    }
  }

  // The tokens of one word. A literal U+2581 would come back as a space, so it goes in as its three bytes.
  void encode_word(std::vector<uint32_t>& ids, std::string_view word) const {
    while (!word.empty()) {
      const size_t symbol = has_byte_fallback() ? word.find(kSpaceSymbol) : std::string_view::npos;
      const std::string_view plain = word.substr(0, symbol);
      if (!plain.empty()) encode_plain(ids, plain);
      word.remove_prefix(plain.size());
      if (word.empty()) return;
      for (const char byte : kSpaceSymbol) ids.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
      word.remove_prefix(kSpaceSymbol.size());
    }
  }

  // Returns the bytes of the word that its ids do not decode to.
  uint64_t encode_and_compare(std::vector<uint32_t>& ids, std::string_view word) const {
    const size_t begin = ids.size();
    encode_word(ids, word);
    std::string decoded;
    for (size_t i = begin; i < ids.size(); ++i) decoded += piece_bytes()[ids[i]];
    return lost_bytes(word, decoded);
  }

  std::string name_;
  SentencePieceModel model_;
  TokenizerType type_ = TokenizerType::kUnigram;
  uint32_t byte_ids_[256] = {};
  uint32_t byte_piece_count_ = 0;
  bool words_are_separate_ = true;
  WordCache words_;
};

}  // namespace

std::unique_ptr<TokenizerKind> make_sentencepiece(const std::string& model, std::string name) {
  return std::make_unique<SentencePiece>(model, std::move(name));
}

}  // namespace lapilli
