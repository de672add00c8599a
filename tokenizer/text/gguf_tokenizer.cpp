// What llama.cpp makes of which tokens was found by comparing ids (tests/llama/): its "llama" tokenizer spells characters without a piece in
// bytes, its "t5" tokenizer makes them unknown.

#include "tokenizer/text/gguf_tokenizer.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "tokenizer/text/byte_bpe_model.h"
#include "tokenizer/text/model_proto.h"

namespace lapilli {

namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581
// Below the score of each normal piece: what SentencePiece's unigram model takes off for a character without one.
constexpr float kUnknownPenalty = 10;

float lowest_normal_score(const ModelProto& model) {
  float lowest = 0;
  for (const ModelPiece& piece : model.pieces)
    if (piece.kind == PieceKind::kNormal) lowest = std::min(lowest, piece.score);
  return lowest;
}

// What an ASCII byte piece stands for, as a piece that "t5" finds in text.
std::string as_character(char byte) { return byte == ' ' ? std::string(kSpaceSymbol) : std::string(1, byte); }

// Byte pieces that are written as normal ones: in "t5" those of ASCII, where the character has no other piece; where spaces are not escaped,
// as in byte models, that of the space, because llama.cpp always escapes it.
void write_bytes_as_characters(ModelProto& model, const Tokenizer& tokenizer) {
  std::unordered_set<std::string> texts;
  for (const ModelPiece& piece : model.pieces) texts.insert(piece.piece);
  const float score = lowest_normal_score(model) - kUnknownPenalty;
  for (uint32_t id = 0; id < model.pieces.size(); ++id) {
    ModelPiece& piece = model.pieces[id];
    if (piece.kind != PieceKind::kByte) continue;
    const char byte = tokenizer.piece_bytes(id)[0];
    const bool is_written =
        model.kind == ModelKind::kUnigram ? static_cast<uint8_t>(byte) < 128 && byte != '\0' : byte == ' ' && !model.escape_whitespaces;
    if (!is_written || texts.contains(as_character(byte))) continue;
    piece = {.piece = as_character(byte), .score = score, .kind = PieceKind::kNormal};
  }
}

std::string byte_piece(uint32_t byte) { return fmt::format("<0x{:02X}>", byte); }

// The reverse of write_bytes_as_characters(), where characters stand for all bytes that have no piece.
void restore_bytes(ModelProto& model) {
  std::unordered_map<std::string, size_t> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) ids.emplace(model.pieces[id].piece, id);
  std::vector<std::pair<size_t, std::string>> restored;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (ids.contains(byte_piece(byte))) continue;
    const auto found = byte < 128 ? ids.find(as_character(static_cast<char>(byte))) : ids.end();
    if (found == ids.end()) return;  // a vocabulary without bytes
    restored.emplace_back(found->second, byte_piece(byte));
  }
  for (const auto& [id, piece] : restored) model.pieces[id] = {.piece = piece, .kind = PieceKind::kByte};
  model.escape_whitespaces =
      std::ranges::any_of(model.pieces, [](const ModelPiece& piece) { return piece.piece.find(kSpaceSymbol) != std::string::npos; });
}

struct SplitterName {
  std::string_view pre;
  BpeSplitter splitter;
  bool ignores_merges;
};
// llama.cpp's names; the first of a splitter is the one that is written.
constexpr SplitterName kSplitterNames[] = {{"gpt-2", BpeSplitter::gpt2, false},
                                           {"llama-bpe", BpeSplitter::llama3, true},
                                           {"smollm", BpeSplitter::smollm, false},
                                           {"llama3", BpeSplitter::llama3, true},
                                           {"llama-v3", BpeSplitter::llama3, true}};

GgufTokenizer from_byte_bpe(const ByteBpeModel& model) {
  const auto* name = std::ranges::find(kSplitterNames, model.splitter, &SplitterName::splitter);
  GgufTokenizer gguf{.model = "gpt2", .pre = std::string(name->pre), .tokens = model.pieces, .bos = model.bos, .eos = model.eos};
  for (const PieceKind kind : model.kinds) gguf.token_types.push_back(static_cast<int32_t>(kind));
  for (const auto& [left, right] : model.merges) gguf.merges.push_back(left + ' ' + right);
  return gguf;
}

