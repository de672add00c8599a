#include "engine/base/json.h"

#include <nlohmann/json.hpp>

namespace lapilli {

nlohmann::ordered_json parse_json(std::string_view text) { return nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false); }
nlohmann::json parse_sorted_json(std::string_view text) { return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false); }

std::string json_text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace lapilli
