// The format is that of the library `tokenizers`: https://huggingface.co/docs/tokenizers.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ranges>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "tokenizer/text/bpe_splitter.h"
#include "tokenizer/text/byte_alphabet.h"
#include "tokenizer/text/byte_bpe_model.h"

namespace lapilli {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Where to_tokenizer_json() writes bos and eos, for which the format has no place: in "model", whose unknown keys its readers skip.
constexpr const char* kOwnKey = "lapilli";

const json& value_of(const json& object, const char* key) {
  static const json missing;
  return object.is_object() && object.contains(key) ? object[key] : missing;
}

[[noreturn]] void refuse(std::string_view key, const json& value, std::string_view wanted) {
  constexpr size_t kMostShown = 200;
  std::string shown = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (shown.size() > kMostShown) shown = shown.substr(0, kMostShown) + " ...";
  throw Error("its {} is {}: {}", key, shown, wanted);
}

void require_none_of(const json& value, std::string_view key) {
  const bool is_none = value.is_null() || value == "" || value == false || value == 0;
  if (!is_none) refuse(key, value, "byte-level BPE without it is supported");
}

bool is_byte_level(const json& value, bool use_regex) {
  return value_of(value, "type") == "ByteLevel" && value_of(value, "add_prefix_space") == false &&
         (value.contains("use_regex") ? value["use_regex"] : json(true)) == use_regex;
}

bool is_split_of_llama3(const json& value) {
  return value_of(value, "type") == "Split" && value_of(value_of(value, "pattern"), "Regex") == std::string(kLlama3Pattern) &&
         value_of(value, "behavior") == "Isolated" && value_of(value, "invert") == false;
}

BpeSplitter splitter_of(const json& pre_tokenizer) {
  if (is_byte_level(pre_tokenizer, true)) return BpeSplitter::gpt2;
  const json& steps = value_of(pre_tokenizer, "pretokenizers");
  if (value_of(pre_tokenizer, "type") == "Sequence" && steps.is_array() && steps.size() == 2) {
    if (value_of(steps[0], "type") == "Digits" && value_of(steps[0], "individual_digits") == true && is_byte_level(steps[1], true))
      return BpeSplitter::smollm;
    if (is_split_of_llama3(steps[0]) && is_byte_level(steps[1], false)) return BpeSplitter::llama3;
  }
  refuse("pre_tokenizer", pre_tokenizer, "those of GPT-2, Llama 3 and SmolLM are supported");
}

ordered_json json_of(BpeSplitter splitter) {
  const auto byte_level = [](bool use_regex) {
    return ordered_json{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
  };
  const auto sequence = [](const ordered_json& first, const ordered_json& second) {
    return ordered_json{{"type", "Sequence"}, {"pretokenizers", ordered_json::array({first, second})}};
  };
  switch (splitter) {
    case BpeSplitter::gpt2: break;
    case BpeSplitter::smollm: return sequence({{"type", "Digits"}, {"individual_digits", true}}, byte_level(true));
    case BpeSplitter::llama3:
      return sequence({{"type", "Split"}, {"pattern", {{"Regex", kLlama3Pattern}}}, {"behavior", "Isolated"}, {"invert", false}}, byte_level(false));
  }
  return byte_level(true);
}

// Pieces by id as they are found.
class Vocabulary {
 public:
  explicit Vocabulary(size_t piece_count) : most_(2 * piece_count + 1000) {}

  void add(const json& id, const std::string& piece, PieceKind kind) {
    if (!id.is_number_unsigned()) refuse(fmt::format("id of {:?}", piece), id, "ids count from 0");
    const auto at = id.get<uint64_t>();
    if (at >= most_) refuse(fmt::format("id of {:?}", piece), id, "that is more than twice the number of its pieces");
    if (at >= pieces_.size()) pieces_.resize(at + 1);
    std::optional<Piece>& there = pieces_[at];
    if (there && there->text != piece) throw Error("its pieces {:?} and {:?} have the same id {}", there->text, piece, at);
    there = {piece, kind};
  }

  void move_to(ByteBpeModel& model) {
    for (uint32_t id = 0; id < pieces_.size(); ++id) {
      const bool is_unused = !pieces_[id] || (pieces_[id]->kind == PieceKind::kNormal && pieces_[id]->text == unused_piece(id));
      model.pieces.push_back(is_unused ? unused_piece(id) : std::move(pieces_[id]->text));
      model.kinds.push_back(is_unused ? PieceKind::kUnused : pieces_[id]->kind);
    }
  }

 private:
  struct Piece {
    std::string text;
    PieceKind kind;
  };
  uint64_t most_;
  std::vector<std::optional<Piece>> pieces_;
};

void add_added_token(Vocabulary& vocabulary, const json& token, const json& ids) {
  const json& content = value_of(token, "content");
  if (!content.is_string()) refuse("added token", token, "it has no content");
  const bool is_special = value_of(token, "special") == true;
  for (const char* key : {"single_word", "lstrip", "rstrip"})
    if (!is_special && value_of(token, key) == true) refuse(fmt::format("added token with {}", key), content, "that is not supported");
  const auto& text = content.get_ref<const std::string&>();
  if (const auto known = ids.find(text); known != ids.end() && *known != value_of(token, "id"))
    throw Error("its added token {:?} has the id {}, and its vocabulary says {}", text, value_of(token, "id").dump(), known->dump());
  vocabulary.add(value_of(token, "id"), text, is_special ? PieceKind::kControl : PieceKind::kUserDefined);
}

void read_vocabulary(ByteBpeModel& model, const json& ids, const json& added) {
  if (!ids.is_object() || ids.empty()) throw Error("its model.vocab is no object of pieces with their ids");
  Vocabulary vocabulary(ids.size() + added.size());
  for (const auto& [piece, id] : ids.items()) vocabulary.add(id, piece, PieceKind::kNormal);
  for (const json& token : added) add_added_token(vocabulary, token, ids);
  vocabulary.move_to(model);
}

// ["a", "b"], or in older files "a b".
std::pair<std::string, std::string> parse_merge(const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (merge.is_string()) {
    const auto text = merge.get<std::string>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) return {text.substr(0, space), text.substr(space + 1)};
  }
  refuse("merge", merge, "a merge is two pieces");
}

// Of use only where a byte has no piece.
void read_unknown(ByteBpeModel& model, const json& bpe) {
  const json &unknown = value_of(bpe, "unk_token"), &ids = bpe["vocab"];
  const auto has_piece = [&](uint32_t byte) { return ids.contains(byte_character(static_cast<uint8_t>(byte))); };
  if (unknown.is_null() || std::ranges::all_of(std::views::iota(0U, 256U), has_piece)) return;
  const auto found = unknown.is_string() ? ids.find(unknown.get_ref<const std::string&>()) : ids.end();
  if (found == ids.end()) refuse("model.unk_token", unknown, "it must be a piece of model.vocab");
  if (value_of(bpe, "fuse_unk") == true) refuse("model.fuse_unk", bpe["fuse_unk"], "only false is supported where a byte has no piece");
  model.unknown = found->get<uint32_t>();
}

void read_model(ByteBpeModel& model, const json& bpe, const json& added) {
  if (bpe.contains("type") && bpe["type"] != "BPE") refuse("model.type", bpe["type"], "byte-level BPE is supported");
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"})
    require_none_of(value_of(bpe, key), fmt::format("model.{}", key));
  model.ignore_merges = value_of(bpe, "ignore_merges") == true;
  read_vocabulary(model, value_of(bpe, "vocab"), added);
  const json& merges = value_of(bpe, "merges");
  if (!merges.is_array()) throw Error("its model.merges is no list");
  for (const json& merge : merges) model.merges.push_back(parse_merge(merge));
  read_unknown(model, bpe);
}

std::optional<uint32_t> find_special(const ByteBpeModel& model, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const auto found = std::ranges::find(model.pieces, name);
    const auto id = static_cast<uint32_t>(found - model.pieces.begin());
    if (found != model.pieces.end() && model.kinds[id] == PieceKind::kControl) return id;
  }
  return std::nullopt;
}

