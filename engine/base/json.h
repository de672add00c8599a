#pragma once
// JSON text, read and written in one place: nlohmann's parser and writer are templates that would be compiled in every file that uses them.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace lapilli {

// Objects keep the order of the text. A text that is not JSON gives a value of which is_discarded() holds; nothing is thrown.
nlohmann::ordered_json parse_json(std::string_view text);

// For objects of many thousand keys, where parse_json() searches all keys for each: objects are sorted by key.
nlohmann::json parse_sorted_json(std::string_view text);

// One line, or with `indent` spaces a level. Bytes that are not UTF-8 (names of drivers, paths) become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace lapilli
