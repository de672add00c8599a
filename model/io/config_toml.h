#pragma once
// A configuration as TOML: what users write, and what a run folder keeps.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/transformer/config.h"

namespace lapilli {

// Reads TOML text. `origin` names it in errors; `overrides` are "section.key=value", applied after it; a value that is
// no TOML is taken as a string (model.arch=llama). The preset of `arch`, wherever that was said last, is applied first,
// then what text and overrides say, then the defaults that follow from other keys. Errors are one sentence with the
// line, the key and the value: unknown key or section (and the nearest right name), wrong type, impossible value.
Config parse_config(std::string_view toml, const std::string& origin, const std::vector<std::string>& overrides = {});
Config load_config(const std::filesystem::path& path, const std::vector<std::string>& overrides = {});

// Every key with its value: parse_config() of it gives the same configuration, but for the vocabulary size.
std::string to_toml(const Config& config);

}  // namespace lapilli
