#include "model/io/config_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <utility>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "model/io/config_schema.h"

namespace lapilli {

namespace {

using schema::Choice;
using schema::Field;
using schema::Key;
using schema::toml_string;

// One "key = value" as somebody wrote it.
struct Assignment {
  const Key* key;
  const toml::node* value;
  std::string where;  // "run.toml:12" or "--set model.layers=x"
};

std::string text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return toml_string(text->get());
  if (node.is_table()) return "{...}";
  if (node.is_array()) return "[...]";
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  return std::move(out).str();
}

std::string place(const std::string& origin, const toml::node& node) { return fmt::format("{}:{}", origin, node.source().begin.line); }

bool comes_before(const toml::node& a, const toml::node& b) {
  const toml::source_position& x = a.source().begin;
  const toml::source_position& y = b.source().begin;
  return x.line != y.line ? x.line < y.line : x.column < y.column;
}

// toml++ sorts by name; errors are reported in the order of the text.
std::vector<std::pair<std::string, const toml::node*>> in_order(const toml::table& table) {
  std::vector<std::pair<std::string, const toml::node*>> entries;
  for (const auto& [key, node] : table) entries.emplace_back(key.str(), &node);
  std::ranges::stable_sort(entries, [](const auto& a, const auto& b) { return comes_before(*a.second, *b.second); });
  return entries;
}

const Key& require_key(const std::string& section, const std::string& name, const toml::node& value, const std::string& where) {
  const Key* key = schema::find_key(section, name);
  if (key == nullptr) {
    throw Error("{}: there is no key {}.{} (= {}); the nearest is {}", where, section, name, text_of(value), schema::nearest_key(section, name));
  }
  return *key;
}

std::vector<Assignment> assignments_of(const toml::table& table, const std::string& origin) {
  std::vector<Assignment> assignments;
  for (const auto& [section, node] : in_order(table)) {
    const bool known = schema::nearest_section(section) == section;
    const toml::table* keys = node->as_table();
    if (known && keys == nullptr) {
      throw Error("{}: {} = {}, but {} is a section: write [{}]", place(origin, *node), section, text_of(*node), section, section);
    }
    if (!known && keys == nullptr) {
      throw Error("{}: there is no key {} (= {}) outside of the sections; the nearest is {}", place(origin, *node), section, text_of(*node),
                  schema::nearest_key("", section));
    }
    if (!known) {
      throw Error("{}: there is no section [{}]; the nearest is [{}]", place(origin, *node), section, schema::nearest_section(section));
    }
    for (const auto& [name, value] : in_order(*keys)) {
      const std::string where = place(origin, *value);
      assignments.push_back({&require_key(section, name, *value, where), value, where});
    }
  }
  return assignments;
}

toml::table parse_toml(std::string_view text, const std::string& origin) {
  try {
    return toml::parse(text, origin);
  } catch (const toml::parse_error& error) {
    throw Error("{}:{}: not TOML: {}", origin, error.source().begin.line, error.description());
  }
}

// The value of an override: TOML, or else a literal string.
toml::table parse_value(const std::string& text) {
  try {
    toml::table table = toml::parse("value = " + text);
    if (table.size() == 1) return table;
  } catch (const toml::parse_error&) {
  }
  toml::table table;
  table.insert("value", text);
  return table;
}

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == std::string_view::npos ? std::string() : std::string(text.substr(first, last - first + 1));
}

Assignment assignment_of(const std::string& override_text, toml::table& storage) {
  const std::string where = "--set " + override_text;
  const size_t equals = override_text.find('=');
  const std::string path = trimmed(std::string_view(override_text).substr(0, equals));
  const size_t dot = path.find('.');
  if (equals == std::string::npos || dot == std::string::npos) {
    throw Error("{}: expected section.key=value, as in --set optim.lr=3e-4", where);
  }
  const std::string text = trimmed(std::string_view(override_text).substr(equals + 1));
  storage = parse_value(text);
  const Key& key = require_key(path.substr(0, dot), path.substr(dot + 1), *storage.get("value"), where);
  Config any;
  if (std::holds_alternative<std::string*>(key.field(any)) && !storage.get("value")->is_string()) {
    storage.insert_or_assign("value", text);  // a folder may well be called 2024
  }
  return {&key, storage.get("value"), where};
}

// Stores a value in its field, or throws with the reason.
class Setter {
 public:
  explicit Setter(const Assignment& assignment) : said_(assignment) {}

