#include "tokenizer/text/text_loss.h"

#include <algorithm>
#include <span>
#include <vector>

#include "engine/base/utf8.h"

namespace lapilli {

namespace {

// A byte that begins no character stands alone.
std::vector<std::string_view> characters_of(std::string_view text) {
  std::vector<std::string_view> characters;
  while (!text.empty()) {
    characters.push_back(text.substr(0, std::max<size_t>(utf8_length(text[0]), 1)));
    text.remove_prefix(characters.back().size());
  }
  return characters;
}

}  // namespace

uint64_t lost_bytes(std::string_view text, std::string_view decoded) {
  if (text == decoded) return 0;
  const std::vector<std::string_view> text_characters = characters_of(text), decoded_characters = characters_of(decoded);
  std::span<const std::string_view> a = text_characters, b = decoded_characters;
  while (!a.empty() && !b.empty() && a.front() == b.front()) a = a.subspan(1), b = b.subspan(1);
  while (!a.empty() && !b.empty() && a.back() == b.back()) a = a.first(a.size() - 1), b = b.first(b.size() - 1);
  // kept[j]: bytes of the longest common subsequence of the characters of `a` so far and b[0..j).
  std::vector<uint64_t> kept(b.size() + 1, 0);
  uint64_t bytes = 0;
  for (const std::string_view character : a) {
    bytes += character.size();
    uint64_t diagonal = 0;  // kept[j] before this character
    for (size_t j = 0; j < b.size(); ++j) {
      const uint64_t with_match = character == b[j] ? diagonal + character.size() : 0;
      diagonal = kept[j + 1];
      kept[j + 1] = std::max({kept[j + 1], kept[j], with_match});
    }
  }
  return bytes - kept.back();
}

}  // namespace lapilli
