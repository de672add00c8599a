// Configuration: presets, defaults, overrides, errors, and the learning rate.

#include "model/transformer/config.h"
#include "model/io/config_toml.h"
#include "model/train/lr_schedule.h"
#include "model/transformer/parameters.h"

#include <cmath>
#include <tuple>

#include "model/io/config_schema.h"
#include "tests/common/files.h"

namespace lapilli::testing {
namespace {

Config parse(std::string_view text, const std::vector<std::string>& overrides = {}) { return parse_config(text, "run.toml", overrides); }

std::string parse_error(std::string_view text, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { parse(text, overrides); });
}

TEST(Config, Parse_EmptyText_IsDefaults) {
  const Config config = parse("");
  EXPECT_EQ(to_toml(config), to_toml(Config{}));
  EXPECT_EQ(config.model.ffn_dim, 512U);
  EXPECT_EQ(config.model.vocab_size, 0U);
}

TEST(Config, Parse_Gpt2_PresetAndDerivedDefaults) {
  const ModelConfig model = parse("[model]\narch = 'gpt2'\nheads = 6\ndim = 192").model;
  EXPECT_EQ(model.norm, NormKind::layernorm);
  EXPECT_EQ(model.mlp, MlpKind::gelu);
  EXPECT_EQ(model.position, PositionKind::learned);
  EXPECT_TRUE(model.bias);
  EXPECT_TRUE(model.tie_embeddings);
  EXPECT_EQ(model.kv_heads, 6U);
  EXPECT_EQ(model.ffn_dim, 768U);
  EXPECT_EQ(model.head_width(), 32U);
  EXPECT_EQ(model.qkv_width(), 576U);
}

TEST(Config, Parse_Llama_PresetAndDerivedDefaults) {
  const ModelConfig model = parse("[model]\narch = 'llama'\nheads = 6\nkv_heads = 2\ndim = 288").model;
  EXPECT_EQ(model.norm, NormKind::rmsnorm);
  EXPECT_EQ(model.mlp, MlpKind::swiglu);
  EXPECT_EQ(model.position, PositionKind::rope);
  EXPECT_FALSE(model.bias);
  EXPECT_FALSE(model.tie_embeddings);
  EXPECT_EQ(model.kv_heads, 2U);
  EXPECT_EQ(model.ffn_dim, 768U);  // 8 * 288 / 3, already a multiple of 32
  EXPECT_EQ(model.qkv_width(), 480U);
  EXPECT_EQ(parse("[model]\narch = 'llama'\nheads = 6\nkv_heads = 2\ndim = 200\nhead_width = 64").model.qkv_width(), 640U);
}

TEST(Config, Parse_SwigluWidth_RoundsUpToMultipleOf32) {
  EXPECT_EQ(parse("[model]\narch = 'llama'\ndim = 128").model.ffn_dim, 352U);     // 341.3
  EXPECT_EQ(parse("[model]\narch = 'llama'\nheads = 32\ndim = 4096").model.ffn_dim, 10944U);  // 10922.7
  EXPECT_EQ(parse("[model]\nmlp = 'swiglu'\ndim = 12").model.ffn_dim, 32U);       // gpt2 with another MLP
  EXPECT_EQ(parse("[model]\narch = 'llama'\nffn_dim = 37").model.ffn_dim, 37U);
}

TEST(Config, Parse_KeyBesidePreset_WinsWhateverTheOrder) {
  const ModelConfig model = parse("[model]\ntie_embeddings = true\nbias = true\nnorm = 'layernorm'\narch = 'llama'").model;
  EXPECT_TRUE(model.tie_embeddings);
  EXPECT_TRUE(model.bias);
  EXPECT_EQ(model.norm, NormKind::layernorm);
  EXPECT_EQ(model.mlp, MlpKind::swiglu);
}

TEST(Config, Parse_LrAlone_EndsAtATenth) {
  EXPECT_EQ(parse("[optim]\nlr = 1e-5").optim.min_lr, 1e-5 / 10);
  EXPECT_EQ(parse("[optim]\nlr = 1e-5\nmin_lr = 0").optim.min_lr, 0);
}

TEST(Config, Overrides_LastOneWins_OverTheFile) {
  const Config config = parse("[optim]\nlr = 1\n[train]\nsteps = 5", {"optim.lr=3e-4", " train.steps = 7 ", "train.steps=8", "loss.z_loss=1"});
  EXPECT_EQ(config.optim.lr, 3e-4);
  EXPECT_EQ(config.train.steps, 8U);
  EXPECT_EQ(config.loss.z_loss, 1.0F);  // a whole number is a number
}

TEST(Config, Overrides_BareWord_IsAString) {
  const Config config = parse("[data]\ndir = 'x'", {"model.arch=llama", "data.dir=out/my data", "optim.schedule=\"wsd\""});
  EXPECT_EQ(config.model.norm, NormKind::rmsnorm);  // presets see overrides
  EXPECT_EQ(config.data.dir, "out/my data");
  EXPECT_EQ(config.optim.schedule, Schedule::wsd);
  EXPECT_EQ(parse("", {"data.dir=2024"}).data.dir, "2024");
  EXPECT_EQ(parse("", {"data.dir=a=b"}).data.dir, "a=b");
}

TEST(Config, ToToml_EveryKeyChanged_ReadsBackTheSame) {
  Config config;
  config.model = {
      .layers = 3,
      .heads = 6,
      .kv_heads = 2,
      .dim = 24,
      .head_size = 10,
      .ffn_dim = 37,
      .context = 11,
      .norm = NormKind::rmsnorm,
      .mlp = MlpKind::swiglu,
      .position = PositionKind::rope,
      .bias = false,
      .tie_embeddings = false,
      .norm_eps = 1e-6F,
      .rope_theta = 5e5,
      .rope_scaling = {.kind = RopeScalingKind::llama3, .factor = 32, .low_freq_factor = 2, .high_freq_factor = 3, .original_context = 4096},
      .dropout = 0.1F};
  config.data = {.dir = "a \"b\"\\c\n\t\x01 é", .batch = 3, .accumulate = 5, .document_mask = true};
  config.optim = {.optimizer = "adamw",
                  .lr = 1.0 / 3,
                  .min_lr = 1e-300,
                  .warmup = 9,
                  .schedule = Schedule::wsd,
                  .weight_decay = 0,
                  .beta1 = 0.5,
                  .beta2 = 0.95,
                  .eps = 1e-12,
                  .clip = 0};
  config.loss = {.strategy = LossStrategy::vocab,
                 .chunk = 77,
                 .memory_mib = 3,
                 .label_smoothing = 0.1F,
                 .z_loss = 1e-4F,
                 .softcap = 30,
                 .temperature = 0.7F,
                 .distillation = 0.25F};
  config.teacher = "runs/large";
  config.train = {.steps = 10,
                  .eval_every = 11,
                  .eval_tokens = 12,
                  .checkpoint_every = 13,
                  .checkpoint_minutes = 0.5,
                  .keep = 14,
                  .keep_best = false,
                  .seed = INT64_MAX,
                  .init_from = "runs/other",
                  .recompute = true,
                  .precision = Precision::bf16};
  const std::string text = to_toml(config);
  const Config again = parse(text);
  EXPECT_EQ(to_toml(again), text);
  EXPECT_EQ(again.optim.lr, config.optim.lr);
  EXPECT_EQ(again.model.dropout, config.model.dropout);
  EXPECT_EQ(again.loss.temperature, config.loss.temperature);
  EXPECT_EQ(again.data.dir, config.data.dir);
  EXPECT_EQ(again.train.seed, config.train.seed);
  for (const schema::Key& key : schema::keys()) {  // nothing was forgotten above
    if (key.path() == "model.arch" || key.path() == "optim.optimizer" || key.path() == "data.mix") continue;
    Config defaults, read = again;
    EXPECT_NE(schema::value_text(key.field(read)), schema::value_text(key.field(defaults))) << key.path();
  }
}

TEST(Config, Parse_EachKey_ReachesItsField) {
  const Config c = parse(R"(
[model]
layers = 3
heads = 6
kv_heads = 2
dim = 24
ffn_dim = 37
context = 11
dropout = 0.25
[data]
dir = "d"
batch = 13
accumulate = 5
document_mask = true
[optim]
lr = 0.5
min_lr = 0.125
warmup = 9
weight_decay = 0.0625
beta1 = 0.75
beta2 = 0.875
eps = 0.03125
clip = 2
[loss]
chunk = 77
memory_mib = 7
label_smoothing = 0.375
z_loss = 0.015625
softcap = 30
temperature = 1.5
[train]
steps = 21
eval_every = 22
eval_tokens = 23
checkpoint_every = 24
keep = 25
seed = 26
recompute = true
)");
  EXPECT_EQ(std::tie(c.model.layers, c.model.heads, c.model.kv_heads, c.model.dim, c.model.ffn_dim, c.model.context),
            std::tuple(3, 6, 2, 24, 37, 11));
  EXPECT_EQ(c.model.dropout, 0.25F);
  EXPECT_EQ(std::tie(c.data.dir, c.data.batch, c.data.accumulate, c.data.document_mask), std::tuple("d", 13, 5, true));
  EXPECT_EQ(std::tie(c.optim.lr, c.optim.min_lr, c.optim.warmup, c.optim.weight_decay), std::tuple(0.5, 0.125, 9, 0.0625));
  EXPECT_EQ(std::tie(c.optim.beta1, c.optim.beta2, c.optim.eps, c.optim.clip), std::tuple(0.75, 0.875, 0.03125, 2.0));
  EXPECT_EQ(std::tie(c.loss.chunk, c.loss.memory_mib, c.loss.label_smoothing, c.loss.z_loss), std::tuple(77, 7, 0.375, 0.015625));
  EXPECT_EQ(std::tie(c.loss.softcap, c.loss.temperature), std::tuple(30, 1.5));
  EXPECT_EQ(std::tie(c.train.steps, c.train.eval_every, c.train.eval_tokens, c.train.checkpoint_every, c.train.keep), std::tuple(21, 22, 23, 24, 25));
  EXPECT_EQ(std::tie(c.train.seed, c.train.recompute), std::tuple(26, true));
}

TEST(Config, Mix_IsReadWrittenAndOverridden) {
  const Config c = parse("[data]\nmix = [['a b', 2], ['c', 0.125]]");
  ASSERT_EQ(c.data.sets().size(), 2u);
  EXPECT_EQ(std::tie(c.data.mix[0].dir, c.data.mix[0].weight), std::tuple("a b", 2));
  EXPECT_EQ(std::tie(c.data.mix[1].dir, c.data.mix[1].weight), std::tuple("c", 0.125));
  EXPECT_EQ(to_toml(parse(to_toml(c))), to_toml(c));
  EXPECT_NE(to_toml(c).find("mix = [[\"a b\", 2.0], [\"c\", 0.125]]"), std::string::npos);
  EXPECT_EQ(parse("[data]\nmix = [['a', 1]]", {"data.mix=[[\"b\", 3]]"}).data.mix[0].dir, "b");
  const Config one = parse("[data]\ndir = 'd'"), moved = parse(to_toml(one), {"data.dir=", "data.mix=[['e', 1]]"});
  EXPECT_EQ(one.data.sets()[0].dir, "d");
  EXPECT_EQ(moved.data.sets()[0].dir, "e");
  EXPECT_TRUE(parse("").data.sets().empty());
}

struct BadText {
  const char* text;
  std::vector<std::string_view> parts;
};

TEST(Config, Parse_BadText_NamesLineKeyValueAndFix) {
  const BadText cases[] = {
      {"[model]\nlayer = 3", {"run.toml:2", "model.layer", "3", "nearest is model.layers"}},
      {"[train]\nlr = 0.1", {"run.toml:2", "train.lr", "0.1", "nearest is optim.lr"}},
      {"[optim]\nweigth_decay = 0", {"optim.weigth_decay", "nearest is optim.weight_decay"}},
      {"[modle]\nlayers = 3", {"run.toml:1", "[modle]", "nearest is [model]"}},
      {"layers = 3", {"run.toml:1", "layers", "nearest is model.layers"}},
      {"[optim]\nlearning_rate = 1", {"run.toml:2", "optim.learning_rate", "nearest is optim.lr"}},
      {"[model]\nblock_size = 8", {"model.block_size", "nearest is model.context"}},
      {"[model]\nn_embd = 8", {"model.n_embd", "nearest is model.dim"}},
      {"[train]\nmax_iters = 8", {"train.max_iters", "nearest is train.steps"}},
      {"[model]\nmax_seq_len = 8", {"model.max_seq_len", "nearest is model.context"}},
      {"[train]\ndtype = 'bf16'", {"train.dtype", "nearest is train.precision"}},
      {"model = 3", {"run.toml:1", "model = 3", "[model]"}},
      {"[model]\nlayers = 'x'", {"run.toml:2", "model.layers = \"x\"", "whole number"}},
      {"[model]\nlayers = 3.0", {"model.layers = 3.0", "whole number"}},
      {"[model]\nlayers = 0", {"model.layers = 0", "at least 1"}},
      {"[model]\nlayers = 65537", {"model.layers = 65537", "at most 65536"}},
      {"[model]\nlayers = -1", {"model.layers = -1", "at least 1"}},
      {"[model]\nbias = 1", {"model.bias = 1", "true or false"}},
      {"[model]\nnorm = 'rmsnrm'", {"model.norm = \"rmsnrm\"", "\"layernorm\", \"rmsnorm\""}},
      {"[model]\narch = 3", {"model.arch = 3", "\"gpt2\", \"llama\""}},
      {"[model]\ndropout = 1.0", {"model.dropout = 1.0", "at least 0 and below 1"}},
      {"[model]\ndim = 130", {"model.dim = 130", "model.heads = 4"}},
      {"[model]\nkv_heads = 3", {"model.heads = 4", "model.kv_heads = 3"}},
      {"[model]\ndim = 1028", {"257", "256", "raise model.heads"}},
      {"[model]\ndim = 12\nposition = 'rope'", {"3", "even", "model.position"}},
      {"[data]\ndir = ['a']", {"run.toml:2", "data.dir", "a string"}},
      {"[data]\nmix = 'a'", {"run.toml:2", "data.mix", "[[\"a\", 0.7]"}},
      {"[data]\nmix = ['a']", {"run.toml:2", "data.mix", "a list of folders and weights"}},
      {"[data]\nmix = [['a']]", {"data.mix", "a list of folders and weights"}},
      {"[data]\nmix = [['a', 1], ['b', 0]]", {"data.mix", "weights above 0"}},
      {"[data]\nmix = [['a', nan]]", {"data.mix", "weights above 0"}},
      {"[data]\nmix = [['', 1]]", {"data.mix", "a list of folders and weights"}},
      {"[data]\ndir = 'a'\nmix = [['b', 1]]", {"data.dir = \"a\"", "data.mix = [[\"b\", 1.0]]", "exclude each other"}},
      {"[data]\nbatch = 65536\n[model]\ncontext = 65536", {"data.batch = 65536", "model.context = 65536"}},
      {"[optim]\noptimizer = 'sgd'", {"optim.optimizer = \"sgd\"", "\"adamw\""}},
      {"[optim]\nlr = 0", {"optim.lr = 0", "above 0"}},
      {"[optim]\nlr = nan", {"optim.lr = nan", "finite"}},
      {"[optim]\nlr = 'fast'", {"optim.lr = \"fast\"", "a number"}},
      {"[optim]\nmin_lr = 1", {"optim.min_lr = 1", "optim.lr = 0.001"}},
      {"[optim]\nbeta1 = 1", {"optim.beta1 = 1", "below 1"}},
      {"[optim]\nbeta2 = -0.1", {"optim.beta2 = -0.1", "at least 0"}},
      {"[optim]\neps = 0", {"optim.eps = 0", "above 0"}},
      {"[optim]\nwarmup = 5000000000", {"optim.warmup = 5000000000", "at most 4294967295"}},
      {"[loss]\nstrategy = 'rows'", {"loss.strategy = \"rows\"", "\"auto\", \"full\", \"tokens\", \"vocab\""}},
      {"[loss]\nlabel_smoothing = 1", {"loss.label_smoothing", "below 1"}},
      {"[loss]\nlabel_smoothing = 0.99999999999", {"loss.label_smoothing = 1.0", "below 1"}},  // as a float it is 1
      {"[loss]\ntemperature = 0", {"loss.temperature", "above 0"}},
      {"[loss]\ndistillation = 1.5", {"loss.distillation = 1.5", "at most 1"}},
      {"[loss]\ndistillation = 0.5", {"loss.distillation = 0.5", "loss.teacher"}},
      {"[loss]\nteacher = 'runs/large'", {"runs/large", "loss.distillation"}},
      {"[loss]\nz_loss = 1e300", {"loss.z_loss", "at most"}},
      {"[train]\nsteps = 0", {"train.steps = 0", "at least 1"}},
      {"[train]\nprecision = 'f64'", {"train.precision = \"f64\"", "\"f32\", \"f16\", \"bf16\""}},
      {"[train", {"run.toml:1", "TOML"}},
      {"[train]\nsteps = 1\nsteps = 2", {"run.toml:3", "TOML", "steps"}},
      {"[train]\nseed = 99999999999999999999", {"run.toml:2"}},
  };
  for (const BadText& bad : cases) {
    const std::string message = parse_error(bad.text);
    EXPECT_FALSE(message.empty()) << "accepted: " << bad.text;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    for (const std::string_view part : bad.parts) {
      EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' not in: " << message;
    }
  }
}

TEST(Config, Parse_TwoMistakes_ReportsTheFirstInTheText) {
  EXPECT_ERROR_MENTIONS(parse_error("[train]\nzz = 1\naa = 2\n[data]\nbb = 3"), "run.toml:2", "train.zz");
}

TEST(Config, Overrides_Bad_NamesTheOverride) {
  EXPECT_ERROR_MENTIONS(parse_error("", {"model.layers"}), "--set model.layers:", "section.key=value");
  EXPECT_ERROR_MENTIONS(parse_error("", {"layers=3"}), "--set layers=3:", "section.key=value");
  EXPECT_ERROR_MENTIONS(parse_error("", {"model.layrs=3"}), "--set model.layrs=3:", "nearest is model.layers");
  EXPECT_ERROR_MENTIONS(parse_error("", {"model.layers=many"}), "--set model.layers=many:", "\"many\"", "whole number");
  EXPECT_ERROR_MENTIONS(parse_error("", {"model.layers="}), "--set model.layers=:", "whole number");
}

TEST(Config, Load_MissingFile_NamesIt) {
  EXPECT_ERROR_MENTIONS(error_of([] { load_config("/nowhere/run.toml"); }), "/nowhere/run.toml", "No such file");
}

TEST(Config, Validate_HandMadeConfig_IsCheckedLikeText) {
  Config config;
  config.model.dropout = NAN;
  EXPECT_ERROR_MENTIONS(error_of([&] { validate_config(config); }), "model.dropout = nan", "below 1");
  config = {};
  config.optim.optimizer = "sgd";
  EXPECT_ERROR_MENTIONS(error_of([&] { validate_config(config); }), "optim.optimizer = \"sgd\"", "adamw");
}

TEST(ConfigSchema, EditDistance_KnownPairs) {
  EXPECT_EQ(schema::edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(schema::edit_distance("", "abc"), 3U);
  EXPECT_EQ(schema::edit_distance("abc", "abc"), 0U);
}

TEST(LearningRate, Cosine_HandComputedPoints) {
  const OptimConfig optim{.lr = 1e-3, .min_lr = 1e-4, .warmup = 100, .schedule = Schedule::cosine};
  const auto at = [&](uint64_t step) { return learning_rate(optim, step, 2000); };
  EXPECT_DOUBLE_EQ(at(1), 1e-5);
  EXPECT_DOUBLE_EQ(at(50), 5e-4);
  EXPECT_DOUBLE_EQ(at(99), 9.9e-4);
  EXPECT_DOUBLE_EQ(at(100), 1e-3);
  EXPECT_NEAR(at(575), 8.6819805153394642e-4, 1e-18);  // a quarter: min + (1 + 1/sqrt 2) / 2 (lr - min)
  EXPECT_NEAR(at(1050), 5.5e-4, 1e-18);                // half
  EXPECT_NEAR(at(1525), 2.3180194846605361e-4, 1e-18);
  EXPECT_DOUBLE_EQ(at(2000), 1e-4);
  EXPECT_DOUBLE_EQ(at(5000), 1e-4);
}

TEST(LearningRate, OtherSchedules_HandComputedPoints) {
  OptimConfig optim{.lr = 1e-3, .min_lr = 1e-4, .warmup = 100, .schedule = Schedule::linear};
  EXPECT_DOUBLE_EQ(learning_rate(optim, 100, 2000), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 575, 2000), 7.75e-4);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 2000, 2000), 1e-4);
  optim.schedule = Schedule::constant;
  EXPECT_DOUBLE_EQ(learning_rate(optim, 20, 2000), 2e-4);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 2000, 2000), 1e-3);
  optim.schedule = Schedule::wsd;
  EXPECT_DOUBLE_EQ(learning_rate(optim, 101, 2000), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 1600, 2000), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 1800, 2000), 5.5e-4);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 2000, 2000), 1e-4);
}

