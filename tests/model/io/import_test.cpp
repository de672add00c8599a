// Import: what was exported comes back element by element; what cannot be represented is refused by name and leaves nothing.

#include "model/io/import.h"

#include <nlohmann/json.hpp>

#include "engine/memory/half.h"
#include "model/io/config_toml.h"
#include "model/io/export.h"
#include "tests/model/io/small_models.h"
#include "tests/tokenizer/byte_bpe.h"

namespace lapilli::testing {
namespace {

using nlohmann::json;

class Import : public ::testing::Test {
 protected:
  // Random weights, written as Hugging Face has them; returns them.
  std::vector<float> write(const Config& config, const ExportSettings& settings = {}) const {
    const LoadedCheckpoint checkpoint = random_checkpoint(dir_, config);
    fs::remove_all(hf_);
    export_safetensors(checkpoint, hf_, settings);
    return checkpoint.state.values;
  }

  LoadedCheckpoint imported() const {
    fs::remove_all(run_);
    import_model(hf_, run_);
    return load_checkpoint(run_);
  }

  std::string error() const {
    const std::string message = error_of([&] { import_model(hf_, run_); });
    EXPECT_FALSE(fs::exists(run_)) << message;
    return message;
  }

  // The error after a change of config.json.
  std::string error_with(const Config& config, const std::string& key, const json& value) const {
    write(config);
    json changed = json::parse(read_text_file(hf_ / "config.json"));
    changed[key] = value;
    write_file_atomically(hf_ / "config.json", changed.dump());
    return error();
  }

  void remove_tensor(std::string_view name) const {
    std::vector<std::vector<float>> data;
    std::vector<TensorInfo> tensors;
    {
      const SafetensorsFile file(hf_ / "model.safetensors");
      for (const TensorInfo& tensor : file.tensors()) {
        if (tensor.name == name) continue;
        tensors.push_back({.name = tensor.name, .shape = tensor.shape});
        data.push_back(file.read<float>(tensor.name));
      }
    }
    SafetensorsWriter writer(hf_ / "model.safetensors", {}, tensors);
    for (const std::vector<float>& tensor : data) writer.write(tensor);
    writer.commit();
  }

