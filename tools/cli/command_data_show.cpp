// lapilli data show: some tokens of a data set, as a reader sees them.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/utf8.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/text/tokenizer.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

constexpr uint32_t kRowTokens = 16;

struct ShowOptions {
  std::string dir, split = "train";
  uint64_t at = 0;
  uint32_t rows = 5;
  bool as_json = false;
};

// One split of a data set with the tokenizer that names its tokens; none if they were imported without.
struct ShownSplit {
  TokenShard shard;
  std::optional<Tokenizer> tokenizer;

  bool ends_document(uint64_t position) const {
    return position + 1 == shard.token_count() || std::ranges::binary_search(shard.document_starts(), position + 1);
  }

  std::string tokenizer_text() const {
    if (!tokenizer) return "no tokenizer";
    return fmt::format("{} tokenizer {:016x}", tokenizer_type_name(tokenizer->type()), tokenizer->hash());
  }
};

ShownSplit open_split(const ShowOptions& options) {
  const std::filesystem::path dir = options.dir, path = dir / (options.split == "val" ? kValShardName : kTrainShardName);
  if (!std::filesystem::exists(path)) throw Error("'{}' does not exist; name the folder that `lapilli data build` made", path.string());
  ShownSplit split{.shard = TokenShard(path, TokenShard::Verify::kHeader), .tokenizer = std::nullopt};
  const std::filesystem::path tokenizer_path = tokenizer_in(dir);
  if (!is_no_tokenizer(tokenizer_path)) {
    split.tokenizer.emplace(tokenizer_path);
    split.shard.require_tokenizer(split.tokenizer->hash(), fmt::format("'{}'", tokenizer_path.string()));
  }
  if (options.at >= split.shard.token_count())
    throw Error("'{}' has {} tokens: there is none at position {}", path.string(), split.shard.token_count(), options.at);
  return split;
}

// A newline, a tab and what has no text become visible; a space stays one.
std::string visible(const ShownSplit& split, uint32_t id) {
  if (!split.tokenizer) return std::to_string(id);
  const std::string& bytes = split.tokenizer->piece_bytes(id);
  std::string text;
  for (const char c : printable(bytes.empty() ? split.tokenizer->piece(id) : bytes)) {
    if (c == '\n') {
      text += "↵";
    } else if (c == '\t') {
      text += "⇥";
    } else {
      text += c;
    }
  }
  return text;
}

// Tokens are told apart by two colours in turn, or by a line between them.
std::string row_text(const ShownSplit& split, std::span<const uint32_t> ids, uint64_t position, bool in_colour) {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string token = visible(split, ids[i]);
    text += in_colour ? fmt::format("\x1b[{}m{}\x1b[0m", (position + i) % 2 == 0 ? 36 : 33, token) : (i == 0 ? "" : "│") + token;
    if (split.ends_document(position + i)) text += in_colour ? "\x1b[35m■\x1b[0m" : "│■";
    else if (in_colour && !split.tokenizer) text += " ";  // digits of one id, not of two
  }
  return text;
}

void print_json(const ShowOptions& options, const ShownSplit& split, std::span<const uint32_t> ids) {
  nlohmann::ordered_json json{{"split", options.split},
                              {"tokens", split.shard.token_count()},
                              {"documents", split.shard.document_starts().size()},
                              {"vocab_size", split.shard.vocab_size()},
                              {"tokenizer_type", nullptr},
                              {"tokenizer_hash", nullptr},
                              {"shown", nlohmann::ordered_json::array()}};
  if (split.tokenizer) {
    json["tokenizer_type"] = std::string(tokenizer_type_name(split.tokenizer->type()));
    json["tokenizer_hash"] = fmt::format("{:016x}", split.tokenizer->hash());
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint64_t position = options.at + i;
    nlohmann::ordered_json token{{"position", position}, {"id", ids[i]}, {"piece", nullptr}, {"ends_document", split.ends_document(position)}};
    if (split.tokenizer) token["piece"] = split.tokenizer->piece(ids[i]);
    json["shown"].push_back(std::move(token));
  }
  print(json_text(json, 2) + "\n");
}

void show(const ShowOptions& options) {
  const ShownSplit split = open_split(options);
  std::vector<uint32_t> ids(std::min(uint64_t{options.rows} * kRowTokens, split.shard.token_count() - options.at));
  split.shard.read(ids, options.at);
  if (options.as_json) return print_json(options, split, ids);
  print(fmt::format("{}: {}, {} tokens, {} documents, vocabulary {}, {}\n", printable(options.dir), options.split,
                    group_digits(split.shard.token_count()), group_digits(split.shard.document_starts().size()),
                    group_digits(split.shard.vocab_size()), split.tokenizer_text()));
  const bool in_colour = output_has_colour();
  for (size_t begin = 0; begin < ids.size(); begin += kRowTokens) {
    const auto row = std::span(ids).subspan(begin, std::min<size_t>(kRowTokens, ids.size() - begin));
    print(fmt::format("{:>12}  {}\n", options.at + begin, row_text(split, row, options.at + begin, in_colour)));
  }
}

}  // namespace

void add_data_show_command(Command& data) {
  Command* command = data.add_subcommand("show", "Print tokens of a data set");
  command->footer(
      "A row is the position of its first token and 16 tokens: in two colours in turn on a terminal (NO_COLOR=1 turns that off), else with │ "
      "between\n"
      "them. ↵ is a newline, ⇥ a tab, ■ the end of a document.\n"
      "Example: lapilli data show stories --split val --at 1000");
  const auto options = std::make_shared<ShowOptions>();
  command->add_option("dir", options->dir, "Folder made by `data build` or `data import`")->required()->type_name("DIR");
  command->add_option("--split", options->split, "train or val")->check(one_of({"train", "val"}))->capture_default_str();
  command->add_option("--at", options->at, "Position of the first token")->type_name("N")->capture_default_str();
  command->add_option("--rows", options->rows, "How many rows")->check(between(1U, 1U << 20))->type_name("R")->capture_default_str();
  command->add_flag("--json", options->as_json, "Print a JSON object instead of text");
  command->callback([options] { show(*options); });
}

}  // namespace lapilli
