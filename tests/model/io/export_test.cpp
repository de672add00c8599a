// Export: the tensors that Hugging Face's classes expect, element by element, and a check of the folder with PyTorch if
// it is installed.

#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "engine/memory/half.h"
#include "model/io/export.h"
#include "model/io/safetensors.h"
#include "model/transformer/parameters.h"
#include "tests/common/files.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli::testing {
namespace {

Config gpt2_config() {
  Config config;
  config.model = {.layers = 2, .heads = 2, .kv_heads = 2, .dim = 8, .ffn_dim = 20, .context = 6, .vocab_size = 259};
  return config;
}

Config llama_config() {
  Config config;
  config.model = {.arch = Arch::llama,
                  .layers = 2,
                  .heads = 4,
                  .kv_heads = 2,
                  .dim = 16,
                  .ffn_dim = 21,
                  .context = 7,
                  .norm = NormKind::rmsnorm,
                  .mlp = MlpKind::swiglu,
                  .position = PositionKind::rope,
                  .bias = false,
                  .tie_embeddings = false,
                  .vocab_size = 259};
  return config;
}

class Export : public ::testing::Test {
 protected:
  Export() {
    const fs::path text = dir_.write("text", "a few words");
    fs::create_directories(dir_ / "checkpoint");
    train_tokenizer({.type = TokenizerType::kByte}, {&text, 1}, dir_ / "checkpoint/tokenizer.model");
  }

  LoadedCheckpoint checkpoint(const Config& config) const {
    LoadedCheckpoint result{.folder = dir_ / "checkpoint", .config = config, .state = {}};
    result.state.values.resize(ParameterTable(config.model).count());
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.3F);
    for (float& value : result.state.values) value = normal(random);
    return result;
  }

  nlohmann::json export_config(const LoadedCheckpoint& from) const {
    export_safetensors(from, out_);
    return nlohmann::json::parse(read_text_file(out_ / "config.json"));
  }

  std::string export_error(const Config& config) const {
    return error_of([&] { export_safetensors(checkpoint(config), out_); });
  }

  // 0: the PyTorch check accepts the folder; 77: there is no PyTorch here.
  int judge() const {
    const fs::path tokens = dir_.write("tokens", "1 72 101 108 108 111 0 258 33 34 35 36 37 38 39 40 41");
    for (const char* python : {"/usr/bin/python3", "python3"}) {
      const std::string command = fmt::format("{} '{}/tests/torch/check_export.py' '{}' '{}' >'{}' 2>&1", python, LAPILLI_SOURCE_DIR, out_.string(),
                                              tokens.string(), (dir_ / "verdict").string());
      const int status = std::system(command.c_str());
      if (WIFEXITED(status) && WEXITSTATUS(status) != 77 && WEXITSTATUS(status) != 127) return WEXITSTATUS(status);
    }
    return 77;
  }
  std::string verdict() const { return read_text_file(dir_ / "verdict"); }

  TempDir dir_;
  fs::path out_ = dir_ / "out/model";
};

std::span<const float> ours(const LoadedCheckpoint& checkpoint, const ParameterTable& table, const std::string& name) {
  const ParameterSpec& spec = table[name];
  return std::span(checkpoint.state.values).subspan(spec.offset, spec.shape.elements());
}

TEST_F(Export, Gpt2_Tensors_AreTransposedElementByElement) {
  const LoadedCheckpoint from = checkpoint(gpt2_config());
  export_safetensors(from, out_);
  const SafetensorsFile file(out_ / "model.safetensors");
  const ParameterTable table(from.config.model);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.tensors().size(), table.specs().size());

  const std::pair<const char*, const char*> transposed[] = {{"transformer.h.1.attn.c_attn.weight", "layers.1.qkv.weight"},
                                                            {"transformer.h.0.attn.c_proj.weight", "layers.0.proj.weight"},
                                                            {"transformer.h.1.mlp.c_fc.weight", "layers.1.fc.weight"},
                                                            {"transformer.h.0.mlp.c_proj.weight", "layers.0.out.weight"}};
  for (const auto& [theirs, name] : transposed) {
    const Shape shape = table[name].shape;  // [out, in]
    ASSERT_EQ(file.info(theirs).shape, (std::vector<uint64_t>{shape[1], shape[0]})) << theirs;
    const std::vector<float> values = file.read<float>(theirs);
    const std::span<const float> expected = ours(from, table, name);
    for (uint32_t out = 0; out < shape[0]; ++out) {
      for (uint32_t in = 0; in < shape[1]; ++in) {
        ASSERT_EQ(values[in * shape[0] + out], expected[out * shape[1] + in]) << theirs;
      }
    }
  }
  const std::pair<const char*, const char*> plain[] = {{"transformer.wte.weight", "wte.weight"},
                                                       {"transformer.wpe.weight", "wpe.weight"},
                                                       {"transformer.h.1.ln_1.weight", "layers.1.norm1.weight"},
                                                       {"transformer.h.1.ln_2.bias", "layers.1.norm2.bias"},
                                                       {"transformer.h.0.attn.c_attn.bias", "layers.0.qkv.bias"},
                                                       {"transformer.ln_f.bias", "norm.bias"}};
  for (const auto& [theirs, name] : plain) {
    const std::span<const float> expected = ours(from, table, name);
    EXPECT_EQ(file.read<float>(theirs), std::vector<float>(expected.begin(), expected.end())) << theirs;
  }
}

