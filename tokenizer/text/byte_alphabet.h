#pragma once
// GPT-2's alphabet: a printable character for each byte, so that pieces of any bytes can be written in JSON. A byte that is a visible character of
// Latin-1 stands for itself; the others, in order, are U+0100, U+0101 ...

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lapilli {

// The character of a byte, in UTF-8.
const std::string& byte_character(uint8_t byte);

// The bytes that a piece stands for; nullopt if one of its characters is not in the alphabet.
std::optional<std::string> bytes_of_characters(std::string_view piece);

}  // namespace lapilli
