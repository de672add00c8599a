#pragma once
// UTF-8: finding malformed text, and showing any bytes as text.

#include <cstddef>
#include <string>
#include <string_view>

namespace lapilli {

inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Bytes of the character with this first byte, 0 if it cannot be a first byte.
size_t utf8_length(char first_byte);

// Offset of the first byte that is not part of a well-formed UTF-8 character, or npos. With `is_partial`, a character
// cut off by the end of `text` is not an error.
size_t find_invalid_utf8(std::string_view text, bool is_partial = false);

// Bytes at the end of `text` that begin a character and may be completed by later text: 0 to 3.
size_t unfinished_utf8_bytes(std::string_view text);

// Any bytes as text that is safe to show: control characters (but not newline and tab) and bytes that are not UTF-8 become \x1B and the
// like; everything else is unchanged. The result is UTF-8. A backslash is unchanged too: this is for reading, not for reading back.
std::string printable(std::string_view bytes);

}  // namespace lapilli
