#include "tokenizer/text/json_lines.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/utf8.h"

namespace lapilli {

namespace {
constexpr size_t kMaxLineBytes = 256 << 20;
}

bool JsonLines::is_name(const std::filesystem::path& path) {
  const std::string suffix = without_compression_suffix(path).extension().string();
  return suffix == ".jsonl" || suffix == ".ndjson";
}

JsonLines::JsonLines(const std::filesystem::path& path, std::string field, size_t block_bytes)
    : name_(path.string()), field_(std::move(field)), file_(path), block_bytes_(std::max<size_t>(block_bytes, 1)) {}

std::string JsonLines::place() const { return fmt::format("'{}' line {}", name_, line_); }

bool JsonLines::next_line(std::string_view& line) {
  size_t searched = begin_;
  while (true) {
    const size_t newline = buffer_.find('\n', searched);
    if (newline != std::string::npos || file_ended_) {
      if (begin_ == buffer_.size()) return false;
      const size_t end = std::min(newline, buffer_.size());
      line = std::string_view(buffer_).substr(begin_, end - begin_);
      begin_ = std::min(end + 1, buffer_.size());
      ++line_;
      return true;
    }
    buffer_.erase(0, std::exchange(begin_, 0));
    searched = buffer_.size();
    if (searched > kMaxLineBytes)
      throw Error("'{}' line {} has more than {} MiB: is it JSON Lines, one object a line?", name_, line_ + 1, kMaxLineBytes >> 20);
    buffer_.resize(searched + block_bytes_);
    const size_t read_bytes = file_.read(std::span(buffer_).subspan(searched));
    buffer_.resize(searched + read_bytes);
    file_ended_ = read_bytes < block_bytes_;
  }
}

std::string JsonLines::text_of(std::string_view line) const {
  nlohmann::ordered_json json = parse_json(line);
  if (json.is_discarded()) throw Error("{} is not JSON in UTF-8: a .jsonl file has one JSON object a line", place());
  if (!json.is_object()) throw Error("{} is a JSON {}, not an object like {{\"{}\": \"...\"}}", place(), json.type_name(), field_);
  const auto found = json.find(field_);
  if (found == json.end()) throw Error("{} has no field \"{}\": name the one that holds the text with --field", place(), field_);
  if (!found->is_string()) throw Error("{}: the field \"{}\" is a JSON {}, not a string", place(), field_, found->type_name());
  std::string text = std::move(found->get_ref<std::string&>());
  if (const size_t nul = text.find('\0'); nul != std::string::npos)
    throw Error("{}: the text of \"{}\" is binary: NUL byte at offset {}", place(), field_, nul);
  return text;
}

bool JsonLines::next(std::string& text) {
  for (std::string_view line; next_line(line);) {
    if (line_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    text = text_of(line);
    return true;
  }
  return false;
}

}  // namespace lapilli
