#pragma once
// The only list of configuration keys. Parsing, writing, overrides, range checks and suggestions of the nearest name
// use it.

#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/transformer/config.h"

namespace lapilli {

// Throws Error naming key and value when one is out of range or two exclude each other.
void validate_config(const Config& config);
// The part of it that says how large a micro-batch of a model may be. `whose`: "" or "the teacher's ".
void validate_micro_batch(const ModelConfig& model, const DataConfig& data, uint32_t context, std::string_view whose);

namespace schema {

// A choice of names: an enumeration, or a string restricted to them.
struct Choice {
  std::span<const char* const> names;
  std::function<std::string()> get;
  std::function<void(const std::string&)> set;  // REQUIRES: one of the names

  bool has(std::string_view word) const;
};

// The field of a Config that holds a key's value.
using Field = std::variant<uint32_t*, uint64_t*, float*, double*, bool*, std::string*, std::vector<DataShare>*, Choice>;

// The valid range of a number.
struct Range {
  double low = 0, high = std::numeric_limits<double>::infinity();
  bool low_excluded = false, high_excluded = false;

  bool contains(double value) const;  // false for NaN and infinity
  std::string to_string() const;      // "at least 0 and below 1"
};

// Whether a run may be resumed with another value of the key. Keys that say what is trained, on which stream of data, make it the run it is.
enum class Change { allowed, refused };

struct Key {
  const char* section;
  const char* name;
  Field (*field)(Config&);
  Range range{};
  Change on_resume = Change::allowed;

  std::string path() const { return std::string(section) + "." + name; }
};

std::span<const Key> keys();  // grouped by section
const Key* find_key(std::string_view section, std::string_view name);
std::string nearest_key(std::string_view section, std::string_view name);  // "model.layers"
std::string nearest_section(std::string_view name);

struct Difference {
  const Key* key;
  std::string before, now;  // as TOML
};
std::vector<Difference> differences(const Config& before, const Config& now);

// As TOML: 3, 0.001, true, "a\"b".
std::string toml_string(std::string_view text);
std::string value_text(const Field& field);
std::string words_text(const Choice& choice);  // one of "auto", "full", "vocab"

// Insertions, deletions and replacements of one character (Levenshtein).
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace schema

}  // namespace lapilli
