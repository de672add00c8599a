#include "model/io/gguf_blocks.h"

#include <array>
#include <cstring>

#include "engine/base/error.h"
#include "engine/memory/half.h"

namespace lapilli {

namespace {

constexpr uint64_t kBlock = 32;

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float scale_at(const std::byte* at) { return half_value(load<uint16_t>(at), DType::f16); }

void read_q8_0(float* values, const std::byte* block) {
  const float d = scale_at(block);
  for (uint64_t i = 0; i < kBlock; ++i) values[i] = d * static_cast<float>(load<int8_t>(block + 2 + i));
}

// q - offset, d and m of each value of a block of 4 bits.
void read_4_bits(float* values, const std::byte* halves, float d, float m, int offset) {
  for (uint64_t i = 0; i < kBlock / 2; ++i) {
    const auto both = std::to_integer<int>(halves[i]);
    values[i] = d * static_cast<float>((both & 15) - offset) + m;
    values[i + kBlock / 2] = d * static_cast<float>((both >> 4) - offset) + m;
  }
}

void read_block(GgmlType type, float* values, const std::byte* block) {
  switch (type) {
    case GgmlType::f32: *values = load<float>(block); return;
    case GgmlType::f16: *values = scale_at(block); return;
    case GgmlType::bf16: *values = half_value(load<uint16_t>(block), DType::bf16); return;
    case GgmlType::q8_0: read_q8_0(values, block); return;
    case GgmlType::q4_0: read_4_bits(values, block + 2, scale_at(block), 0, 8); return;
    case GgmlType::q4_1: read_4_bits(values, block + 4, scale_at(block), scale_at(block + 2), 0); return;
  }
}

}  // namespace

std::optional<GgmlBlock> ggml_block(uint32_t type) {
  switch (static_cast<GgmlType>(type)) {
    case GgmlType::f32: return GgmlBlock{1, 4};
    case GgmlType::f16:
    case GgmlType::bf16: return GgmlBlock{1, 2};
    case GgmlType::q8_0: return GgmlBlock{kBlock, 2 + kBlock};
    case GgmlType::q4_0: return GgmlBlock{kBlock, 2 + kBlock / 2};
    case GgmlType::q4_1: return GgmlBlock{kBlock, 4 + kBlock / 2};
  }
  return std::nullopt;
}

std::string ggml_type_name(uint32_t type) {
  constexpr std::array kNames{"F32",   "F16",    "Q4_0", "Q4_1", "",     "",        "Q5_0",   "Q5_1",    "Q8_0",  "Q8_1",   "Q2_K",
                              "Q3_K",  "Q4_K",   "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
                              "IQ2_S", "IQ4_XS", "I8",   "I16",  "I32",  "I64",     "F64",    "IQ1_M",   "BF16"};
  if (type < kNames.size() && *kNames[type] != '\0') return kNames[type];
  return fmt::format("type {}", type);
}

std::vector<float> ggml_values(GgmlType type, std::span<const std::byte> bytes) {
  const std::optional<GgmlBlock> block = ggml_block(static_cast<uint32_t>(type));
  CHECK(block && bytes.size() % block->bytes == 0, "{} bytes are not whole blocks", bytes.size());
  std::vector<float> values(bytes.size() / block->bytes * block->values);
  for (size_t i = 0; i < bytes.size() / block->bytes; ++i) read_block(type, &values[i * block->values], &bytes[i * block->bytes]);
  return values;
}

}  // namespace lapilli
