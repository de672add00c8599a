#pragma once
// A configuration as TOML, as users write it and as a run folder stores it.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/transformer/config.h"

namespace lapilli {

// Parses TOML text. `origin` names it in errors; `overrides` are "section.key=value", applied after it; a value that is
// not TOML is a string (model.arch=llama). Order: the preset of the final `arch`, then text and overrides, then the
// defaults derived from other keys. Errors are one sentence with the line, the key and the value: unknown key or
// section (with the nearest valid name), wrong type, impossible value.
Config parse_config(std::string_view text, const std::string& origin, const std::vector<std::string>& overrides = {});
Config load_config(const std::filesystem::path& path, const std::vector<std::string>& overrides = {});

// Every key with its value: parse_config() of it gives the same configuration, except the vocabulary size.
std::string to_toml(const Config& config);

}  // namespace lapilli
