#include "tokenizer/text/corpus.h"

#include <algorithm>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace lapilli {

namespace {

enum class LineKind { text, separator, undecided };
struct LineStart {
  LineKind kind = LineKind::text;
  size_t separator_bytes = 0;  // its newline included
};

// What the line at the start of `text` is; undecided where that depends on what follows the text.
LineStart classify_line(std::string_view text, bool is_end_of_file) {
  const LineStart cut_short{is_end_of_file ? LineKind::text : LineKind::undecided};
  size_t at = 0;
  for (const std::string_view part : {kByteOrderMark, kDocumentSeparator}) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with(part)) {
      at += part.size();
    } else if (part.starts_with(rest)) {
      return cut_short;
    } else if (part == kDocumentSeparator) {
      return {};
    }
  }
  const size_t end = std::min(text.find_first_not_of(" \t\r", at), text.size());
  if (end - at > kMaxBlanksAfterSeparator) return {};
  if (end < text.size()) return text[end] == '\n' ? LineStart{LineKind::separator, end + 1} : LineStart{};
  return is_end_of_file ? LineStart{LineKind::separator, end} : cut_short;
}

}  // namespace

std::string names_of(std::span<const std::filesystem::path> inputs) {
  if (inputs.size() == 1) return fmt::format("'{}'", inputs[0].string());
  return fmt::format("'{}' and {} more file{}", inputs[0].string(), inputs.size() - 1, inputs.size() == 2 ? "" : "s");
}

CorpusReader::CorpusReader(std::span<const std::filesystem::path> inputs, CorpusOptions options)
    : inputs_(inputs.begin(), inputs.end()), options_(std::move(options)) {
  options_.block_bytes = std::max<size_t>(options_.block_bytes, 64);
  if (inputs_.empty()) throw Error("no text given: name at least one input file (-i FILE)");
  for (const std::filesystem::path& path : inputs_) {
    std::error_code failure;
    const std::filesystem::file_status status = std::filesystem::status(path, failure);
    if (is_directory(status)) throw Error("cannot read '{}' as text: it is a folder", path.string());
    if (exists(status) && !is_regular_file(status))
      throw Error("cannot read '{}' as text: it is a pipe or a device, and only a file can be read more than once", path.string());
    const uint64_t size_bytes = std::filesystem::file_size(path, failure);
    if (failure) throw Error("cannot read '{}': {}", path.string(), failure.message());
    if (size_bytes == 0) throw Error("'{}' is empty: there is no text in it to learn from", path.string());
  }
}

uint64_t CorpusReader::total_input_bytes() {
  if (!total_input_bytes_) {
    total_input_bytes_ = 0;
    for (const std::filesystem::path& path : inputs_) *total_input_bytes_ += decompressed_size(path);
  }
  return *total_input_bytes_;
}

void CorpusReader::open_next_file() {
  file_index_ = next_file_++;
  const std::filesystem::path& path = inputs_[file_index_];
  if (JsonLines::is_name(path)) {
    lines_.emplace(path, options_.field, options_.block_bytes);
    return;
  }
  file_.emplace(path);
  file_ended_ = false;
  buffer_.clear();
  buffer_offset_ = begin_ = checked_ = 0;
  at_line_start_ = document_begins_ = true;
}

// Moves the remaining text to the front and reads another block after it. False at the end of the file.
bool CorpusReader::fill() {
  if (file_ended_) return false;
  buffer_offset_ += begin_;
  buffer_.erase(0, begin_);
  checked_ -= begin_;
  begin_ = 0;
  const size_t old_size = buffer_.size();
  buffer_.resize(old_size + options_.block_bytes);
  const size_t read_bytes = file_->read(std::span(buffer_).subspan(old_size));
  buffer_.resize(old_size + read_bytes);
  file_ended_ = read_bytes < options_.block_bytes;
  check_block(old_size);
  if (buffer_offset_ + old_size == 0 && buffer_.starts_with(kByteOrderMark)) begin_ = kByteOrderMark.size();
  return read_bytes > 0;
}

// Validates the text from `begin` on, and leaves a character that the block truncates for the next call.
void CorpusReader::check_block(size_t begin) {
  const std::string name = inputs_[file_index_].string();
  const std::string_view unchecked = std::string_view(buffer_).substr(checked_);
  const size_t nul = std::string_view(buffer_).find('\0', begin);
  const size_t bad = find_invalid_utf8(unchecked, !file_ended_);
  if (nul != std::string::npos && (bad == std::string_view::npos || nul < checked_ + bad)) {
    throw Error("'{}' is binary, not text: NUL byte at offset {}", name, buffer_offset_ + nul);
  }
  if (bad != std::string_view::npos) {
    throw Error(
        "'{}' is not UTF-8 text: malformed character (byte 0x{:02X}) at offset {}; convert it first, for example with "
        "iconv -t UTF-8",
        name, static_cast<uint8_t>(unchecked[bad]), buffer_offset_ + checked_ + bad);
  }
  checked_ = buffer_.size() - (file_ended_ ? 0 : unfinished_utf8_bytes(unchecked));
}

// Returns validated text up to the next separator line. False if more must be read first (or nothing is left).
bool CorpusReader::take_line_block(Piece& piece) {
  const std::string_view text(buffer_.data(), checked_);
  size_t position = begin_, skip = 0;
  bool separated = false;
  while (position < text.size()) {
    if (at_line_start_) {
      const LineStart line = classify_line(text.substr(position), file_ended_);
      skip = line.separator_bytes;
      separated = line.kind == LineKind::separator;
      if (line.kind != LineKind::text) break;
    }
    const size_t newline = text.find('\n', position);
    at_line_start_ = newline != std::string_view::npos;
    position = at_line_start_ ? newline + 1 : text.size();
  }
  piece.text = text.substr(begin_, position - begin_);
  piece.starts_document = document_begins_ && !piece.text.empty();
  if (piece.starts_document) {
    document_begins_ = false;
    ++document_count_;
  }
  begin_ = position + skip;
  if (separated) document_begins_ = true;
  return !piece.text.empty() || separated;
}

bool CorpusReader::next_of_file(Piece& piece) {
  while (true) {
    while (take_line_block(piece)) {
      if (!piece.text.empty()) return true;
    }
    if (!fill() && begin_ == checked_ && file_ended_) return false;
  }
}

bool CorpusReader::next_of_json_lines(Piece& piece) {
  do {
    if (!lines_->next(buffer_)) return false;
  } while (buffer_.empty());
  piece = {.text = buffer_, .starts_document = true};
  ++document_count_;
  return true;
}

bool CorpusReader::next(Piece& piece) {
  while (true) {
    if (file_ && next_of_file(piece)) return true;
    if (lines_ && next_of_json_lines(piece)) return true;
    file_.reset();
    lines_.reset();
    if (next_file_ == inputs_.size()) {
      if (document_count_ == 0) throw Error("{} {} no text", names_of(inputs_), inputs_.size() == 1 ? "holds" : "hold");
      return false;
    }
    open_next_file();
  }
}

}  // namespace lapilli
