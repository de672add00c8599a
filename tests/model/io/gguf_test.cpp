// GGUF: what was exported comes back element by element, quantized blocks have the values that the format gives them, and a file that is damaged,
// cut or of another kind is refused in one sentence and leaves nothing.

#include "model/io/gguf.h"

#include "engine/memory/half.h"
#include "model/io/config_toml.h"
#include "model/io/gguf_blocks.h"
#include "model/io/gguf_config.h"
#include "model/io/gguf_export.h"
#include "model/io/import.h"
#include "tests/model/io/small_models.h"

namespace lapilli::testing {
namespace {

class Gguf : public ::testing::Test {
 protected:
  std::vector<float> write(const Config& config, TensorType type = TensorType::f32) const {
    const LoadedCheckpoint checkpoint = random_checkpoint(dir_, config);
    export_gguf(checkpoint, file_, type);
    return checkpoint.state.values;
  }

  LoadedCheckpoint imported() const {
    fs::remove_all(run_);
    import_model(file_, run_);
    return load_checkpoint(run_);
  }

  std::string error() const {
    const std::string message = error_of([&] { import_model(file_, run_); });
    EXPECT_FALSE(fs::exists(run_)) << message;
    return message;
  }

  // The error after each occurrence of `from` in the file became `to`, as long.
  std::string error_with(std::string_view from, std::string_view to) const {
    write(small_llama_config());
    std::string bytes = read_text_file(file_);
    EXPECT_EQ(from.size(), to.size());
    EXPECT_NE(bytes.find(from), std::string::npos) << from;
    for (size_t at = 0; (at = bytes.find(from, at)) != std::string::npos; at += to.size()) bytes.replace(at, from.size(), to);
    write_file_atomically(file_, bytes);
    return error();
  }