TEST_F(Export, Gpt2_WithoutBias_WritesZeros) {
  Config config = gpt2_config();
  config.model.bias = false;
  export_safetensors(checkpoint(config), out_);
  const SafetensorsFile file(out_ / "model.safetensors");
  size_t biases = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    if (!tensor.name.ends_with(".bias")) continue;
    ++biases;
    EXPECT_EQ(file.read<float>(tensor.name), std::vector<float>(tensor.elements())) << tensor.name;
  }
  EXPECT_EQ(biases, 2U * 6 + 1);  // two norms and four linear layers of a block, the last norm
  EXPECT_EQ(file.info("transformer.h.1.attn.c_attn.bias").shape, std::vector<uint64_t>{24});
  EXPECT_EQ(file.info("transformer.h.1.mlp.c_fc.bias").shape, std::vector<uint64_t>{20});
  EXPECT_EQ(file.info("transformer.h.1.mlp.c_proj.bias").shape, std::vector<uint64_t>{8});
}

TEST_F(Export, Llama_Tensors_AreRowsOfTheFusedOnes) {
  const LoadedCheckpoint from = checkpoint(llama_config());
  export_safetensors(from, out_);
  const SafetensorsFile file(out_ / "model.safetensors");
  const ParameterTable table(from.config.model);
  struct Rows {
    const char* theirs;
    const char* name;
    uint32_t first, count;
  };
  const Rows all[] = {{"model.embed_tokens.weight", "wte.weight", 0, 259},
                      {"model.layers.1.self_attn.q_proj.weight", "layers.1.qkv.weight", 0, 16},
                      {"model.layers.1.self_attn.k_proj.weight", "layers.1.qkv.weight", 16, 8},
                      {"model.layers.1.self_attn.v_proj.weight", "layers.1.qkv.weight", 24, 8},
                      {"model.layers.0.self_attn.o_proj.weight", "layers.0.proj.weight", 0, 16},
                      {"model.layers.0.mlp.gate_proj.weight", "layers.0.gate_up.weight", 0, 21},
                      {"model.layers.0.mlp.up_proj.weight", "layers.0.gate_up.weight", 21, 21},
                      {"model.layers.0.mlp.down_proj.weight", "layers.0.out.weight", 0, 16},
                      {"lm_head.weight", "head.weight", 0, 259}};
  for (const Rows& rows : all) {
    const uint64_t cols = table[rows.name].shape[1];
    EXPECT_EQ(file.info(rows.theirs).shape, (std::vector<uint64_t>{rows.count, cols})) << rows.theirs;
    const std::span<const float> expected = ours(from, table, rows.name).subspan(rows.first * cols, rows.count * cols);
    EXPECT_EQ(file.read<float>(rows.theirs), std::vector<float>(expected.begin(), expected.end())) << rows.theirs;
  }
  EXPECT_EQ(file.tensors().size(), 2U * 9 + 3);
}

TEST_F(Export, Gpt2_ConfigJson_SaysWhatTransformersNeeds) {
  const nlohmann::json config = export_config(checkpoint(gpt2_config()));
  const nlohmann::json expected = {{"architectures", nlohmann::json::array({"GPT2LMHeadModel"})},
                                   {"model_type", "gpt2"},
                                   {"vocab_size", 259},
                                   {"n_positions", 6},
                                   {"n_ctx", 6},
                                   {"n_embd", 8},
                                   {"n_layer", 2},
                                   {"n_head", 2},
                                   {"n_inner", 20},
                                   {"activation_function", "gelu_new"},
                                   {"layer_norm_epsilon", 1e-5},
                                   {"embd_pdrop", 0.0},
                                   {"resid_pdrop", 0.0},
                                   {"attn_pdrop", 0.0},
                                   {"scale_attn_weights", true},
                                   {"scale_attn_by_inverse_layer_idx", false},
                                   {"tie_word_embeddings", true},
                                   {"torch_dtype", "float32"},
                                   {"bos_token_id", 2},
                                   {"eos_token_id", 2}};
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(config.at(key), value) << key;
  EXPECT_EQ(read_text_file(out_ / "tokenizer.model"), read_text_file(dir_ / "checkpoint/tokenizer.model"));
}