  TempDir dir_;
  fs::path hf_ = dir_ / "model", run_ = dir_ / "run";
};

TEST_F(Import, EveryVariant_ComesBackElementByElement) {
  for (const Config& config : small_variants()) {
    const std::vector<float> values = write(config);
    const LoadedCheckpoint loaded = imported();
    EXPECT_EQ(loaded.state.values, values);
    EXPECT_EQ(loaded.state.step, 0U);
    EXPECT_TRUE(loaded.state.first_moment.empty());
    EXPECT_EQ(loaded.config.model.vocab_size, 259U);
    Config expected;
    expected.model = config.model;
    expected.data.batch = 1;
    if (config.model.arch == Arch::llama) expected.model.head_size = config.model.head_width();
    EXPECT_EQ(to_toml(loaded.config), to_toml(expected));
    EXPECT_EQ(read_text_file(run_ / "config.toml"), to_toml(expected));
    EXPECT_EQ(Tokenizer(run_ / "tokenizer.model").hash(), loaded.state.tokenizer_hash);
  }
}

TEST_F(Import, SixteenBitsAndSeveralFiles_AreRead) {
  const std::vector<float> values = write(small_llama_config(), {.type = TensorType::bf16, .most_bytes_in_a_file = 10000});
  EXPECT_TRUE(fs::exists(hf_ / "model.safetensors.index.json"));
  const LoadedCheckpoint loaded = imported();
  ASSERT_EQ(loaded.state.values.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(loaded.state.values[i], half_value(bf16_bits(values[i]), DType::bf16)) << i;
}

TEST_F(Import, NamesWithoutPrefix_AndTablesOfOtherVersions_AreRead) {
  const std::vector<float> values = write(small_gpt2_config());
  const fs::path path = hf_ / "model.safetensors";
  std::vector<std::vector<float>> data;
  std::vector<TensorInfo> tensors;
  {
    const SafetensorsFile file(path);
    for (const TensorInfo& tensor : file.tensors()) {
      tensors.push_back({.name = tensor.name.substr(std::string("transformer.").size()), .shape = tensor.shape});
      data.push_back(file.read<float>(tensor.name));
    }
  }
  tensors.push_back({.name = "h.0.attn.bias", .shape = {2, 2}});
  data.emplace_back(4);
  SafetensorsWriter writer(path, {}, tensors);
  for (const std::vector<float>& tensor : data) writer.write(tensor);
  writer.commit();
  EXPECT_EQ(imported().state.values, values);
}

// attention_bias without mlp_bias: ours are zeros where the model has none.
TEST_F(Import, BiasesOfAttentionAlone_AreReadAndOthersZero) {
  Config biased = small_llama_config();
  biased.model.bias = true;
  std::vector<float> expected = write(biased);
  for (const char* name : {"gate_proj", "up_proj", "down_proj"})
    for (int layer = 0; layer < 2; ++layer) remove_tensor(fmt::format("model.layers.{}.mlp.{}.bias", layer, name));
  const ParameterTable table(biased.model);
  for (const char* name : {"layers.0.gate_up.bias", "layers.1.gate_up.bias", "layers.0.out.bias", "layers.1.out.bias"}) {
    const ParameterSpec& spec = table[name];
    std::fill_n(expected.begin() + static_cast<ptrdiff_t>(spec.offset), spec.shape.elements(), 0.0F);
  }
  EXPECT_EQ(imported().state.values, expected);
}

TEST_F(Import, WhatCannotBeRepresented_NamesKeyAndValue) {
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "model_type", "mistral"), "config.json", "model_type = \"mistral\"");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "hidden_act", "gelu"), "hidden_act = \"gelu\"", "silu");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}), "rope_type = \"yarn\"");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "num_hidden_layers", nullptr), "has no num_hidden_layers");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "hidden_size", -4), "hidden_size = -4");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "num_key_value_heads", 3), "config.json", "model.kv_heads = 3");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "vocab_size", 258), "tokenizer.model", "259", "258");
  EXPECT_ERROR_MENTIONS(error_with(small_gpt2_config(), "activation_function", "relu"), "activation_function = \"relu\"");
  EXPECT_ERROR_MENTIONS(error_with(small_gpt2_config(), "scale_attn_by_inverse_layer_idx", true), "scale_attn_by_inverse_layer_idx = true");
}

TEST_F(Import, TensorsThatDoNotFit_AreNamed) {
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "num_hidden_layers", 3), "no tensor model.layers.2.");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "num_hidden_layers", 1), "no place for the tensor model.layers.1.");
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "intermediate_size", 22), "model.layers.0.mlp.gate_proj.weight", "[21, 16]", "[22, 16]");
  Config biased = small_llama_config();
  biased.model.bias = true;
  write(biased);
  remove_tensor("model.layers.1.self_attn.k_proj.bias");
  EXPECT_ERROR_MENTIONS(error(), "no tensor model.layers.1.self_attn.k_proj.bias");
  write(small_llama_config());
  fs::resize_file(hf_ / "model.safetensors", fs::file_size(hf_ / "model.safetensors") - 8);
  EXPECT_ERROR_MENTIONS(error(), "model.safetensors");
  fs::remove(hf_ / "model.safetensors");
  EXPECT_ERROR_MENTIONS(error(), "neither model.safetensors nor model.safetensors.index.json");
  dir_.write("model/model.safetensors.index.json", R"({"weight_map": {"a": "../outside"}})");
  EXPECT_ERROR_MENTIONS(error(), "not the name of a file beside it");
  write(small_llama_config());
  fs::remove(hf_ / "tokenizer.model");
  EXPECT_ERROR_MENTIONS(error(), "tokenizer.json", "model.byte_fallback");  // the one written for SentencePiece
  fs::remove(hf_ / "tokenizer.json");
  EXPECT_ERROR_MENTIONS(error(), "neither tokenizer.model nor tokenizer.json");
}

