#pragma once
// How much of a text its tokens lose. Models trained here lose nothing; SentencePiece models made elsewhere may lack pieces for some
// characters (they become <unk>, which decodes to nothing) or change the text before they tokenize it (NFKC, lower case, spaces).

#include <cstdint>
#include <string_view>

namespace lapilli {

// Bytes of the characters of `text` that `decoded` does not give back in order: those outside a longest common subsequence of characters,
// longest in bytes of text. 0 if they are equal; text.size() if they have nothing in common. Time is proportional to the product of
// the lengths between the first and the last difference. Both may be any bytes.
uint64_t lost_bytes(std::string_view text, std::string_view decoded);

}  // namespace lapilli
