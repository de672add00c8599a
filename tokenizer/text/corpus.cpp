#include "tokenizer/text/corpus.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"

namespace lapilli {

namespace {

uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// Length of the character with this first byte, 0 if it cannot be a first byte.
size_t sequence_length(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// Well-formed second bytes (Unicode standard, table 3-7): no overlong forms, surrogates, or values above U+10FFFF.
bool is_second_byte(uint8_t lead, uint8_t second) {
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  return second >= low && second <= high;
}

bool is_ascii8(const char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return (word & 0x8080808080808080ull) == 0;
}

}  // namespace

size_t find_invalid_utf8(std::string_view text, bool is_partial) {
  size_t i = 0;
  while (i < text.size()) {
    while (i + 8 <= text.size() && is_ascii8(text.data() + i)) i += 8;
    if (i == text.size()) break;
    const uint8_t lead = byte_at(text, i);
    const size_t length = sequence_length(lead);
    if (length == 0) return i;
    const size_t present = std::min(length, text.size() - i);
    for (size_t k = 1; k < present; ++k) {
      const uint8_t next = byte_at(text, i + k);
      if (k == 1 ? !is_second_byte(lead, next) : (next & 0xC0) != 0x80) return i;
    }
    if (present < length) return is_partial ? std::string_view::npos : i;
    i += length;
  }
  return std::string_view::npos;
}

CorpusReader::CorpusReader(std::span<const std::filesystem::path> inputs, size_t block_bytes)
    : inputs_(inputs.begin(), inputs.end()), block_bytes_(std::max<size_t>(block_bytes, 64)) {
  if (inputs_.empty()) throw Error("no text given: name at least one input file (-i FILE)");
  for (const std::filesystem::path& path : inputs_) {
    if (std::filesystem::is_directory(path)) throw Error("cannot read '{}' as text: it is a folder", path.string());
    std::error_code failure;
    const uint64_t size_bytes = std::filesystem::file_size(path, failure);
    if (failure) throw Error("cannot read '{}': {}", path.string(), failure.message());
    if (size_bytes == 0) throw Error("'{}' is empty: there is no text in it to learn from", path.string());
    total_input_bytes_ += size_bytes;
  }
}

void CorpusReader::open_next_file() {
  file_index_ = next_file_++;
  file_ = std::ifstream(inputs_[file_index_], std::ios::binary);
  if (!file_) throw Error("cannot read '{}': {}", inputs_[file_index_].string(), std::strerror(errno));
  file_open_ = true;
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
  buffer_.resize(old_size + block_bytes_);
  file_.read(buffer_.data() + old_size, static_cast<std::streamsize>(block_bytes_));
  const size_t read_bytes = static_cast<size_t>(file_.gcount());
  if (file_.bad()) throw Error("cannot read all of '{}': {}", inputs_[file_index_].string(), std::strerror(errno));
  buffer_.resize(old_size + read_bytes);
  file_ended_ = read_bytes < block_bytes_;
  check_block(old_size);
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
        name, byte_at(unchecked, bad), buffer_offset_ + checked_ + bad);
  }
  size_t end = buffer_.size();
  if (!file_ended_) {
    size_t last = end;  // start of the last character
    while (last > checked_ && end - last < 4) {
      --last;
      if ((byte_at(buffer_, last) & 0xC0) != 0x80) {
        if (last + sequence_length(byte_at(buffer_, last)) > end) end = last;
        break;
      }
    }
  }
  checked_ = end;
}

// Returns validated text up to the next separator line. False if more must be read first (or nothing is left).
bool CorpusReader::take_line_block(Piece& piece) {
  const std::string_view text(buffer_.data(), checked_);
  size_t position = begin_, skip = 0;
  bool separated = false;
  while (position < text.size()) {
    if (at_line_start_) {
      const std::string_view line = text.substr(position, kDocumentSeparator.size() + 1);
      const bool is_complete = line.size() > kDocumentSeparator.size() || file_ended_;
      if (!is_complete && kDocumentSeparator.starts_with(line)) break;
      if (is_complete && line.starts_with(kDocumentSeparator) && (line.size() == kDocumentSeparator.size() || line.back() == '\n')) {
        skip = line.size();
        separated = true;
        break;
      }
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

bool CorpusReader::next(Piece& piece) {
  while (true) {
    if (!file_open_) {
      if (next_file_ == inputs_.size()) return false;
      open_next_file();
    }
    while (take_line_block(piece)) {
      if (!piece.text.empty()) return true;
    }
    if (!fill()) file_open_ = !(begin_ == checked_ && file_ended_);
  }
}

}  // namespace lapilli