TEST_F(Export, Llama_ConfigJson_SaysWhatTransformersNeeds) {
  const nlohmann::json config = export_config(checkpoint(llama_config()));
  const nlohmann::json expected = {{"architectures", nlohmann::json::array({"LlamaForCausalLM"})},
                                   {"model_type", "llama"},
                                   {"vocab_size", 259},
                                   {"max_position_embeddings", 7},
                                   {"hidden_size", 16},
                                   {"intermediate_size", 21},
                                   {"num_hidden_layers", 2},
                                   {"num_attention_heads", 4},
                                   {"num_key_value_heads", 2},
                                   {"head_dim", 4},
                                   {"hidden_act", "silu"},
                                   {"rms_norm_eps", 1e-5},
                                   {"rope_theta", 10000.0},
                                   {"attention_bias", false},
                                   {"mlp_bias", false},
                                   {"tie_word_embeddings", false},
                                   {"torch_dtype", "float32"},
                                   {"bos_token_id", 2},
                                   {"eos_token_id", 2}};
  for (const auto& [key, value] : expected.items()) EXPECT_EQ(config.at(key), value) << key;
}

TEST_F(Export, AllVariants_AreAcceptedByPyTorchsReference) {
  std::vector<Config> variants{gpt2_config(), gpt2_config(), gpt2_config(), llama_config(), llama_config(), llama_config()};
  variants[1].model.bias = false;
  variants[2].model.tie_embeddings = false;
  variants[4].model.tie_embeddings = true;
  variants[5].model.bias = true;
  for (const Config& config : variants) {
    export_safetensors(checkpoint(config), out_);
    const int exit_code = judge();
    if (exit_code == 77) GTEST_SKIP() << "no Python here has PyTorch (package python3-torch)";
    EXPECT_EQ(exit_code, 0) << verdict();
    const double loss = nlohmann::json::parse(verdict()).at("loss");
    EXPECT_GT(loss, 3) << verdict();  // random weights: about ln 259 = 5.6
    EXPECT_LT(loss, 12) << verdict();
  }
}

TEST_F(Export, SameCheckpoint_SameBytes) {
  const LoadedCheckpoint from = checkpoint(llama_config());
  export_safetensors(from, out_);
  export_safetensors(from, dir_ / "again");
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.model"}) {
    EXPECT_EQ(read_text_file(out_ / name), read_text_file(dir_ / "again" / name)) << name;
  }
}

TEST_F(Export, SixteenBits_AreRoundedOnce) {
  const LoadedCheckpoint from = checkpoint(llama_config());
  const ParameterTable table(from.config.model);
  const std::span<const float> expected = ours(from, table, "wte.weight");
  for (const auto& [type, dtype, name] :
       {std::tuple(TensorType::f16, DType::f16, "float16"), std::tuple(TensorType::bf16, DType::bf16, "bfloat16")}) {
    export_safetensors(from, out_, {.type = type});
    EXPECT_EQ(nlohmann::json::parse(read_text_file(out_ / "config.json")).at("torch_dtype"), name);
    const SafetensorsFile file(out_ / "model.safetensors");
    EXPECT_EQ(file.info("model.embed_tokens.weight").type, type);
    const std::vector<float> values = file.read<float>("model.embed_tokens.weight");
    ASSERT_EQ(values.size(), expected.size());
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], half_value(half_bits(expected[i], dtype), dtype)) << name << " " << i;
  }
}

TEST_F(Export, BeyondF16_NamesTheTensor) {
  LoadedCheckpoint from = checkpoint(llama_config());
  from.state.values[ParameterTable(from.config.model)["layers.1.out.weight"].offset + 3] = 70000;
  EXPECT_ERROR_MENTIONS(error_of([&] { export_safetensors(from, out_, {.type = TensorType::f16}); }), "model.layers.1.mlp.down_proj.weight", "70000",
                        "bf16");
  EXPECT_FALSE(fs::exists(out_));
  export_safetensors(from, out_, {.type = TensorType::bf16});
}

