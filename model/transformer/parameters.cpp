#include "model/transformer/parameters.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <thread>

#include "engine/base/hash.h"
#include "engine/base/philox.h"

namespace lapilli {

namespace {

// The table in the order of the forward pass, with our names and those of both Hugging Face families.
class TableBuilder {
 public:
  explicit TableBuilder(const ModelConfig& config) : config_(config), arch_(hugging_face_arch(config)) {}

  struct Part {
    std::string name;
    uint32_t rows;
  };

  void embedding(const std::string& name, uint32_t rows, const std::string& gpt2, const std::string& llama) {
    add(name, {rows, config_.dim}, ModelConfig::kInitStd, 0, gpt2, {{llama, rows}}, false);
  }

  void norm(const std::string& name, const std::string& gpt2, const std::string& llama) {
    add_vector(name + ".weight", config_.dim, 1, gpt2 + ".weight", {{llama + ".weight", config_.dim}});
    if (config_.norm == NormKind::layernorm && config_.bias) {
      add_vector(name + ".bias", config_.dim, 0, gpt2 + ".bias", {{llama + ".bias", config_.dim}});
    }
  }

  void linear(const std::string& name, uint32_t out, uint32_t in, float std, const std::string& gpt2, const std::vector<Part>& llama,
              InterleavedRows interleaved = {}) {
    const auto with_suffix = [&](const char* suffix) {
      std::vector<Part> parts = llama;
      for (Part& part : parts) part.name += suffix;
      return parts;
    };
    add(name + ".weight", {out, in}, std, 0, gpt2 + ".weight", with_suffix(".weight"), true);
    specs_.back().interleaved = interleaved;
    if (!config_.bias) return;
    add_vector(name + ".bias", out, 0, gpt2 + ".bias", with_suffix(".bias"));
    specs_.back().interleaved = interleaved;
  }

  std::vector<ParameterSpec> take() { return std::move(specs_); }

 private:
  void add_vector(const std::string& name, uint32_t size, float value, const std::string& gpt2, const std::vector<Part>& llama) {
    add(name, {size}, 0, value, gpt2, llama, false);
  }

  void add(const std::string& name, Shape shape, float std, float value, const std::string& gpt2, const std::vector<Part>& llama, bool conv1d) {
    ParameterSpec spec{.name = name, .shape = shape, .init_std = std, .init_value = value, .decay = shape.rank() >= 2};
    if (arch_ == Arch::gpt2) spec.pieces.push_back({gpt2, 0, shape[0], conv1d});
    if (arch_ == Arch::llama) {
      uint32_t row = 0;
      for (const Part& part : llama) {
        spec.pieces.push_back({part.name, row, part.rows, false});
        row += part.rows;
      }
      CHECK(row == shape[0], "parts of {} have {} rows of {}", name, row, shape[0]);
    }
    specs_.push_back(std::move(spec));
  }

