#include "tokenizer/text/byte_alphabet.h"

#include <array>

#include "engine/base/utf8.h"

namespace lapilli {

namespace {

constexpr uint32_t kFirstSubstitute = 0x100, kSubstitutes = 68;

bool stands_for_itself(uint32_t byte) { return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD); }

// All code points of the alphabet have one or two bytes in UTF-8.
std::string to_utf8(uint32_t code_point) {
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<int, kFirstSubstitute + kSubstitutes> bytes;  // by code point; -1: not in the alphabet

  Alphabet() {
    bytes.fill(-1);
    uint32_t substitute = kFirstSubstitute;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t code_point = stands_for_itself(byte) ? byte : substitute++;
      characters[byte] = to_utf8(code_point);
      bytes[code_point] = static_cast<int>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

const std::string& byte_character(uint8_t byte) { return alphabet().characters[byte]; }

std::optional<std::string> bytes_of_characters(std::string_view piece) {
  std::string bytes;
  while (!piece.empty()) {
    const size_t length = utf8_length(piece[0]);
    if (length == 0 || length > 2 || length > piece.size()) return std::nullopt;
    const auto lead = static_cast<uint8_t>(piece[0]);
    const uint32_t code_point = length == 1 ? lead : (lead & 0x1FU) << 6 | (static_cast<uint8_t>(piece[1]) & 0x3FU);
    if (code_point >= alphabet().bytes.size() || alphabet().bytes[code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(alphabet().bytes[code_point]));
    piece.remove_prefix(length);
  }
  return bytes;
}

}  // namespace lapilli