TEST_F(Import, VocabularyBeyondTheSentencePieceModel_HasUnusedPieces) {
  Config padded = small_llama_config();
  padded.model.vocab_size = 264;
  const std::vector<float> values = write(padded);
  const LoadedCheckpoint loaded = imported();
  EXPECT_EQ(loaded.state.values, values);
  const Tokenizer before(hf_ / "tokenizer.model"), after(tokenizer_in(loaded.folder));
  EXPECT_EQ(after.vocab_size(), 264U);
  EXPECT_EQ(after.hash(), loaded.state.tokenizer_hash);
  EXPECT_EQ(after.piece(263), "<|unused_263|>");
  EXPECT_EQ(after.piece_bytes(263), "");
  EXPECT_EQ(after.eos_id(), before.eos_id());
  EXPECT_EQ(after.encode("a few <|unused_263|> words\n"), before.encode("a few <|unused_263|> words\n"));
}

// Out and in again, its ids the same; padded, and cut.
TEST_F(Import, ByteLevelBpe_OutAndIn) {
  fs::create_directories(dir_ / "checkpoint");  // instead of random_checkpoint(), whose tokenizer is SentencePiece's
  dir_.write("checkpoint/tokenizer.json", byte_bpe_json("llama3").dump());
  const Tokenizer tokenizer(dir_ / "checkpoint/tokenizer.json");
  for (const uint32_t more : {0U, 10U}) {
    Config config = small_llama_config();
    config.model.vocab_size = tokenizer.vocab_size() + more;
    const std::vector<float> values = write(config);
    EXPECT_FALSE(fs::exists(hf_ / "tokenizer.model"));
    EXPECT_EQ(Tokenizer(hf_ / "tokenizer.json").encode("The man's 1024 houses"), tokenizer.encode("The man's 1024 houses"));
    const LoadedCheckpoint loaded = imported();
    EXPECT_EQ(loaded.state.values, values);
    const Tokenizer stored(run_ / "tokenizer.json");
    EXPECT_EQ(stored.hash(), loaded.state.tokenizer_hash);
    EXPECT_EQ(stored.vocab_size(), config.model.vocab_size);
    EXPECT_EQ(stored.encode("The man's 1024 houses"), tokenizer.encode("The man's 1024 houses"));
    EXPECT_EQ(read_text_file(tokenizer_in(loaded.folder)), read_text_file(run_ / "tokenizer.json"));
    EXPECT_EQ(read_text_file(hf_ / "tokenizer.json") == read_text_file(run_ / "tokenizer.json"), more == 0);
  }
  fs::remove_all(run_);
  EXPECT_ERROR_MENTIONS(error_with(small_llama_config(), "vocab_size", 259), "tokenizer.json", fmt::format("{}", tokenizer.vocab_size()), "259");
}

// Its tokenizer.json names no token that ends a text by a usual name, and config.json says which does.
TEST_F(Import, EndOfText_OfConfigJson) {
  fs::create_directories(dir_ / "checkpoint");  // instead of random_checkpoint(), whose tokenizer is SentencePiece's
  dir_.write("checkpoint/tokenizer.json", byte_bpe_json("gpt2").dump());
  Config config = small_llama_config();
  config.model.vocab_size = Tokenizer(dir_ / "checkpoint/tokenizer.json").vocab_size();
  write(config);
  json file = byte_bpe_json("gpt2");
  file["added_tokens"][0]["special"] = false;  // <|endoftext|>
  dir_.write("model/tokenizer.json", file.dump());
  EXPECT_EQ(Tokenizer(hf_ / "tokenizer.json").eos_id(), std::nullopt);
  const auto eos = [&](const json& id) {
    json changed = json::parse(read_text_file(hf_ / "config.json"));
    changed["eos_token_id"] = id;
    dir_.write("model/config.json", changed.dump());
    return Tokenizer(tokenizer_in(imported().folder)).eos_id();
  };
  EXPECT_EQ(eos(7), 7U);
  EXPECT_EQ(eos({9, 7}), 9U);
  EXPECT_EQ(eos(nullptr), std::nullopt);
  EXPECT_EQ(eos(1 << 20), std::nullopt);
}

TEST_F(Import, RunThatExists_IsRefused) {
  write(small_llama_config());
  fs::create_directories(run_);
  dir_.write("run/mine", "x");
  EXPECT_ERROR_MENTIONS(error_of([&] { import_model(hf_, run_); }), "run", "exists");
  EXPECT_EQ(read_text_file(run_ / "mine"), "x");
}

}  // namespace
}  // namespace lapilli::testing
