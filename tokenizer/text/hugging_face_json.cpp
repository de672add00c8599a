// The format is that of the library `tokenizers`: https://huggingface.co/docs/tokenizers. Which settings give the ids of SentencePiece was found
// by comparing ids.

#include "tokenizer/text/hugging_face_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/log.h"
#include "tokenizer/text/byte_bpe_model.h"
#include "tokenizer/text/model_proto.h"

namespace lapilli {

namespace {

using nlohmann::ordered_json;

constexpr const char* kSpaceSymbol = "\xE2\x96\x81";  // U+2581

bool is_text(const ModelPiece& piece) { return piece.kind == PieceKind::kNormal || piece.kind == PieceKind::kUserDefined; }

bool has_byte_pieces(const ModelProto& model) {
  return std::ranges::any_of(model.pieces, [](const ModelPiece& piece) { return piece.kind == PieceKind::kByte; });
}

// The pairs that BPE may merge, in the order in which SentencePiece prefers them: every cut of a piece into two pieces. A piece of a higher
// score is merged first; of equal ones that which comes earlier in the vocabulary.
ordered_json merges_of(const ModelProto& model) {
  std::unordered_map<std::string_view, uint32_t> ids;
  for (uint32_t id = 0; id < model.pieces.size(); ++id)
    if (is_text(model.pieces[id])) ids.emplace(model.pieces[id].piece, id);
  std::vector<std::tuple<uint32_t, uint32_t, uint32_t>> merges;  // merged, left, right
  for (const auto& [piece, merged] : ids) {
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const auto left = ids.find(piece.substr(0, cut)), right = ids.find(piece.substr(cut));
      if (left != ids.end() && right != ids.end()) merges.emplace_back(merged, left->second, right->second);
    }
  }
  std::ranges::sort(merges, {}, [&](const auto& merge) { return std::pair(-model.pieces[std::get<0>(merge)].score, merge); });
  ordered_json pairs = ordered_json::array();
  for (const auto& [merged, left, right] : merges) pairs.push_back({model.pieces[left].piece, model.pieces[right].piece});
  return pairs;
}

ordered_json unigram_json(const ModelProto& model, uint32_t unknown) {
  ordered_json pieces = ordered_json::array();
  for (const ModelPiece& piece : model.pieces) pieces.push_back({piece.piece, piece.score});
  return {{"type", "Unigram"}, {"unk_id", unknown}, {"vocab", pieces}, {"byte_fallback", has_byte_pieces(model)}};
}

// Also a vocabulary of characters or bytes: nothing is merged there.
ordered_json bpe_json(const ModelProto& model, uint32_t unknown) {
  ordered_json ids = ordered_json::object();
  for (uint32_t id = 0; id < model.pieces.size(); ++id) ids[model.pieces[id].piece] = id;
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", model.pieces[unknown].piece},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", has_byte_pieces(model)},
          {"ignore_merges", false},
          {"vocab", ids},
          {"merges", model.kind == ModelKind::kBpe ? merges_of(model) : ordered_json::array()}};
}

// A piece defined by the user is taken wherever the text has it, before characters are replaced; with spaces in it, where they are symbols.
ordered_json added_tokens(const ModelProto& model) {
  ordered_json added = ordered_json::array();
  for (uint32_t id = 0; id < model.pieces.size(); ++id) {
    const auto& [piece, score, kind] = model.pieces[id];
    const bool is_user_defined = kind == PieceKind::kUserDefined;
    if (kind != PieceKind::kControl && kind != PieceKind::kUnknown && !is_user_defined) continue;
    added.push_back({{"id", id},
                     {"content", piece},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", is_user_defined && piece.find(kSpaceSymbol) != std::string::npos},
                     {"special", !is_user_defined}});
  }
  return added;
}

uint32_t unknown_id(const ModelProto& model) {
  const auto unknown = std::ranges::find(model.pieces, PieceKind::kUnknown, &ModelPiece::kind);
  return unknown == model.pieces.end() ? 0 : static_cast<uint32_t>(unknown - model.pieces.begin());
}

