#include "engine/base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

namespace lapilli {

namespace {

uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

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

// C0, DEL, and C1 (U+0080 to U+009F), some of which terminals obey too.
bool is_control(std::string_view character) {
  const uint8_t lead = byte_at(character, 0);
  if (character.size() == 1) return (lead < 0x20 && lead != '\n' && lead != '\t') || lead == 0x7F;
  return lead == 0xC2 && byte_at(character, 1) < 0xA0;
}

}  // namespace

size_t utf8_length(char first_byte) {
  const auto lead = static_cast<uint8_t>(first_byte);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

size_t find_invalid_utf8(std::string_view text, bool is_partial) {
  size_t i = 0;
  while (i < text.size()) {
    while (i + 8 <= text.size() && is_ascii8(text.data() + i)) i += 8;
    if (i == text.size()) break;
    const uint8_t lead = byte_at(text, i);
    const size_t length = utf8_length(text[i]);
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

size_t unfinished_utf8_bytes(std::string_view text) {
  for (size_t count = 1; count <= std::min<size_t>(3, text.size()); ++count) {
    const std::string_view tail = text.substr(text.size() - count);
    const size_t length = utf8_length(tail[0]);
    if (length > 0) return length > count && find_invalid_utf8(tail, true) == std::string_view::npos ? count : 0;
  }
  return 0;
}

std::string printable(std::string_view bytes) {
  std::string shown;
  shown.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = utf8_length(bytes[0]);
    const bool is_whole = length > 0 && find_invalid_utf8(bytes.substr(0, length)) == std::string_view::npos;
    const std::string_view character = bytes.substr(0, is_whole ? length : 1);
    if (is_whole && !is_control(character)) {
      shown += character;
    } else {
      for (const char byte : character) fmt::format_to(std::back_inserter(shown), "\\x{:02X}", static_cast<uint8_t>(byte));
    }
    bytes.remove_prefix(character.size());
  }
  return shown;
}

}  // namespace lapilli