  void operator()(uint32_t* field) const { *field = static_cast<uint32_t>(integer(UINT32_MAX)); }
  void operator()(uint64_t* field) const { *field = integer(INT64_MAX); }
  void operator()(float* field) const { *field = static_cast<float>(number(std::numeric_limits<float>::max())); }
  void operator()(double* field) const { *field = number(std::numeric_limits<double>::max()); }
  void operator()(bool* field) const { *field = typed<bool>("true or false"); }
  void operator()(std::string* field) const { *field = typed<std::string>("a string"); }
  void operator()(std::vector<DataShare>* field) const {
    const std::string wanted = R"(a list of folders and weights above 0, as in [["a", 0.7], ["b", 0.3]])";
    const toml::array* sets = said_.value->as_array();
    if (sets == nullptr) fail(wanted);
    field->clear();
    for (const toml::node& set : *sets) {
      const toml::array* pair = set.as_array();
      if (pair == nullptr || pair->size() != 2) fail(wanted);
      const auto dir = (*pair)[0].value<std::string>();
      const auto weight = (*pair)[1].value<double>();  // whole numbers, too
      if (!dir || dir->empty() || !weight || !(*weight > 0) || !std::isfinite(*weight)) fail(wanted);
      field->push_back({.dir = *dir, .weight = *weight});
    }
  }
  void operator()(const Choice& choice) const {
    const std::string words = schema::words_text(choice);
    const auto word = typed<std::string>(words);
    if (!choice.has(word)) fail(words);
    choice.set(word);
  }

 private:
  [[noreturn]] void fail(const std::string& wanted) const {
    throw Error("{}: {} = {} must be {}", said_.where, said_.key->path(), text_of(*said_.value), wanted);
  }

  template <typename T>
  T typed(const std::string& wanted) const {
    const auto* value = said_.value->as<T>();
    if (value == nullptr) fail(wanted);
    return value->get();
  }

  uint64_t integer(uint64_t most) const {
    const auto value = typed<int64_t>("a whole number");
    if (value < 0 || std::cmp_greater(value, most) || !said_.key->range.contains(static_cast<double>(value))) {
      fail(range_within(static_cast<double>(value), static_cast<double>(most)));
    }
    return static_cast<uint64_t>(value);
  }

  double number(double most) const {
    const double value = said_.value->is_integer() ? static_cast<double>(said_.value->as_integer()->get()) : typed<double>("a number");
    if (!std::isfinite(value)) fail("a finite number");
    if (!said_.key->range.contains(value) || value > most) fail(range_within(value, most));
    return value;
  }

  std::string range_within(double value, double most) const {
    schema::Range range = said_.key->range;
    if (value > most) range.high = std::min(range.high, most);
    return range.to_string();
  }

  const Assignment& said_;
};

}  // namespace

Config parse_config(std::string_view text, const std::string& origin, const std::vector<std::string>& overrides) {
  const toml::table table = parse_toml(text, origin);
  std::vector<Assignment> assignments = assignments_of(table, origin);
  std::vector<toml::table> storage(overrides.size());
  for (size_t i = 0; i < overrides.size(); ++i) assignments.push_back(assignment_of(overrides[i], storage[i]));

  Config config;
  const auto apply_where = [&](auto&& wanted) {
    for (const Assignment& said : assignments) {
      if (wanted(*said.key)) std::visit(Setter(said), said.key->field(config));
    }
  };
  const Key* arch = schema::find_key("model", "arch");
  apply_where([&](const Key& key) { return &key == arch; });
  apply_preset(config.model);
  apply_where([&](const Key& key) { return &key != arch; });

  std::set<std::string> given;
  for (const Assignment& said : assignments) given.insert(said.key->path());
  if (!given.contains("model.kv_heads")) config.model.kv_heads = config.model.heads;
  if (!given.contains("model.ffn_dim")) config.model.ffn_dim = default_ffn_dim(config.model);
  if (!given.contains("optim.min_lr")) config.optim.min_lr = config.optim.lr / 10;
  try {
    validate_config(config);
  } catch (const Error& error) {
    throw Error("{}: {}", origin, error.what());
  }
  return config;
}

Config load_config(const std::filesystem::path& path, const std::vector<std::string>& overrides) {
  return parse_config(read_text_file(path), path.string(), overrides);
}

std::string to_toml(const Config& config) {
  Config copy = config;  // fields are found in something writable
  std::string text;
  std::string_view section;
  for (const Key& key : schema::keys()) {
    if (section != key.section) {
      section = key.section;
      text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", section);
    }
    text += fmt::format("{} = {}\n", key.name, schema::value_text(key.field(copy)));
  }
  return text;
}

}  // namespace lapilli