// RFC 4648, section 4.
std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < count; ++k) bits |= uint32_t{static_cast<uint8_t>(bytes[i + k])} << (16 - 8 * k);
    for (size_t k = 0; k < 4; ++k) text += k <= count ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

// What encode() does to a text first, also with a model made elsewhere: its characters are replaced, no space is added or removed.
ordered_json normalizer_json(const ModelProto& model) {
  ordered_json steps = ordered_json::array();
  if (!model.charsmap.empty()) steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64(model.charsmap)}});
  if (model.escape_whitespaces) steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceSymbol}});
  if (steps.empty()) return nullptr;
  return steps.size() == 1 ? steps[0] : ordered_json{{"type", "Sequence"}, {"normalizers", steps}};
}

// encode() takes every newline alone. That shows where a piece has more beside one, and where unknown characters next to each other are one token.
ordered_json pre_tokenizer_json(const ModelProto& model) {
  const bool is_beside_more = std::ranges::any_of(model.pieces, [](const ModelPiece& piece) {
    return is_text(piece) && piece.piece.size() > 1 && piece.piece.find('\n') != std::string::npos;
  });
  if (has_byte_pieces(model) && !is_beside_more) return nullptr;
  return {{"type", "Split"}, {"pattern", {{"String", "\n"}}}, {"behavior", "Isolated"}, {"invert", false}};
}

ordered_json tokenizer_json(const ModelProto& model) {
  const ordered_json restore{{"type", "Replace"}, {"pattern", {{"String", kSpaceSymbol}}}, {"content", " "}};
  ordered_json decoders = ordered_json::array();
  if (model.escape_whitespaces) decoders.push_back(restore);
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  const uint32_t unknown = unknown_id(model);
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens(model)},
          {"normalizer", normalizer_json(model)},
          {"pre_tokenizer", pre_tokenizer_json(model)},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model", model.kind == ModelKind::kUnigram ? unigram_json(model, unknown) : bpe_json(model, unknown)}};
}

// The text of tokenizer.json. `special`: what its configuration names, too.
std::string sentencepiece_json(ordered_json& special, const Tokenizer& tokenizer) {
  const ModelProto model = parse_model(read_text_file(tokenizer.path()));
  if (model.kind == ModelKind::kWord)
    throw Error("'{}' splits text into words: there is no such tokenizer.json; use a unigram, bpe or char model", tokenizer.path().string());
  if (!model.charsmap.empty() && tokenizer.encode("\n") == tokenizer.encode(" "))  // transformers cannot take that space alone
    log_warning("'{}' makes a space of a newline: transformers may make other ids of texts of several lines", tokenizer.path().string());
  special["unk_token"] = model.pieces[unknown_id(model)].piece;
  return json_text(tokenizer_json(model), 1) + "\n";
}

}  // namespace

HuggingFaceTokenizer hugging_face_tokenizer(const Tokenizer& tokenizer, uint32_t context) {
  ordered_json special = ordered_json::object();
  const std::string tokenizer_text =
      tokenizer.byte_bpe() != nullptr ? to_tokenizer_json(*tokenizer.byte_bpe()) : sentencepiece_json(special, tokenizer);
  const std::optional<uint32_t> document_end = tokenizer.eos_id();
  if (document_end) special["bos_token"] = special["eos_token"] = tokenizer.piece(*document_end);
  ordered_json config{
      {"tokenizer_class", "PreTrainedTokenizerFast"}, {"add_bos_token", false},     {"add_eos_token", false}, {"add_prefix_space", false},
      {"clean_up_tokenization_spaces", false},        {"model_max_length", context}};
  config.update(special);
  return {.tokenizer = tokenizer_text,
          .tokenizer_config = json_text(config, 2) + "\n",
          .special_tokens_map = json_text(special, 2) + "\n",
          .document_end = document_end};
}

}  // namespace lapilli