void find_specials(ByteBpeModel& model, const json& own) {
  const auto named = [&](const char* key) {
    const json& id = value_of(own, key);
    const bool is_id = id.is_number_unsigned() && id.get<uint64_t>() < model.pieces.size();
    if (!is_id && !id.is_null()) refuse(fmt::format("model.{}.{}", kOwnKey, key), id, "that is no token");
    return is_id ? std::optional(id.get<uint32_t>()) : std::nullopt;
  };
  if (own.is_object()) {
    model.bos = named("bos");
    model.eos = named("eos");
    return;
  }
  model.eos = find_special(model, {kEndOfText, "<|end_of_text|>", "</s>"});
  model.bos = find_special(model, {"<|begin_of_text|>", "<s>", kEndOfText});
}

ordered_json added_tokens(const ByteBpeModel& model) {
  ordered_json added = ordered_json::array();
  for (uint32_t id = 0; id < model.pieces.size(); ++id) {
    const bool is_special = model.kinds[id] == PieceKind::kControl;
    if (!is_special && model.kinds[id] != PieceKind::kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", model.pieces[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", !is_special},
                     {"special", is_special}});
  }
  return added;
}

ordered_json model_json(const ByteBpeModel& model) {
  ordered_json ids = ordered_json::object();
  auto& entries = static_cast<ordered_json::object_t::Container&>(ids.get_ref<ordered_json::object_t&>());  // by key would search for it each time
  for (uint32_t id = 0; id < model.pieces.size(); ++id)
    entries.emplace_back(model.kinds[id] == PieceKind::kUnused ? unused_piece(id) : model.pieces[id], id);
  ordered_json merges = ordered_json::array();
  for (const auto& [left, right] : model.merges) merges.push_back(ordered_json::array({left, right}));
  const auto id_or_null = [](std::optional<uint32_t> id) { return id ? ordered_json(*id) : ordered_json(nullptr); };
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", model.unknown ? ordered_json(model.pieces[*model.unknown]) : ordered_json(nullptr)},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", model.ignore_merges},
          {kOwnKey, {{"bos", id_or_null(model.bos)}, {"eos", id_or_null(model.eos)}}},
          {"vocab", std::move(ids)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::string_view to_string(BpeSplitter splitter) {
  switch (splitter) {
    case BpeSplitter::gpt2: return "gpt2";
    case BpeSplitter::llama3: return "llama3";
    case BpeSplitter::smollm: return "smollm";
  }
  return "?";
}

void pad_vocabulary(ByteBpeModel& model, uint32_t vocab_size) {
  while (model.pieces.size() < vocab_size) {
    model.pieces.push_back(unused_piece(static_cast<uint32_t>(model.pieces.size())));
    model.kinds.push_back(PieceKind::kUnused);
  }
}

ByteBpeModel parse_tokenizer_json(std::string_view bytes) {
  const json file = parse_sorted_json(bytes);
  if (!file.is_object()) throw Error("it is not JSON, or no object");
  const json &bpe = value_of(file, "model"), &added = value_of(file, "added_tokens"), &decoder = value_of(file, "decoder");
  if (!bpe.is_object()) throw Error("it has no \"model\"");
  if (!added.is_null() && !added.is_array()) refuse("added_tokens", added, "it must be a list");
  ByteBpeModel model;
  read_model(model, bpe, added);
  if (!value_of(file, "normalizer").is_null()) refuse("normalizer", file["normalizer"], "only null is supported");
  model.splitter = splitter_of(value_of(file, "pre_tokenizer"));
  if (!decoder.is_null() && value_of(decoder, "type") != "ByteLevel") refuse("decoder", decoder, "ByteLevel is supported");
  find_specials(model, value_of(bpe, kOwnKey));
  return model;
}

std::string to_tokenizer_json(const ByteBpeModel& model) {
  const ordered_json decoder{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return json_text({{"version", "1.0"},
                    {"truncation", nullptr},
                    {"padding", nullptr},
                    {"added_tokens", added_tokens(model)},
                    {"normalizer", nullptr},
                    {"pre_tokenizer", json_of(model.splitter)},
                    {"post_processor", nullptr},
                    {"decoder", decoder},
                    {"model", model_json(model)}},
                   1) +
         "\n";
}

}  // namespace lapilli