TEST(LearningRate, Warmup_NoneOrLongerThanTheRun) {
  OptimConfig optim{.lr = 1e-3, .min_lr = 0, .warmup = 0, .schedule = Schedule::linear};
  EXPECT_DOUBLE_EQ(learning_rate(optim, 1, 4), 7.5e-4);
  EXPECT_DOUBLE_EQ(learning_rate(optim, 4, 4), 0);
  optim.warmup = 100;
  EXPECT_DOUBLE_EQ(learning_rate(optim, 20, 20), 2e-4);
}

// What only shows once the vocabulary is known.
TEST(Limits, MoreParametersThanCanBeNumbered_IsAnError) {
  ModelConfig model{.layers = 48, .heads = 32, .kv_heads = 32, .dim = 4096, .ffn_dim = 16384, .context = 8, .vocab_size = 50257};
  EXPECT_ERROR_MENTIONS(error_of([&] { const ParameterTable table(model); }), "4294967295", "model.dim");
  model.layers = 4;
  EXPECT_EQ(error_of([&] { const ParameterTable table(model); }), "");
}

TEST(Limits, TooLargeAMicroBatchOfATeacher_IsAnError) {
  const ModelConfig teacher{.heads = 16, .kv_heads = 16, .dim = 4096, .ffn_dim = 16384, .context = 4096};
  EXPECT_EQ(error_of([&] { validate_micro_batch(teacher, {.batch = 31}, 4096, "the teacher's "); }), "");
  EXPECT_ERROR_MENTIONS(error_of([&] { validate_micro_batch(teacher, {.batch = 32}, 4096, "the teacher's "); }), "the teacher's layers 16384 wide",
                        "data.accumulate");
}

}  // namespace
}  // namespace lapilli::testing
