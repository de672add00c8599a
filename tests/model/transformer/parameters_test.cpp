// The table of parameters: names, shapes, layout, initial values, and conversion to Hugging Face's tensors and back.

#include "model/transformer/parameters.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>
#include <set>

#include "engine/base/hash.h"
#include "engine/base/philox.h"
#include "model/io/safetensors.h"
#include "tests/common/files.h"
#include "tests/common/support.h"

namespace lapilli::testing {
namespace {

ModelConfig small_gpt2() { return {.layers = 2, .heads = 5, .kv_heads = 5, .dim = 20, .ffn_dim = 80, .context = 13, .vocab_size = 101}; }

ModelConfig small_llama() {
  return {.arch = Arch::llama,
          .layers = 3,
          .heads = 6,
          .kv_heads = 2,
          .dim = 24,
          .ffn_dim = 37,
          .context = 11,
          .norm = NormKind::rmsnorm,
          .mlp = MlpKind::swiglu,
          .position = PositionKind::rope,
          .bias = false,
          .tie_embeddings = false,
          .vocab_size = 67};
}

std::vector<float> counting(uint64_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

TEST(Parameters, Table_Gpt2Small_HasThePublishedCount) {
  const ParameterTable table({.layers = 12, .heads = 12, .kv_heads = 12, .dim = 768, .ffn_dim = 3072, .context = 1024, .vocab_size = 50257});
  EXPECT_EQ(table.count(), 124'439'808U);
}

TEST(Parameters, Table_TinyLlama_HasThePublishedCount) {
  ModelConfig config = small_llama();
  config.layers = 22, config.heads = 32, config.kv_heads = 4, config.dim = 2048, config.ffn_dim = 5632;
  config.vocab_size = 32000;
  EXPECT_EQ(ParameterTable(config).count(), 1'100'048'384U);
}

TEST(Parameters, Table_Layout_IsDenseWithDecayedFirst) {
  for (const ModelConfig& config : {small_gpt2(), small_llama()}) {
    const ParameterTable table(config);
    uint64_t offset = 0;
    std::set<std::string> names;
    for (const ParameterSpec& spec : table.specs()) {
      EXPECT_EQ(spec.offset, offset) << spec.name;
      EXPECT_EQ(spec.decay, spec.shape.rank() == 2) << spec.name;
      EXPECT_EQ(spec.decay, offset < table.decayed_count()) << spec.name;
      EXPECT_TRUE(names.insert(spec.name).second) << spec.name << " twice";
      offset += spec.shape.elements();
    }
    EXPECT_EQ(table.count(), offset);
  }
}

TEST(Parameters, Table_Gpt2_ShapesAndStartSpread) {
  const ParameterTable table(small_gpt2());
  EXPECT_EQ(table["wte.weight"].shape, (Shape{101, 20}));
  EXPECT_EQ(table["wpe.weight"].shape, (Shape{13, 20}));
  EXPECT_EQ(table["layers.1.qkv.weight"].shape, (Shape{60, 20}));
  EXPECT_EQ(table["layers.1.qkv.bias"].shape, (Shape{60}));
  EXPECT_EQ(table["layers.0.fc.weight"].shape, (Shape{80, 20}));
  EXPECT_EQ(table["layers.0.out.weight"].shape, (Shape{20, 80}));
  EXPECT_FLOAT_EQ(table["wte.weight"].init_std, 0.02F);
  EXPECT_FLOAT_EQ(table["layers.0.fc.weight"].init_std, 0.02F);
  EXPECT_FLOAT_EQ(table["layers.0.proj.weight"].init_std, 0.01F);  // 0.02 / sqrt(2 * 2)
  EXPECT_FLOAT_EQ(table["layers.1.out.weight"].init_std, 0.01F);
  EXPECT_EQ(table["layers.0.norm2.weight"].init_value, 1.0F);
  EXPECT_EQ(table["norm.bias"].init_value, 0.0F);
  EXPECT_FALSE(table.contains("head.weight"));
  EXPECT_FALSE(table.contains("layers.2.qkv.weight"));
}

TEST(Parameters, Table_Llama_ShapesAndNoBias) {
  const ParameterTable table(small_llama());
  EXPECT_EQ(table["layers.0.qkv.weight"].shape, (Shape{40, 24}));
  EXPECT_EQ(table["layers.2.gate_up.weight"].shape, (Shape{74, 24}));
  EXPECT_EQ(table["head.weight"].shape, (Shape{67, 24}));
  EXPECT_FALSE(table.contains("wpe.weight"));
  for (const ParameterSpec& spec : table.specs()) EXPECT_FALSE(spec.name.ends_with(".bias")) << spec.name;
}

TEST(Parameters, HuggingFaceArch_NeedsAllKeysOfOneFamily) {
  EXPECT_EQ(hugging_face_arch(small_gpt2()), Arch::gpt2);
  EXPECT_EQ(hugging_face_arch(small_llama()), Arch::llama);
  ModelConfig config = small_gpt2();
  config.kv_heads = 1;
  EXPECT_EQ(hugging_face_arch(config), std::nullopt);
  config = small_llama();
  config.norm = NormKind::layernorm;
  EXPECT_EQ(hugging_face_arch(config), std::nullopt);
  const ParameterTable neither(config);
  for (const ParameterSpec& spec : neither.specs()) EXPECT_TRUE(spec.pieces.empty()) << spec.name;
}

// The goldens contain every parameter with the name and shape of PyTorch's reference.
TEST(Parameters, Pieces_HaveTheNamesAndShapesOfTheGoldens) {
  ModelConfig tied = small_llama();
  tied.layers = 2, tied.heads = 2, tied.kv_heads = 1, tied.dim = 12, tied.ffn_dim = 19, tied.context = 9;
  tied.vocab_size = 53, tied.tie_embeddings = true;
  const std::pair<const char*, ModelConfig> models[] = {{"gpt2", small_gpt2()}, {"llama", small_llama()}, {"llama_tied", tied}};
  for (const auto& [name, config] : models) {
    const SafetensorsFile golden(fs::path(LAPILLI_SOURCE_DIR) / "tests/torch/goldens" / fmt::format("{}.safetensors", name));
    size_t golden_count = 0, count = 0;
    for (const TensorInfo& tensor : golden.tensors()) golden_count += tensor.name.starts_with("param/");
    const ParameterTable table(config);
    for (const ParameterSpec& spec : table.specs()) {
      for (const ExportPiece& piece : spec.pieces) {
        ++count;
        const Shape shape = piece_shape(spec, piece);
        std::vector<uint64_t> dims;
        for (uint32_t i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
        ASSERT_TRUE(golden.contains("param/" + piece.name)) << piece.name;
        EXPECT_EQ(golden.info("param/" + piece.name).shape, dims) << piece.name;
      }
    }
    EXPECT_EQ(count, golden_count) << name;
  }
}

TEST(Parameters, CopyToPiece_Transposed_ElementByElement) {
  const ParameterTable table(small_gpt2());
  const std::vector<float> flat = counting(table.count());
  const ParameterSpec& spec = table["layers.1.qkv.weight"];
  ASSERT_EQ(spec.pieces.size(), 1U);
  EXPECT_EQ(piece_shape(spec, spec.pieces[0]), (Shape{20, 60}));
  const std::vector<float> values = copy_to_piece(flat, spec, spec.pieces[0]);
  for (uint32_t out = 0; out < 60; ++out) {
    for (uint32_t in = 0; in < 20; ++in) EXPECT_EQ(values[in * 60 + out], flat[spec.offset + out * 20 + in]);
  }
}

TEST(Parameters, CopyToPiece_FusedRows_ElementByElement) {
  const ParameterTable table(small_llama());
  const std::vector<float> flat = counting(table.count());
  const ParameterSpec& spec = table["layers.2.qkv.weight"];  // rows: 24 q, 8 k, 8 v
  ASSERT_EQ(spec.pieces.size(), 3U);
  const std::pair<const char*, uint32_t> expected[] = {{"q_proj", 0}, {"k_proj", 24}, {"v_proj", 32}};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(spec.pieces[i].name, fmt::format("model.layers.2.self_attn.{}.weight", expected[i].first));
    const std::vector<float> values = copy_to_piece(flat, spec, spec.pieces[i]);
    ASSERT_EQ(values.size(), (i == 0 ? 24U : 8U) * 24U);
    const float* rows = flat.data() + spec.offset + expected[i].second * 24;
    EXPECT_EQ(std::memcmp(values.data(), rows, values.size() * sizeof(float)), 0) << spec.pieces[i].name;
  }
}

// A model with biases, written to the device: device memory has the layout of write(), and reading returns the same
// values.
struct WrittenLlama {
  WrittenLlama() {
    arena.commit(test::device());
    const std::vector<float> written = array.write(test::device(), flat);
    EXPECT_EQ(read_slice<float>(test::device(), array.all().slice()), written);
    EXPECT_EQ(array.read(test::device()), flat);
  }
  const ModelConfig config = [] {
    ModelConfig llama = small_llama();
    llama.bias = true;
    return llama;
  }();
  const ParameterTable table{config};
  const std::vector<float> flat = counting(table.count());
  Arena arena{test::device().caps(), "test"};
  const ParameterArray array{arena, table, "parameters"};
};

TEST(Parameters, Write_Rope_HalvesOfAHeadAreNeighboursOnTheDevice) {
  const WrittenLlama llama;
  for (const auto& [name, cols] : {std::pair("layers.1.qkv.weight", 24U), std::pair("layers.1.qkv.bias", 1U)}) {
    const std::vector<float> there = read_slice<float>(test::device(), llama.array[name].slice());
    const float* rows = llama.flat.data() + llama.table[name].offset;
    const uint32_t of_head[] = {0, 2, 1, 3};  // heads of 4: 6 queries, 2 keys, 2 values
    for (uint32_t row = 0; row < 40; ++row)
      for (uint32_t col = 0; col < cols; ++col)
        EXPECT_EQ(there[row * cols + col], rows[(row < 32 ? row / 4 * 4 + of_head[row % 4] : row) * cols + col]) << name << " " << row;
  }
}

TEST(Parameters, Write_Swiglu_GateAndUpAreNeighboursOnTheDevice) {
  const WrittenLlama llama;
  const ModelConfig& config = llama.config;
  for (const auto& [name, cols] : {std::pair("layers.1.gate_up.weight", config.dim), std::pair("layers.1.gate_up.bias", 1U)}) {
    const std::vector<float> there = read_slice<float>(test::device(), llama.array[name].slice());
    const float* rows = llama.flat.data() + llama.table[name].offset;
    for (uint32_t row = 0; row < 2 * config.ffn_dim; ++row)
      for (uint32_t col = 0; col < cols; ++col)
        EXPECT_EQ(there[row * cols + col], rows[(row / 2 + row % 2 * config.ffn_dim) * cols + col]) << name << " " << row;
  }
}

TEST(Parameters, CopyFromPiece_UndoesCopyToPiece) {
  for (const ModelConfig& config : {small_gpt2(), small_llama()}) {
    const ParameterTable table(config);
    const std::vector<float> flat = counting(table.count());
    std::vector<float> again(flat.size());
    for (const ParameterSpec& spec : table.specs()) {
      for (const ExportPiece& piece : spec.pieces) copy_from_piece(again, spec, piece, copy_to_piece(flat, spec, piece));
    }
    EXPECT_EQ(again, flat);
  }
}

TEST(Parameters, InitialValues_SameSeed_SameBytes) {
  const ParameterTable table(small_llama());
  EXPECT_EQ(initial_values(table, 7), initial_values(table, 7));
  EXPECT_NE(initial_values(table, 7), initial_values(table, 8));
  EXPECT_NE(initial_values(table, 1), initial_values(table, 1 + (uint64_t{1} << 32)));  // all 64 bits count
}

TEST(Parameters, InitialValues_OneElement_IsBoxMullerOfItsDraw) {
  ModelConfig config = small_gpt2();
  config.dim = 5, config.heads = config.kv_heads = 1, config.vocab_size = 7;
  const ParameterTable table(config);
  const std::vector<float> values = initial_values(table, 3);
  // wte has 35 elements, the last one without a partner; fc has 400.
  const std::pair<const char*, uint32_t> samples[] = {
      {"wte.weight", 0}, {"wte.weight", 1}, {"wte.weight", 34}, {"layers.0.fc.weight", 200}, {"layers.0.fc.weight", 399}};
  for (const auto& [name, element] : samples) {
    const uint64_t stream = hash_bytes(std::as_bytes(std::span(table[name].name)));
    const auto low = static_cast<uint32_t>(stream), high = static_cast<uint32_t>(stream >> 32);
    const auto bits = philox4x32({element / 2, 0, low, high}, {3, 0});
    const double u = static_cast<double>((uint64_t{bits[1]} << 32 | bits[0]) >> 11) * 0x1p-53;
    const double v = static_cast<double>((uint64_t{bits[3]} << 32 | bits[2]) >> 11) * 0x1p-53;
    const double angle = 2 * std::numbers::pi * v;
    const double normal = std::sqrt(-2 * std::log(1 - u)) * (element % 2 == 0 ? std::cos(angle) : std::sin(angle));
    EXPECT_FLOAT_EQ(values[table[name].offset + element], static_cast<float>(0.02F * normal)) << name << element;
  }
}

TEST(Parameters, InitialValues_OtherParameters_ChangeNothing) {
  ModelConfig without = small_gpt2();
  without.bias = false, without.layers = 4, without.context = 20, without.tie_embeddings = false;
  const ParameterTable a(small_gpt2()), b(without);
  const std::vector<float> x = initial_values(a, 5), y = initial_values(b, 5);
  const ParameterSpec &in_a = a["layers.1.fc.weight"], &in_b = b["layers.1.fc.weight"];
  ASSERT_NE(in_a.offset, in_b.offset);
  EXPECT_EQ(std::memcmp(&x[in_a.offset], &y[in_b.offset], in_a.shape.elements() * sizeof(float)), 0);
}

// Of n independent normals the mean has deviation s / sqrt(n), the variance s^2 sqrt(2 / n), the fourth moment
// (expected 3 s^4) s^4 sqrt(96 / n), neighbours' products s^2 / sqrt(n). Five deviations: one false alarm in two
// million.
TEST(Parameters, InitialValues_Moments_AreThoseOfANormal) {
  ModelConfig config = small_gpt2();
  config.dim = 160, config.ffn_dim = 640, config.vocab_size = 5000;  // several threads share the work
  const ParameterTable table(config);
  const std::vector<float> values = initial_values(table, 11);
  for (const ParameterSpec& spec : table.specs()) {
    const std::span own(values.data() + spec.offset, spec.shape.elements());
    if (spec.init_std == 0) {
      for (const float value : own) ASSERT_EQ(value, spec.init_value) << spec.name;
      continue;
    }
    const double n = static_cast<double>(own.size()), s = spec.init_std;
    double sum = 0, squares = 0, fourths = 0, neighbours = 0;
    for (size_t i = 0; i < own.size(); ++i) {
      const double z = own[i] / s;
      sum += z, squares += z * z, fourths += z * z * z * z;
      if (i > 0) neighbours += z * own[i - 1] / s;
    }
    EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n)) << spec.name;
    EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n)) << spec.name;
    EXPECT_NEAR(fourths / n, 3, 5 * std::sqrt(96 / n)) << spec.name;
    EXPECT_NEAR(neighbours / n, 0, 5 / std::sqrt(n)) << spec.name;
  }
}

TEST(Parameters, Array_Tensors_LieWhereTheTableSays) {
  DeviceCaps caps;
  caps.max_allocation_bytes = 1 << 20;
  Arena arena(caps, "test");
  const ParameterTable table(small_gpt2());
  const ParameterArray array(arena, table, "parameters");
  EXPECT_EQ(array.all().elements(), table.count());
  EXPECT_GE(arena.bytes_by_kind().at("parameters"), table.count() * sizeof(float));
  const uint64_t start = array.all().slice().buffer_offset_bytes();
  for (const ParameterSpec& spec : table.specs()) {
    const Tensor tensor = array[spec.name];
    EXPECT_EQ(tensor.shape(), spec.shape) << spec.name;
    EXPECT_EQ(tensor.slice().buffer_offset_bytes(), start + spec.offset * sizeof(float)) << spec.name;
  }
  EXPECT_EQ(array.decayed().elements() + array.undecayed().elements(), table.count());
  EXPECT_EQ(array.undecayed().slice().buffer_offset_bytes(), start + table.decayed_count() * sizeof(float));
  EXPECT_FALSE(array.find("head.weight"));
}

}  // namespace
}  // namespace lapilli::testing