  const ModelConfig& config_;
  std::optional<Arch> arch_;
  std::vector<ParameterSpec> specs_;
};

std::string layer_prefix(uint32_t index) { return fmt::format("layers.{}.", index); }

void add_layer(TableBuilder& table, const ModelConfig& c, uint32_t index) {
  const std::string ours = layer_prefix(index);
  const std::string gpt2 = fmt::format("transformer.h.{}.", index);
  const std::string llama = fmt::format("model.layers.{}.", index);
  const float std = ModelConfig::kInitStd;
  // Each layer adds to the residual stream twice; this keeps its variance from growing with depth (GPT-2, section 2.3).
  const float residual_std = static_cast<float>(double{std} / std::sqrt(2.0 * c.layers));
  const uint32_t q = c.heads * c.head_width(), kv = c.kv_heads * c.head_width();

  table.norm(ours + "norm1", gpt2 + "ln_1", llama + "input_layernorm");
  table.linear(ours + "qkv", c.qkv_width(), c.dim, std, gpt2 + "attn.c_attn",
               {{llama + "self_attn.q_proj", q}, {llama + "self_attn.k_proj", kv}, {llama + "self_attn.v_proj", kv}},
               c.position == PositionKind::rope ? InterleavedRows{.rows = q + kv, .group = c.head_width()} : InterleavedRows{});
  table.linear(ours + "proj", c.dim, q, residual_std, gpt2 + "attn.c_proj", {{llama + "self_attn.o_proj", c.dim}});
  table.norm(ours + "norm2", gpt2 + "ln_2", llama + "post_attention_layernorm");
  if (c.mlp == MlpKind::gelu) {
    table.linear(ours + "fc", c.ffn_dim, c.dim, std, gpt2 + "mlp.c_fc", {{llama + "mlp.up_proj", c.ffn_dim}});
  } else {
    table.linear(ours + "gate_up", 2 * c.ffn_dim, c.dim, std, gpt2 + "mlp.c_fc",
                 {{llama + "mlp.gate_proj", c.ffn_dim}, {llama + "mlp.up_proj", c.ffn_dim}},
                 InterleavedRows{.rows = 2 * c.ffn_dim, .group = 2 * c.ffn_dim});
  }
  table.linear(ours + "out", c.dim, c.ffn_dim, residual_std, gpt2 + "mlp.c_proj", {{llama + "mlp.down_proj", c.dim}});
}

uint32_t columns(const ParameterSpec& spec) { return spec.shape.rank() == 2 ? spec.shape[1] : 1; }

// Calls visit(place in the flat array, place in the piece) for every element of the piece.
template <typename Visit>
void for_each_element(const ParameterSpec& spec, const ExportPiece& piece, Visit&& visit) {
  const uint64_t cols = columns(spec);
  const uint64_t base = spec.offset + piece.first_row * cols;
  for (uint64_t row = 0; row < piece.rows; ++row) {
    for (uint64_t col = 0; col < cols; ++col) {
      visit(base + row * cols + col, piece.transposed ? col * piece.rows + row : row * cols + col);
    }
  }
}

// Elements 2k and 2k+1 of a parameter come from draw k.
void fill_normal(std::span<float> values, const ParameterSpec& spec, uint64_t seed, uint64_t first_pair, uint64_t last_pair) {
  const uint64_t stream = hash_bytes(std::as_bytes(std::span(spec.name)));
  const auto word = [](uint64_t x, int shift) { return static_cast<uint32_t>(x >> shift); };
  const auto unit = [](uint32_t high, uint32_t low) {  // [0, 1) on a grid of 2^-53
    return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1.0p-53;
  };
  for (uint64_t pair = first_pair; pair < last_pair; ++pair) {
    const auto bits = philox4x32({word(pair, 0), word(pair, 32), word(stream, 0), word(stream, 32)}, {word(seed, 0), word(seed, 32)});
    const double radius = double{spec.init_std} * std::sqrt(-2 * std::log(1 - unit(bits[1], bits[0])));
    const double angle = 2 * std::numbers::pi * unit(bits[3], bits[2]);
    values[2 * pair] = static_cast<float>(radius * std::cos(angle));
    if (2 * pair + 1 < values.size()) values[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
  }
}

}  // namespace

std::optional<Arch> hugging_face_arch(const ModelConfig& c) {
  const bool gpt2 = c.norm == NormKind::layernorm && c.mlp == MlpKind::gelu && c.position == PositionKind::learned;
  if (gpt2 && c.kv_heads == c.heads && c.heads * c.head_width() == c.dim) return Arch::gpt2;
  if (c.norm == NormKind::rmsnorm && c.mlp == MlpKind::swiglu && c.position == PositionKind::rope) return Arch::llama;
  return std::nullopt;
}

ParameterTable::ParameterTable(const ModelConfig& c) {
  CHECK(c.vocab_size > 0, "vocab_size must be set, from the tokenizer");
  TableBuilder table(c);
  table.embedding("wte.weight", c.vocab_size, "transformer.wte.weight", "model.embed_tokens.weight");
  if (c.position == PositionKind::learned) {
    table.embedding("wpe.weight", c.context, "transformer.wpe.weight", "model.wpe.weight");
  }
  for (uint32_t layer = 0; layer < c.layers; ++layer) add_layer(table, c, layer);
  table.norm("norm", "transformer.ln_f", "model.norm");
  if (!c.tie_embeddings) table.embedding("head.weight", c.vocab_size, "lm_head.weight", "lm_head.weight");

  specs_ = table.take();
  std::stable_partition(specs_.begin(), specs_.end(), [](const ParameterSpec& spec) { return spec.decay; });
  for (ParameterSpec& spec : specs_) {
    spec.offset = count_;
    count_ += spec.shape.elements();
    if (spec.decay) decayed_count_ = count_;
  }
  if (count_ > UINT32_MAX)
    throw Error("the model has {} parameters, more than the {} that this version can number: lower model.dim, model.ffn_dim or model.layers", count_,
                UINT32_MAX);
}

std::vector<std::pair<std::string, Shape>> layer_matrices(const ModelConfig& config) {
  TableBuilder table(config);
  add_layer(table, config, 0);
  std::vector<std::pair<std::string, Shape>> matrices;
  for (const ParameterSpec& spec : table.take()) {
    if (spec.shape.rank() != 2) continue;
    const size_t begin = layer_prefix(0).size(), end = spec.name.rfind('.');
    matrices.emplace_back(spec.name.substr(begin, end - begin), spec.shape);
  }
  return matrices;
}

const ParameterSpec* ParameterTable::find(const std::string& name) const {
  const auto found = std::ranges::find_if(specs_, [&](const ParameterSpec& s) { return s.name == name; });
  return found == specs_.end() ? nullptr : &*found;
}

const ParameterSpec& ParameterTable::operator[](const std::string& name) const {
  const ParameterSpec* spec = find(name);
  CHECK(spec != nullptr, "the model has no parameter '{}'", name);
  return *spec;
}

Shape piece_shape(const ParameterSpec& spec, const ExportPiece& piece) {
  if (spec.shape.rank() == 1) return {piece.rows};
  return piece.transposed ? Shape{columns(spec), piece.rows} : Shape{piece.rows, columns(spec)};
}

std::vector<float> copy_to_piece(std::span<const float> flat, const ParameterSpec& spec, const ExportPiece& piece) {
  CHECK(flat.size() >= spec.offset + spec.shape.elements(), "{} values end before {}", flat.size(), spec.name);
  std::vector<float> values(uint64_t{piece.rows} * columns(spec));
  for_each_element(spec, piece, [&](uint64_t ours, uint64_t theirs) { values[theirs] = flat[ours]; });
  return values;
}

void copy_from_piece(std::span<float> flat, const ParameterSpec& spec, const ExportPiece& piece, std::span<const float> values) {
  CHECK(flat.size() >= spec.offset + spec.shape.elements(), "{} values end before {}", flat.size(), spec.name);
  CHECK(values.size() == uint64_t{piece.rows} * columns(spec), "{} values for {}", values.size(), piece.name);
  for_each_element(spec, piece, [&](uint64_t ours, uint64_t theirs) { flat[ours] = values[theirs]; });
}

std::vector<float> initial_values(const ParameterTable& table, uint64_t seed) {
  std::vector<float> values(table.count());
  const auto fill_share = [&](uint64_t share, uint64_t shares) {  // of every parameter
    for (const ParameterSpec& spec : table.specs()) {
      const std::span own(values.data() + spec.offset, spec.shape.elements());
      const uint64_t pairs = (own.size() + 1) / 2;
      const uint64_t first = pairs * share / shares, last = pairs * (share + 1) / shares;
      if (spec.init_std != 0) {
        fill_normal(own, spec, seed, first, last);
      } else {
        std::fill(own.begin() + static_cast<ptrdiff_t>(2 * first), own.begin() + static_cast<ptrdiff_t>(std::min<uint64_t>(2 * last, own.size())),
                  spec.init_value);
      }
    }
  };
  const uint64_t most = table.count() < 100'000 ? 1 : 16;  // less work is not worth a thread
  const uint64_t shares = std::clamp<uint64_t>(std::thread::hardware_concurrency(), 1, most);
  std::vector<std::jthread> workers;
  for (uint64_t share = 1; share < shares; ++share) workers.emplace_back(fill_share, share, shares);
  fill_share(0, shares);
  workers.clear();  // joins
  return values;
}

namespace {

enum class InterleaveOrder { table_to_device, device_to_table };

void reorder_rows(std::span<float> flat, const ParameterTable& table, InterleaveOrder order) {
  std::vector<float> group;
  for (const ParameterSpec& spec : table.specs()) {
    const uint64_t cols = columns(spec), half = spec.interleaved.group / 2;
    group.resize(2 * half * cols);
    for (uint64_t first = 0; first < spec.interleaved.rows; first += spec.interleaved.group) {
      float* rows = flat.data() + spec.offset + first * cols;
      std::copy_n(rows, group.size(), group.data());
      for (uint64_t i = 0; i < 2 * half; ++i) {
        const uint64_t interleaved = i < half ? 2 * i : 2 * (i - half) + 1;  // where row i of the table stands
        if (order == InterleaveOrder::table_to_device) std::copy_n(group.data() + i * cols, cols, rows + interleaved * cols);
        else std::copy_n(group.data() + interleaved * cols, cols, rows + i * cols);
      }
    }
  }
}

}  // namespace

std::vector<float> ParameterArray::write(Device& device, std::vector<float> values) const {
  CHECK(table_ != nullptr && values.size() == table_->count(), "{} values", values.size());
  reorder_rows(values, *table_, InterleaveOrder::table_to_device);
  write_slice(device, all_.slice(), values);
  return values;
}

std::vector<float> ParameterArray::read(Device& device) const {
  CHECK(table_ != nullptr, "an empty array was read");
  auto values = read_slice<float>(device, all_.slice());
  reorder_rows(values, *table_, InterleaveOrder::device_to_table);
  return values;
}

ParameterArray::ParameterArray(Arena& arena, const ParameterTable& table, const std::string& kind) : table_(&table) {
  CHECK(table.count() <= UINT32_MAX, "{} parameters need a longer shape", table.count());
  all_ = reserve_tensor(arena, {static_cast<uint32_t>(table.count())}, kind);
}

Tensor ParameterArray::find(const std::string& name) const {
  CHECK(table_ != nullptr, "an empty array was asked for '{}'", name);
  const ParameterSpec* spec = table_->find(name);
  if (spec == nullptr) return {};
  return {all_.slice().sub(spec->offset * sizeof(float), spec->shape.elements() * sizeof(float)), spec->shape};
}

Tensor ParameterArray::operator[](const std::string& name) const {
  const Tensor tensor = find(name);
  CHECK(tensor, "the model has no parameter '{}'", name);
  return tensor;
}

Tensor ParameterArray::range(uint64_t first, uint64_t count) const {
  return {all_.slice().sub(first * sizeof(float), count * sizeof(float)), {static_cast<uint32_t>(count)}};
}

Tensor ParameterArray::decayed() const { return range(0, table_->decayed_count()); }

Tensor ParameterArray::undecayed() const {
  const uint64_t size = table_->count() - table_->decayed_count();
  return size == 0 ? Tensor() : range(table_->decayed_count(), size);
}

}  // namespace lapilli
