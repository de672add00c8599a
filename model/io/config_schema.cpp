#include "model/io/config_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "engine/base/error.h"
#include "model/attention/attention_kernel.h"

namespace lapilli {

namespace {

// Strings that may be one of a few.
constexpr const char* kOptimizers[] = {"adamw"};

template <typename E>
const char* name_of(E value, std::span<const char* const> names) {
  const auto index = static_cast<size_t>(value);
  CHECK(index < names.size(), "enumerator {} of {}", index, names.size());
  return names[index];
}

using schema::Change;
using schema::Choice;
using schema::Field;
using schema::Key;
using schema::Range;

template <typename E>
Field choice(E& field, std::span<const char* const> names) {
  return Choice{names, [&field, names] { return std::string(name_of(field, names)); },
                [&field, names](const std::string& name) {
                  const auto found = std::ranges::find(names, name);
                  CHECK(found != names.end(), "'{}' is none of the names", name);
                  field = static_cast<E>(found - names.begin());
                }};
}

Field choice(std::string& field, std::span<const char* const> names) {
  return Choice{names, [&field] { return field; }, [&field](const std::string& name) { field = name; }};
}

constexpr Range between(double low, double high) { return {.low = low, .high = high}; }
constexpr Range at_least(double low) { return {.low = low}; }
constexpr Range above(double low) { return {.low = low, .low_excluded = true}; }
constexpr Range kFraction = {.low = 0, .high = 1, .high_excluded = true};
// Widths and counts stay where products of a few of them fit 64 bits and shapes fit 32.
constexpr Range kWidth = between(1, 1 << 20);
constexpr Range kCount = between(1, 1 << 16);

constexpr Key kKeys[] = {
    {"model", "arch", [](Config& c) { return choice(c.model.arch, kArchNames); }, Range{}, Change::refused},
    {"model", "layers", [](Config& c) { return Field(&c.model.layers); }, kCount, Change::refused},
    {"model", "heads", [](Config& c) { return Field(&c.model.heads); }, kCount, Change::refused},
    {"model", "kv_heads", [](Config& c) { return Field(&c.model.kv_heads); }, kCount, Change::refused},
    {"model", "dim", [](Config& c) { return Field(&c.model.dim); }, kWidth, Change::refused},
    {"model", "head_width", [](Config& c) { return Field(&c.model.head_size); }, between(0, kMaxHeadWidth), Change::refused},
    {"model", "ffn_dim", [](Config& c) { return Field(&c.model.ffn_dim); }, kWidth, Change::refused},
    {"model", "context", [](Config& c) { return Field(&c.model.context); }, kWidth, Change::refused},
    {"model", "norm", [](Config& c) { return choice(c.model.norm, kNormNames); }, Range{}, Change::refused},
    {"model", "norm_eps", [](Config& c) { return Field(&c.model.norm_eps); }, above(0), Change::refused},
    {"model", "mlp", [](Config& c) { return choice(c.model.mlp, kMlpNames); }, Range{}, Change::refused},
    {"model", "position", [](Config& c) { return choice(c.model.position, kPositionNames); }, Range{}, Change::refused},
    {"model", "rope_theta", [](Config& c) { return Field(&c.model.rope_theta); }, above(1), Change::refused},
    {"model", "rope_scaling", [](Config& c) { return choice(c.model.rope_scaling.kind, kRopeScalingNames); }, Range{}, Change::refused},
    {"model", "rope_factor", [](Config& c) { return Field(&c.model.rope_scaling.factor); }, at_least(1), Change::refused},
    {"model", "rope_low_freq_factor", [](Config& c) { return Field(&c.model.rope_scaling.low_freq_factor); }, above(0), Change::refused},
    {"model", "rope_high_freq_factor", [](Config& c) { return Field(&c.model.rope_scaling.high_freq_factor); }, above(0), Change::refused},
    {"model", "rope_original_context", [](Config& c) { return Field(&c.model.rope_scaling.original_context); }, kWidth, Change::refused},
    {"model", "bias", [](Config& c) { return Field(&c.model.bias); }, Range{}, Change::refused},
    {"model", "tie_embeddings", [](Config& c) { return Field(&c.model.tie_embeddings); }, Range{}, Change::refused},
    {"model", "dropout", [](Config& c) { return Field(&c.model.dropout); }, kFraction, Change::refused},

    {"data", "dir", [](Config& c) { return Field(&c.data.dir); }},
    {"data", "mix", [](Config& c) { return Field(&c.data.mix); }},
    {"data", "batch", [](Config& c) { return Field(&c.data.batch); }, kCount, Change::refused},
    {"data", "accumulate", [](Config& c) { return Field(&c.data.accumulate); }, kCount, Change::refused},
    {"data", "document_mask", [](Config& c) { return Field(&c.data.document_mask); }, Range{}, Change::refused},

    {"optim", "optimizer", [](Config& c) { return choice(c.optim.optimizer, kOptimizers); }},
    {"optim", "lr", [](Config& c) { return Field(&c.optim.lr); }, above(0)},
    {"optim", "min_lr", [](Config& c) { return Field(&c.optim.min_lr); }, at_least(0)},
    {"optim", "warmup", [](Config& c) { return Field(&c.optim.warmup); }},
    {"optim", "schedule", [](Config& c) { return choice(c.optim.schedule, kScheduleNames); }},
    {"optim", "weight_decay", [](Config& c) { return Field(&c.optim.weight_decay); }, at_least(0)},
    {"optim", "beta1", [](Config& c) { return Field(&c.optim.beta1); }, kFraction},
    {"optim", "beta2", [](Config& c) { return Field(&c.optim.beta2); }, kFraction},
    {"optim", "eps", [](Config& c) { return Field(&c.optim.eps); }, above(0)},
    {"optim", "clip", [](Config& c) { return Field(&c.optim.clip); }, at_least(0)},

    {"loss", "strategy", [](Config& c) { return choice(c.loss.strategy, kLossStrategyNames); }},
    {"loss", "chunk", [](Config& c) { return Field(&c.loss.chunk); }},
    {"loss", "memory_mib", [](Config& c) { return Field(&c.loss.memory_mib); }, between(1, 1 << 24)},
    {"loss", "label_smoothing", [](Config& c) { return Field(&c.loss.label_smoothing); }, kFraction},
    {"loss", "z_loss", [](Config& c) { return Field(&c.loss.z_loss); }, at_least(0)},
    {"loss", "softcap", [](Config& c) { return Field(&c.loss.softcap); }, at_least(0), Change::refused},
    {"loss", "temperature", [](Config& c) { return Field(&c.loss.temperature); }, above(0), Change::refused},
    {"loss", "teacher", [](Config& c) { return Field(&c.teacher); }},
    {"loss", "distillation", [](Config& c) { return Field(&c.loss.distillation); }, between(0, 1)},

    {"train", "steps", [](Config& c) { return Field(&c.train.steps); }, at_least(1)},
    {"train", "eval_every", [](Config& c) { return Field(&c.train.eval_every); }},
    {"train", "eval_tokens", [](Config& c) { return Field(&c.train.eval_tokens); }},
    {"train", "checkpoint_every", [](Config& c) { return Field(&c.train.checkpoint_every); }},
    {"train", "checkpoint_minutes", [](Config& c) { return Field(&c.train.checkpoint_minutes); }, at_least(0)},
    {"train", "keep", [](Config& c) { return Field(&c.train.keep); }},
    {"train", "keep_best", [](Config& c) { return Field(&c.train.keep_best); }},
    {"train", "seed", [](Config& c) { return Field(&c.train.seed); }, Range{}, Change::refused},
    {"train", "init_from", [](Config& c) { return Field(&c.train.init_from); }},
    {"train", "recompute", [](Config& c) { return Field(&c.train.recompute); }},
    {"train", "precision", [](Config& c) { return choice(c.train.precision, kPrecisionNames); }},
};

std::string number_text(const auto& value) {
  const std::string text = fmt::format("{}", value);  // the shortest that reads back the same
  const bool is_float = text.find_first_of(".en") != std::string::npos;  // n: inf, nan
  return is_float ? text : text + ".0";
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

namespace schema {

bool Choice::has(std::string_view word) const { return std::ranges::find(names, word) != names.end(); }

bool Range::contains(double value) const {
  return std::isfinite(value) && (low_excluded ? value > low : value >= low) && (high_excluded ? value < high : value <= high);
}

std::string Range::to_string() const {
  const std::string floor = fmt::format("{} {}", low_excluded ? "above" : "at least", low);
  if (!std::isfinite(high)) return floor;
  return fmt::format("{} and {} {}", floor, high_excluded ? "below" : "at most", high);
}

std::span<const Key> keys() { return kKeys; }

const Key* find_key(std::string_view section, std::string_view name) {
  for (const Key& key : kKeys) {
    if (key.section == section && key.name == name) return &key;
  }
  return nullptr;
}

namespace {

// Names in nanoGPT, llm.c and Hugging Face, and ours.
constexpr std::pair<std::string_view, std::string_view> kNamesElsewhere[] = {
    {"model_type", "model.arch"},
    {"n_layer", "model.layers"},
    {"n_layers", "model.layers"},
    {"num_layers", "model.layers"},
    {"num_hidden_layers", "model.layers"},
    {"depth", "model.layers"},
    {"n_head", "model.heads"},
    {"n_heads", "model.heads"},
    {"num_heads", "model.heads"},
    {"num_attention_heads", "model.heads"},
    {"n_kv_head", "model.kv_heads"},
    {"n_kv_heads", "model.kv_heads"},
    {"num_kv_heads", "model.kv_heads"},
    {"num_key_value_heads", "model.kv_heads"},
    {"n_embd", "model.dim"},
    {"d_model", "model.dim"},
    {"head_dim", "model.head_width"},
    {"layer_norm_epsilon", "model.norm_eps"},
    {"rms_norm_eps", "model.norm_eps"},
    {"original_max_position_embeddings", "model.rope_original_context"},
    {"hidden_size", "model.dim"},
    {"embed_dim", "model.dim"},
    {"channels", "model.dim"},
    {"d_ff", "model.ffn_dim"},
    {"n_inner", "model.ffn_dim"},
    {"intermediate_size", "model.ffn_dim"},
    {"block_size", "model.context"},
    {"n_ctx", "model.context"},
    {"n_positions", "model.context"},
    {"max_seq_len", "model.context"},
    {"seq_len", "model.context"},
    {"sequence_length", "model.context"},
    {"context_length", "model.context"},
    {"max_length", "model.context"},
    {"max_position_embeddings", "model.context"},
    {"hidden_act", "model.mlp"},
    {"activation_function", "model.mlp"},
    {"tie_word_embeddings", "model.tie_embeddings"},
    {"tie_weights", "model.tie_embeddings"},
    {"attn_pdrop", "model.dropout"},
    {"resid_pdrop", "model.dropout"},
    {"embd_pdrop", "model.dropout"},
    {"dataset", "data.dir"},
    {"data_dir", "data.dir"},
    {"datasets", "data.mix"},
    {"blend", "data.mix"},
    {"batch_size", "data.batch"},
    {"micro_batch_size", "data.batch"},
    {"per_device_train_batch_size", "data.batch"},
    {"grad_accum", "data.accumulate"},
    {"gradient_accumulation_steps", "data.accumulate"},
    {"learning_rate", "optim.lr"},
    {"max_lr", "optim.lr"},
    {"warmup_iters", "optim.warmup"},
    {"warmup_steps", "optim.warmup"},
    {"lr_scheduler", "optim.schedule"},
    {"lr_scheduler_type", "optim.schedule"},
    {"wd", "optim.weight_decay"},
    {"adam_beta1", "optim.beta1"},
    {"adam_beta2", "optim.beta2"},
    {"adam_epsilon", "optim.eps"},
    {"grad_clip", "optim.clip"},
    {"max_grad_norm", "optim.clip"},
    {"label_smoothing_factor", "loss.label_smoothing"},
    {"max_iters", "train.steps"},
    {"max_steps", "train.steps"},
    {"num_iterations", "train.steps"},
    {"train_steps", "train.steps"},
    {"eval_interval", "train.eval_every"},
    {"eval_steps", "train.eval_every"},
    {"val_loss_every", "train.eval_every"},
    {"eval_iters", "train.eval_tokens"},
    {"val_max_steps", "train.eval_tokens"},
    {"save_steps", "train.checkpoint_every"},
    {"save_interval", "train.checkpoint_every"},
    {"checkpoint_interval", "train.checkpoint_every"},
    {"save_total_limit", "train.keep"},
    {"gradient_checkpointing", "train.recompute"},
    {"recompute_activations", "train.recompute"},
    {"resume_from_checkpoint", "train.init_from"},
    {"model_name_or_path", "train.init_from"},
    {"pretrained", "train.init_from"},
    {"dtype", "train.precision"},
    {"torch_dtype", "train.precision"},
    {"fp16", "train.precision"},
    {"bf16", "train.precision"},
};

}  // namespace

std::string nearest_key(std::string_view section, std::string_view name) {
  const auto known = std::ranges::find(kNamesElsewhere, name, &std::pair<std::string_view, std::string_view>::first);
  if (known != std::end(kNamesElsewhere)) return std::string(known->second);
  // A key in the wrong section counts as one edit.
  const auto distance = [&](const Key& key) { return 2 * edit_distance(key.name, name) + (key.section != section); };
  const auto nearest = std::ranges::min_element(kKeys, [&](const Key& a, const Key& b) { return distance(a) < distance(b); });
  return nearest->path();
}

std::string nearest_section(std::string_view name) {
  const auto nearest =
      std::ranges::min_element(kKeys, [&](const Key& a, const Key& b) { return edit_distance(a.section, name) < edit_distance(b.section, name); });
  return nearest->section;
}

std::vector<Difference> differences(const Config& before, const Config& now) {
  Config a = before, b = now;  // fields are found in something writable
  std::vector<Difference> found;
  for (const Key& key : kKeys) {
    const std::string was = value_text(key.field(a)), is = value_text(key.field(b));
    if (was != is) found.push_back({.key = &key, .before = was, .now = is});
  }
  return found;
}

std::string toml_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      (result += '\\') += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      result += fmt::format("\\u{:04X}", byte);
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string value_text(const Field& field) {
  struct Printer {
    std::string operator()(const uint32_t* value) const { return fmt::format("{}", *value); }
    std::string operator()(const uint64_t* value) const { return fmt::format("{}", *value); }
    std::string operator()(const float* value) const { return number_text(*value); }
    std::string operator()(const double* value) const { return number_text(*value); }
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(const std::string* value) const { return toml_string(*value); }
    std::string operator()(const std::vector<DataShare>* value) const {
      std::string text;
      for (const DataShare& set : *value) text += fmt::format("{}[{}, {}]", text.empty() ? "" : ", ", toml_string(set.dir), number_text(set.weight));
      return "[" + text + "]";
    }
    std::string operator()(const Choice& choice) const { return toml_string(choice.get()); }
  };
  return std::visit(Printer{}, field);
}

std::string words_text(const Choice& choice) {
  std::string words;
  for (const char* name : choice.names) words += (words.empty() ? "" : ", ") + toml_string(name);
  return choice.names.size() == 1 ? words : "one of " + words;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // distances of the prefixes of b to a prefix of a
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

}  // namespace schema

// Kernels count elements in 31 bits.
void validate_micro_batch(const ModelConfig& m, const DataConfig& data, uint32_t context, std::string_view whose) {
  const uint64_t widest = std::max<uint64_t>({(m.mlp == MlpKind::swiglu ? 2 : 1) * uint64_t{m.ffn_dim}, m.qkv_width(), m.dim});
  if (uint64_t{data.batch} * context * widest < uint64_t{1} << 31) return;
  throw Error(
      "data.batch = {} times model.context = {} is too large a micro-batch for {}layers {} wide (2^31 elements and "
      "more); lower data.batch and raise data.accumulate",
      data.batch, context, whose, widest);
}

void validate_config(const Config& config) {
  Config copy = config;
  for (const Key& key : schema::keys()) std::visit(RangeCheck{key}, key.field(copy));

  const ModelConfig& m = config.model;
  if (m.head_size == 0 && m.dim % m.heads != 0)
    throw Error("model.dim = {} is not a multiple of model.heads = {}: change one, or set model.head_width", m.dim, m.heads);
  if (m.heads % m.kv_heads != 0) {
    throw Error("model.heads = {} is not a multiple of model.kv_heads = {}", m.heads, m.kv_heads);
  }
  if (m.head_width() > kMaxHeadWidth) {
    throw Error("model.dim / model.heads = {} exceeds the attention limit {}; raise model.heads", m.head_width(), kMaxHeadWidth);
  }
  if (m.position == PositionKind::rope && m.head_width() % 2 != 0) {
    throw Error("model.dim / model.heads = {} must be even for model.position = \"rope\", which rotates pairs", m.head_width());
  }
  if (m.rope_scaling.low_freq_factor >= m.rope_scaling.high_freq_factor) {
    throw Error("model.rope_low_freq_factor = {} must be below model.rope_high_freq_factor = {}", m.rope_scaling.low_freq_factor,
                m.rope_scaling.high_freq_factor);
  }
  if (uint64_t{config.data.batch} * m.context >= uint64_t{1} << 31) {
    throw Error("data.batch = {} times model.context = {} must be below 2^31 tokens", config.data.batch, m.context);
  }
  validate_micro_batch(m, config.data, m.context, "");
  if (!config.data.dir.empty() && !config.data.mix.empty()) {
    throw Error("data.dir = \"{}\" and data.mix = {} exclude each other: set the one that is not meant to \"\" or []", config.data.dir,
                schema::value_text(&copy.data.mix));
  }
  const OptimConfig& o = config.optim;
  if (o.schedule != Schedule::constant && o.min_lr > o.lr) {
    throw Error("optim.min_lr = {} is above optim.lr = {}", o.min_lr, o.lr);
  }
  if (config.loss.distillation > 0 && config.teacher.empty())
    throw Error("loss.distillation = {} needs a teacher: set loss.teacher to a run or a checkpoint", config.loss.distillation);
  if (!config.teacher.empty() && config.loss.distillation == 0)
    throw Error("loss.teacher = \"{}\" has no effect with loss.distillation = 0: set that to the teacher's share of the objective, up to 1",
                config.teacher);
}

}  // namespace lapilli