  TempDir dir_;
  fs::path file_ = dir_ / "model.gguf", run_ = dir_ / "run";
};

TEST_F(Gguf, EveryVariant_ComesBackElementByElement) {
  for (const Config& config : small_variants()) {
    const std::vector<float> values = write(config);
    const LoadedCheckpoint loaded = imported();
    EXPECT_EQ(loaded.state.values, values);
    Config expected;
    expected.model = config.model;
    expected.data.batch = 1;
    if (config.model.arch == Arch::llama) expected.model.head_size = config.model.head_width();
    EXPECT_EQ(to_toml(loaded.config), to_toml(expected));
  }
}

TEST_F(Gguf, ModelWithoutBiases_HasZerosForThemInGpt2) {
  Config config = small_gpt2_config();
  config.model.bias = false;
  write(config);
  const GgufFile file(file_);
  EXPECT_EQ(file.read(*file.find("blk.1.attn_qkv.bias")), std::vector<float>(24));
  EXPECT_TRUE(imported().config.model.bias);
}

TEST_F(Gguf, RotaryPairs_LieSideBySide) {
  const Config config = small_llama_config();
  const std::vector<float> values = write(config);
  const ParameterSpec spec = ParameterTable(config.model)["layers.1.qkv.weight"];
  const GgufFile file(file_);
  const uint32_t dim = config.model.dim, width = config.model.head_width();
  const std::vector<float> q = file.read(*file.find("blk.1.attn_q.weight"));
  for (uint32_t row = 0; row < config.model.heads * width; ++row) {
    const uint32_t head = row / width, pair = row % width / 2, half = row % 2;
    const uint32_t ours = head * width + half * width / 2 + pair;
    for (uint32_t col = 0; col < dim; ++col) ASSERT_EQ(q[row * dim + col], values[spec.offset + ours * dim + col]) << row;
  }
}

TEST_F(Gguf, SixteenBits_RoundMatricesOnly) {
  for (const TensorType type : {TensorType::f16, TensorType::bf16}) {
    const Config config = small_gpt2_config();
    const std::vector<float> values = write(config, type);
    const DType dtype = type == TensorType::f16 ? DType::f16 : DType::bf16;
    const std::vector<float> read = imported().state.values;
    const ParameterTable table(config.model);
    for (const ParameterSpec& spec : table.specs()) {
      const bool rounds = spec.shape.rank() == 2 && spec.name != "wpe.weight";  // llama.cpp adds positions in f32
      for (uint64_t i = spec.offset; i < spec.offset + spec.shape.elements(); ++i)
        ASSERT_EQ(read[i], rounds ? half_value(half_bits(values[i], dtype), dtype) : values[i]) << spec.name;
    }
  }
}

TEST_F(Gguf, Tokenizers_MakeTheSameIds) {
  const fs::path text = dir_.write("words", "the cat sat on the mat\n\tand the dog saw the cat, twice; then the mat was a mat\n");
  for (const auto& [type, vocab] : {std::pair(TokenizerType::kBpe, 285u), std::pair(TokenizerType::kUnigram, 280u),
                                    std::pair(TokenizerType::kChar, 0u), std::pair(TokenizerType::kByte, 0u)}) {
    Config config = small_llama_config();
    LoadedCheckpoint checkpoint = random_checkpoint(dir_, config);
    train_tokenizer({.type = type, .vocab_size = vocab}, {&text, 1}, checkpoint.folder / "tokenizer.model");
    const Tokenizer before(checkpoint.folder / "tokenizer.model");
    ASSERT_EQ(before.decode(before.encode("\x01~")), "\x01~");
    config.model.vocab_size = before.vocab_size();
    checkpoint = random_checkpoint(dir_, config);
    export_gguf(checkpoint, file_);
    imported();
    const Tokenizer after(run_ / "tokenizer.model");
    EXPECT_EQ(after.eos_id(), before.eos_id());
    for (const char* line : {"the cat sat", "  two\n\n\tzebra QUX!", "caf\xC3\xA9 \xF0\x9F\x99\x82"}) {
      EXPECT_EQ(after.encode(line), before.encode(line)) << tokenizer_type_name(type) << ": " << line;
      EXPECT_EQ(after.decode(after.encode(line)), line);
    }
  }
}

// Values by the formulas of the format, written out.
TEST_F(Gguf, QuantizedBlocks_HaveTheirValues) {
  const auto f16 = [](float value) {
    const uint16_t bits = f16_bits(value);
    return std::string(reinterpret_cast<const char*>(&bits), 2);
  };
  const auto values = [](GgmlType type, const std::string& bytes) { return ggml_values(type, std::as_bytes(std::span(bytes))); };

  std::string q8 = f16(0.5F);
  for (int i = 0; i < 32; ++i) q8.push_back(static_cast<char>(8 * i - 128));
  const std::vector<float> of_q8 = values(GgmlType::q8_0, q8 + q8);
  ASSERT_EQ(of_q8.size(), 64U);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(of_q8[static_cast<size_t>(i)], 0.5F * static_cast<float>(8 * (i % 32) - 128));

  std::string halves;
  for (int i = 0; i < 16; ++i) halves.push_back(static_cast<char>(i | (15 - i) << 4));
  const std::vector<float> of_q4_0 = values(GgmlType::q4_0, f16(-0.25F) + halves);
  const std::vector<float> of_q4_1 = values(GgmlType::q4_1, f16(0.25F) + f16(-3) + halves);
  for (int i = 0; i < 16; ++i) {
    const auto low = static_cast<size_t>(i), high = low + 16;
    EXPECT_EQ(of_q4_0[low], -0.25F * static_cast<float>(i - 8));
    EXPECT_EQ(of_q4_0[high], -0.25F * static_cast<float>(7 - i));
    EXPECT_EQ(of_q4_1[low], 0.25F * static_cast<float>(i) - 3);
    EXPECT_EQ(of_q4_1[high], 0.25F * static_cast<float>(15 - i) - 3);
  }
}

TEST_F(Gguf, WhatCannotBeRepresented_NamesKeyAndValue) {
  EXPECT_ERROR_MENTIONS(error_with("llama", "gemma"), "general.architecture = \"gemma\"");
  EXPECT_ERROR_MENTIONS(error_with("blk.1.ffn_up.weight", "blk.1.ffn_no.weight"), "no tensor blk.1.ffn_up.weight");
  EXPECT_ERROR_MENTIONS(error_with("attention.head_count_kv", "attention.head_count_kw"), "blk.0.attn_k.weight", "[8, 16]", "[16, 16]");
  EXPECT_ERROR_MENTIONS(error_with("llama.block_count", "llama.block_vount"), "has no llama.block_count");
  // The value of a text stands behind its length.
  EXPECT_ERROR_MENTIONS(error_with(std::string("tokenizer.ggml.model\x08\0\0\0\x05\0\0\0\0\0\0\0llama", 37),
                                   std::string("tokenizer.ggml.model\x08\0\0\0\x05\0\0\0\0\0\0\0plamo", 37)),
                        "tokenizer.ggml.model = \"plamo\"");
  // The type of a tensor, between its dimensions and its offset.
  const std::string name = "output_norm.weight", rank_and_width("\x01\0\0\0\x10\0\0\0\0\0\0\0", 12);
  EXPECT_ERROR_MENTIONS(error_with(name + rank_and_width + std::string(1, '\0'), name + rank_and_width + "\x0E"), "output_norm.weight", "Q6_K");
}

TEST_F(Gguf, RopeFactorsOfNoLlama3Scaling_AreRefused) {
  Config config = small_llama_config();
  config.model.rope_scaling.kind = RopeScalingKind::llama3;
  config.model.rope_scaling.original_context = 64;
  write(config);
  std::string bytes = read_text_file(file_);
  const float factor = 8, other = 7;
  const std::string_view from(reinterpret_cast<const char*>(&factor), 4), to(reinterpret_cast<const char*>(&other), 4);
  const size_t last = bytes.rfind(from);
  ASSERT_NE(last, std::string::npos);
  bytes.replace(last, 4, to);
  write_file_atomically(file_, bytes);
  EXPECT_ERROR_MENTIONS(error(), "rope_freqs.weight");
}

TEST_F(Gguf, FilesThatAreCut_AreRefusedAtEveryLength) {
  write(small_llama_config());
  const std::string bytes = read_text_file(file_);
  for (size_t size = 0; size < bytes.size(); size += size < 300 ? 1 : 997) {
    write_file_atomically(file_, std::string_view(bytes).substr(0, size));
    EXPECT_ERROR_MENTIONS(error(), "model.gguf");
  }
}

TEST_F(Gguf, F16_ThatCannotHoldAValue_IsRefusedAndLeavesNothing) {
  LoadedCheckpoint checkpoint = random_checkpoint(dir_, small_llama_config());
  checkpoint.state.values[5] = 70000;
  EXPECT_ERROR_MENTIONS(error_of([&] { export_gguf(checkpoint, file_, TensorType::f16); }), "token_embd.weight", "70000");
  EXPECT_FALSE(fs::exists(file_));
}

}  // namespace
}  // namespace lapilli::testing