ByteBpeModel to_byte_bpe(const GgufTokenizer& tokenizer, std::vector<PieceKind> kinds) {
  const auto* name = std::ranges::find(kSplitterNames, tokenizer.pre, &SplitterName::pre);
  if (name == std::end(kSplitterNames)) throw Error("tokenizer.ggml.pre = \"{}\" cannot be imported; gpt-2, llama-bpe and smollm can", tokenizer.pre);
  ByteBpeModel model{.pieces = tokenizer.tokens,
                     .kinds = std::move(kinds),
                     .splitter = name->splitter,
                     .ignore_merges = name->ignores_merges,
                     .bos = tokenizer.bos,
                     .eos = tokenizer.eos};
  for (const std::string& merge : tokenizer.merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos) throw Error("tokenizer.ggml.merges has \"{}\", which is not two pieces", merge);
    model.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  const auto end = std::ranges::find(model.pieces, kEndOfText);
  if (end != model.pieces.end()) model.eos = static_cast<uint32_t>(end - model.pieces.begin());
  return model;
}

}  // namespace

GgufTokenizer gguf_tokenizer(const Tokenizer& tokenizer) {
  if (const ByteBpeModel* byte_bpe = tokenizer.byte_bpe()) return from_byte_bpe(*byte_bpe);
  ModelProto model = parse_model(read_text_file(tokenizer.path()));
  if (model.kind == ModelKind::kWord)
    throw Error("'{}' splits text into words, as llama.cpp cannot: use a unigram, bpe or char model", tokenizer.path().string());
  if (!model.charsmap.empty())
    log_warning("'{}' replaces characters before it splits text, and llama.cpp does not: it may make other ids of some texts",
                tokenizer.path().string());
  write_bytes_as_characters(model, tokenizer);
  GgufTokenizer gguf{.model = model.kind == ModelKind::kUnigram ? "t5" : "llama", .bos = tokenizer.eos_id(), .eos = tokenizer.eos_id()};
  for (const ModelPiece& piece : model.pieces) {
    if (piece.kind == PieceKind::kUnknown) gguf.unknown = static_cast<uint32_t>(gguf.tokens.size());
    gguf.tokens.push_back(piece.piece);
    gguf.scores.push_back(piece.score);
    gguf.token_types.push_back(static_cast<int32_t>(piece.kind));
  }
  return gguf;
}

uint64_t read_differently(const Tokenizer& tokenizer, std::span<const uint32_t> ids) {
  const auto is_byte = [&](uint32_t id) {
    return tokenizer.piece_bytes(id).size() == 1 && static_cast<uint8_t>(tokenizer.piece_bytes(id)[0]) >= 128;
  };
  if (tokenizer.type() == TokenizerType::kUnigram) return static_cast<uint64_t>(std::ranges::count_if(ids, is_byte));
  uint64_t count = 0;
  for (size_t i = 0; i + kSpaceSymbol.size() <= ids.size(); ++i)
    if (is_byte(ids[i]) && tokenizer.decode(ids.subspan(i, kSpaceSymbol.size())) == kSpaceSymbol) count += kSpaceSymbol.size();
  return count;
}

std::string tokenizer_file(const GgufTokenizer& tokenizer) {
  const bool is_gpt2 = tokenizer.model == "gpt2";
  if (!is_gpt2 && tokenizer.model != "llama" && tokenizer.model != "t5")
    throw Error("tokenizer.ggml.model = \"{}\" cannot be imported; llama, t5 and gpt2 can", tokenizer.model);
  const size_t size = tokenizer.tokens.size();
  if (tokenizer.token_types.size() != size || (!is_gpt2 && tokenizer.scores.size() != size))
    throw Error("tokenizer.ggml has {} tokens, {} scores and {} token types", size, tokenizer.scores.size(), tokenizer.token_types.size());
  std::vector<PieceKind> kinds;
  for (const int32_t type : tokenizer.token_types) {
    if (type < 1 || type > 6) throw Error("tokenizer.ggml.token_type has {}, which is none of llama.cpp's", type);
    kinds.push_back(static_cast<PieceKind>(type));
  }
  if (is_gpt2) return to_tokenizer_json(to_byte_bpe(tokenizer, std::move(kinds)));
  ModelProto model{.kind = tokenizer.model == "llama" ? ModelKind::kBpe : ModelKind::kUnigram};
  for (size_t id = 0; id < size; ++id) model.pieces.push_back({tokenizer.tokens[id], tokenizer.scores[id], kinds[id]});
  restore_bytes(model);
  const auto name = [&](std::optional<uint32_t> id) { return id && *id < size ? tokenizer.tokens[*id] : std::string(); };
  model.bos_piece = name(tokenizer.bos);
  model.eos_piece = name(tokenizer.eos);
  return serialize_model(model);
}

}  // namespace lapilli
