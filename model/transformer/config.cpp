#include "model/transformer/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <sstream>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "model/attention/attention.h"
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

std::string place(const std::string& origin, const toml::node& node) {
  return fmt::format("{}:{}", origin, node.source().begin.line);
}

bool comes_before(const toml::node& a, const toml::node& b) {
  const toml::source_position& x = a.source().begin;
  const toml::source_position& y = b.source().begin;
  return x.line != y.line ? x.line < y.line : x.column < y.column;
}

// toml++ sorts by name; errors are told in the order of the text.
std::vector<std::pair<std::string, const toml::node*>> in_order(const toml::table& table) {
  std::vector<std::pair<std::string, const toml::node*>> entries;
  for (const auto& [key, node] : table) entries.emplace_back(key.str(), &node);
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return comes_before(*a.second, *b.second);
  });
  return entries;
}

const Key& require_key(const std::string& section, const std::string& name, const toml::node& value,
                       const std::string& where) {
  const Key* key = schema::find_key(section, name);
  if (key == nullptr) {
    throw Error("{}: there is no key {}.{} (= {}); the nearest is {}", where, section, name, text_of(value),
                schema::nearest_key(section, name));
  }
  return *key;
}

std::vector<Assignment> assignments_of(const toml::table& table, const std::string& origin) {
  std::vector<Assignment> assignments;
  for (const auto& [section, node] : in_order(table)) {
    const bool known = schema::nearest_section(section) == section;
    const toml::table* keys = node->as_table();
    if (known && keys == nullptr) {
      throw Error("{}: {} = {}, but {} is a section: write [{}]", place(origin, *node), section, text_of(*node),
                  section, section);
    }
    if (!known && keys == nullptr) {
      throw Error("{}: there is no key {} (= {}) outside of the sections; the nearest is {}", place(origin, *node),
                  section, text_of(*node), schema::nearest_key("", section));
    }
    if (!known) {
      throw Error("{}: there is no section [{}]; the nearest is [{}]", place(origin, *node), section,
                  schema::nearest_section(section));
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

// The right side of an override: TOML, or else a string as it stands.
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

// Puts one value into its field, or says why it cannot be.
class Setter {
 public:
  explicit Setter(const Assignment& assignment) : said_(assignment) {}

  void operator()(uint32_t* field) const { *field = static_cast<uint32_t>(integer(UINT32_MAX)); }
  void operator()(uint64_t* field) const { *field = integer(INT64_MAX); }
  void operator()(float* field) const { *field = static_cast<float>(number(std::numeric_limits<float>::max())); }
  void operator()(double* field) const { *field = number(std::numeric_limits<double>::max()); }
  void operator()(bool* field) const { *field = typed<bool>("true or false"); }
  void operator()(std::string* field) const { *field = typed<std::string>("a string"); }
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
    if (value < 0 || static_cast<uint64_t>(value) > most || !said_.key->range.contains(static_cast<double>(value))) {
      fail(range_within(static_cast<double>(value), static_cast<double>(most)));
    }
    return static_cast<uint64_t>(value);
  }

  double number(double most) const {
    const double value = said_.value->is_integer() ? static_cast<double>(said_.value->as_integer()->get())
                                                   : typed<double>("a number");
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

void apply_preset(ModelConfig& model) {
  const bool llama = model.arch == Arch::llama;
  model.norm = llama ? NormKind::rmsnorm : NormKind::layernorm;
  model.mlp = llama ? MlpKind::swiglu : MlpKind::gelu;
  model.position = llama ? PositionKind::rope : PositionKind::learned;
  model.bias = !llama;
  model.tie_embeddings = !llama;
}

// Two thirds of 4D give the three matrices of SwiGLU the size of the two of GELU (Shazeer, "GLU variants", 2020).
uint32_t default_ffn_dim(const ModelConfig& model) {
  if (model.mlp == MlpKind::gelu) return 4 * model.dim;
  return ((8 * model.dim + 2) / 3 + 31) / 32 * 32;
}

struct RangeCheck {
  const Key& key;
  void number(double value, const Field& field) const {
    if (key.range.contains(value)) return;
    throw Error("{} = {} must be {}", key.path(), schema::value_text(field), key.range.to_string());
  }
  template <typename T>
  void operator()(T* field) const {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) number(static_cast<double>(*field), field);
  }
  void operator()(const Choice& choice) const {
    if (choice.has(choice.get())) return;
    throw Error("{} = {} must be {}", key.path(), schema::value_text(choice), schema::words_text(choice));
  }
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

void validate_config(const Config& config) {
  Config copy = config;
  for (const Key& key : schema::keys()) std::visit(RangeCheck{key}, key.field(copy));

  const ModelConfig& m = config.model;
  if (m.dim % m.heads != 0) throw Error("model.dim = {} is not a multiple of model.heads = {}", m.dim, m.heads);
  if (m.heads % m.kv_heads != 0) {
    throw Error("model.heads = {} is not a multiple of model.kv_heads = {}", m.heads, m.kv_heads);
  }
  if (m.head_width() > kWidestHead) {
    throw Error("model.dim / model.heads = {} is wider than the {} that attention takes; raise model.heads", m.head_width(), kWidestHead);
  }
  if (m.position == PositionKind::rope && m.head_width() % 2 != 0) {
    throw Error("model.dim / model.heads = {} must be even for model.position = \"rope\", which turns pairs",
                m.head_width());
  }
  if (uint64_t{config.data.batch} * m.context >= uint64_t{1} << 31) {
    throw Error("data.batch = {} times model.context = {} must be below 2^31 tokens", config.data.batch, m.context);
  }
  // Kernels count elements in 31 bits.
  const uint64_t widest = std::max({m.mlp == MlpKind::swiglu ? 2 * m.ffn_dim : m.ffn_dim, m.qkv_width(), m.dim});
  if (uint64_t{config.data.batch} * m.context * widest >= uint64_t{1} << 31) {
    throw Error("data.batch = {} times model.context = {} is too large a micro-batch for layers {} wide (2^31 elements and "
                "more); lower data.batch and raise data.accumulate",
                config.data.batch, m.context, widest);
  }
  const OptimConfig& o = config.optim;
  if (o.schedule != Schedule::constant && o.min_lr > o.lr) {
    throw Error("optim.min_lr = {} is above optim.lr = {}", o.min_lr, o.lr);
  }
  if (config.loss.distillation > 0 && config.teacher.empty())
    throw Error("loss.distillation = {} needs a model to learn from: set loss.teacher to a run or a checkpoint", config.loss.distillation);
  if (!config.teacher.empty() && config.loss.distillation == 0)
    throw Error("loss.teacher = \"{}\" has no say with loss.distillation = 0: set it to its share of the objective, up to 1", config.teacher);
}

double learning_rate(const OptimConfig& optim, uint64_t step, uint64_t steps) {
  CHECK(step >= 1, "steps count from 1");
  if (step < optim.warmup) return optim.lr * static_cast<double>(step) / optim.warmup;
  if (optim.schedule == Schedule::constant) return optim.lr;
  const double end = static_cast<double>(steps);
  const double flat_until = optim.schedule == Schedule::wsd ? 0.8 * end : 0;
  const double begin = std::max<double>(optim.warmup, flat_until);
  const double now = static_cast<double>(step);
  if (now <= begin) return optim.lr;
  if (now >= end) return optim.min_lr;
  const double done = (now - begin) / (end - begin);  // (0, 1)
  const double left = optim.schedule == Schedule::cosine ? (1 + std::cos(std::numbers::pi * done)) / 2 : 1 - done;
  return optim.min_lr + left * (optim.lr - optim.min_lr);
}

}  // namespace lapilli