TEST_F(Export, AboveTheLimit_SpreadsOverFilesWithAnIndex) {
  const LoadedCheckpoint from = checkpoint(llama_config());
  export_safetensors(from, out_);
  const SafetensorsFile whole(out_ / "model.safetensors");
  const std::vector<std::string> names = export_safetensors(from, dir_ / "parts", {.most_bytes_in_a_file = 20000});
  const nlohmann::json index = nlohmann::json::parse(read_text_file(dir_ / "parts/model.safetensors.index.json"));
  EXPECT_EQ(index.at("weight_map").size(), whole.tensors().size());
  std::set<std::string> files;
  uint64_t total = 0;
  for (const TensorInfo& tensor : whole.tensors()) {
    const std::string file = index.at("weight_map").at(tensor.name);
    files.insert(file);
    EXPECT_EQ(SafetensorsFile(dir_ / "parts" / file).read<float>(tensor.name), whole.read<float>(tensor.name)) << tensor.name;
    total += tensor.size_bytes();
  }
  EXPECT_EQ(index.at("metadata").at("total_size"), total);
  EXPECT_GT(files.size(), 2U);
  for (const std::string& file : files) {
    EXPECT_NE(std::ranges::find(names, file), names.end()) << file;
    EXPECT_LT(fs::file_size(dir_ / "parts" / file), 20000 + 4096U) << file;
  }
  EXPECT_FALSE(fs::exists(dir_ / "parts/model.safetensors"));
}

// Whether the ids are equal is judged by transformers itself: tests/torch/check_tokenizer.py.
TEST_F(Export, TokenizerJson_HasEveryPieceAndNoMergeOfSpecials) {
  const fs::path text = dir_.write("text", std::string("to be or not to be, that is the question\n") + "tomorrow and tomorrow and tomorrow\n");
  train_tokenizer({.type = TokenizerType::kBpe, .vocab_size = 300}, {&text, 1}, dir_ / "checkpoint/tokenizer.model");
  Config config = llama_config();
  config.model.vocab_size = 300;
  export_safetensors(checkpoint(config), out_);
  const nlohmann::json json = nlohmann::json::parse(read_text_file(out_ / "tokenizer.json"));
  const Tokenizer tokenizer(dir_ / "checkpoint/tokenizer.model");
  const nlohmann::json& model = json.at("model");
  EXPECT_EQ(model.at("vocab").size(), tokenizer.vocab_size());
  for (uint32_t id = 0; id < tokenizer.vocab_size(); ++id) EXPECT_EQ(model.at("vocab").at(tokenizer.piece(id)), id);
  EXPECT_EQ(json.at("added_tokens").size(), 3U);
  EXPECT_GT(model.at("merges").size(), 5U);
  uint32_t before = 0;
  for (const nlohmann::json& merge : model.at("merges")) {
    const std::string left = merge.at(0), right = merge.at(1);
    const uint32_t merged = model.at("vocab").at(left + right);
    EXPECT_GE(merged, before);
    before = merged;
    EXPECT_GE(model.at("vocab").at(left).get<uint32_t>(), 259U) << left;
    EXPECT_GE(model.at("vocab").at(right).get<uint32_t>(), 259U) << right;
  }
  EXPECT_EQ(nlohmann::json::parse(read_text_file(out_ / "tokenizer_config.json")).at("tokenizer_class"), "PreTrainedTokenizerFast");
}

TEST_F(Export, NeitherFamily_NamesTheKey) {
  const auto error_with = [&](Config config, auto&& change) {
    change(config);
    return export_error(config);
  };
  EXPECT_ERROR_MENTIONS(error_with(gpt2_config(), [](Config& c) { c.model.norm = NormKind::rmsnorm; }), "model.norm = \"rmsnorm\"",
                        "GPT2LMHeadModel has layernorm");
  EXPECT_ERROR_MENTIONS(error_with(gpt2_config(), [](Config& c) { c.model.kv_heads = 1; }), "model.kv_heads = 1", "as many as heads");
  EXPECT_ERROR_MENTIONS(error_with(llama_config(), [](Config& c) { c.model.mlp = MlpKind::gelu; }), "model.mlp = \"gelu\"",
                        "LlamaForCausalLM has swiglu");
  EXPECT_ERROR_MENTIONS(error_with(llama_config(), [](Config& c) { c.model.position = PositionKind::learned; }), "model.position = \"learned\"",
                        "LlamaForCausalLM has rope");
  EXPECT_ERROR_MENTIONS(error_with(gpt2_config(), [](Config& c) { c.loss.softcap = 30; }), "loss.softcap = 30");
  EXPECT_ERROR_MENTIONS(error_with(gpt2_config(), [](Config& c) { c.loss.temperature = 2; }), "loss.temperature = 2");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(Export, CannotWrite_NamesTheFolder) {
  const fs::path file = dir_.write("file", "x");
  EXPECT_ERROR_MENTIONS(error_of([&] { export_safetensors(checkpoint(gpt2_config()), file / "sub"); }), "file/sub");
}

}  // namespace
}  // namespace lapilli::testing
