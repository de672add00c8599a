// The whole model against PyTorch at sizes beyond one tile, on the kernels that GPUs get, with a document mask, dropout, masked and missing
// targets: logits, gradients and ten optimizer steps, from goldens that tests/torch/make_tile_goldens.py computed in float64; and a run to learn,
// evaluate and resume.

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/base/philox.h"
#include "model/io/checkpoint.h"
#include "model/matmul/matmul.h"
#include "tests/common/files.h"
#include "tests/model/train/training_session.h"
#include "tests/model/transformer/golden_model.h"

namespace lapilli::test {
namespace {

// As make_tile_goldens.py has them.
constexpr uint32_t kInitKey = 1, kSignsKey = 2, kPatterns = 32;

uint32_t random_word(uint64_t element, uint32_t stream, uint32_t key) {
  return philox4x32({static_cast<uint32_t>(element / 4), stream, 0, 0}, {key, 0})[element % 4];
}

// What a golden file holds of a tensor.
struct Measured {
  Measured(const SafetensorsFile& file, const std::string& name) : values(file.read<float>(name)) { CHECK_EQ(values.size(), kPatterns + 4); }
  double norm() const { return static_cast<double>(values[kPatterns]); }
  double rounding(Precision precision) const { return static_cast<double>(values[kPatterns + 1 + static_cast<size_t>(precision)]); }
  std::vector<float> values;
};
static_assert(static_cast<int>(Precision::f32) == 0 && static_cast<int>(Precision::f16) == 1 && static_cast<int>(Precision::bf16) == 2);

// The norm of x - golden, by the mean of its squared sums under 32 patterns of signs; NaN where x has one.
double distance(const std::vector<float>& x, const Measured& golden) {
  double sums[kPatterns] = {};
  for (uint64_t i = 0; i < x.size(); ++i) {
    const uint32_t minus = random_word(i, 0, kSignsKey);
    for (uint32_t p = 0; p < kPatterns; ++p) sums[p] += static_cast<double>((minus >> p & 1U) != 0 ? -x[i] : x[i]);
  }
  double squares = 0;
  for (uint32_t p = 0; p < kPatterns; ++p) squares += std::pow(sums[p] - static_cast<double>(golden.values[p]), 2);
  return std::sqrt(squares / kPatterns);
}

struct Form {
  const char* model;
  KernelClass kernel_class;
  Precision precision;
};

class GoldenTiles : public ::testing::TestWithParam<Form>, protected GoldenModel {
 protected:
  GoldenTiles() : GoldenModel(GetParam().model) {}
  void SetUp() override {
    if (const auto reason = why_not(GetParam().kernel_class, precision())) GTEST_SKIP() << *reason;
    config_.train.precision = precision();
    // Several chunks of the vocabulary, or ranges of tokens, the last of each shorter.
    if (config_.model.arch == Arch::gpt2) config_.loss = {.strategy = LossStrategy::vocab, .chunk = 120, .memory_mib = 0};
    else config_.loss = {.strategy = LossStrategy::tokens, .chunk = 70};
  }
  // It compiles tiled kernels for minutes, and does 1 GFLOP/s; what it has beside lavapipe, 4 lanes, the logits show.
  static bool is_swiftshader() { return device().caps().name.find("SwiftShader") != std::string::npos; }
  static Precision precision() { return GetParam().precision; }
  static Device& device() { return test::device(GetParam().kernel_class); }
  static KernelLibrary& kernels() { return test::kernels(GetParam().kernel_class); }

  // What our roundings may come to, over those of PyTorch in the same precision (see the golden files). f32: PyTorch adds up in blocks and
  // with fma, kernels one after the other; a factor of ten, as for the small goldens. 16 bits: beside the 28 operands on the way of a
  // gradient (precision_test.cpp) 12 tensors are stored rounded, sqrt(40 / 28); 32 sums tell a norm within 1/8, four times that is 1.5; and
  // as much again because one draw of roundings is compared with another.
  static double slack() { return precision() == Precision::f32 ? 10 : std::sqrt(40.0 / 28) * 1.5 * 1.5; }

  std::vector<float> initial() const {
    std::vector<float> flat(table_->count());
    for (const ParameterSpec& spec : table_->specs())
      for (const ExportPiece& piece : spec.pieces) {
        const std::vector<float> init = file_.read<float>("init/" + piece.name);
        std::vector<float> values(piece_shape(spec, piece).elements());
        for (uint64_t i = 0; i < values.size(); ++i) {
          const double unit = random_word(i, static_cast<uint32_t>(init[2]), kInitKey) * 0x1p-31 - 1;
          values[i] = static_cast<float>(static_cast<double>(init[0]) + static_cast<double>(init[1]) * unit);
        }
        copy_from_piece(flat, spec, piece, values);
      }
    return flat;
  }

  static void expect_close(const std::vector<float>& actual, const Measured& golden, const std::string& what) {
    EXPECT_GT(golden.norm(), 0) << what;
    EXPECT_LE(distance(actual, golden) / golden.norm(), slack() * golden.rounding(precision())) << what;  // false for NaN
  }

  // Each parameter on its own.
  void expect_each_close(const std::vector<float>& actual, const std::string& kind) const {
    for (const ParameterSpec& spec : table_->specs())
      for (const ExportPiece& piece : spec.pieces) {
        std::vector<float> values = copy_to_piece(actual, spec, piece);
        if (piece.name.ends_with("attn.c_attn.bias")) {  // the keys' bias has no gradient but rounding
          const auto third = static_cast<std::ptrdiff_t>(values.size() / 3);
          values.erase(values.begin() + third, values.begin() + 2 * third);
        }
        expect_close(values, Measured(file_, fmt::format("{}/{}", kind, piece.name)), fmt::format("{} of {}", kind, piece.name));
      }
  }

  // Relative, of a number of every step. f16 and bf16 are two draws of the same thing, 8 times as large in bf16: the larger counts.
  double tolerance(const std::string& of) const {
    const std::vector<float> rounding = file_.read<float>("rounding/" + of);
    const double f16 = std::max(static_cast<double>(rounding[1]), static_cast<double>(rounding[2]) / 8);
    return slack() * (precision() == Precision::f32 ? static_cast<double>(rounding[0]) : precision() == Precision::f16 ? f16 : 8 * f16);
  }
};

TEST_P(GoldenTiles, Logits_MatchTorch) {
  Arena arena(device().caps(), "golden");
  const ModelWeights weights(arena, config_.model, *table_, precision());
  const uint32_t n = config_.data.batch * config_.model.context;
  BatchInputs inputs(device(), arena, 1, n, config_.data.document_mask);
  Transformer transformer(arena, device().caps(), config_.model, config_.data.batch, config_.model.context, Purpose::evaluation, false, precision());
  const Tensor logits = reserve_tensor(arena, {n, config_.model.vocab_size}, "logits");
  arena.commit(device());
  weights.load(device(), initial());
  inputs.write(0, batches_[0]);
  write_slice(device(), logits.slice(), std::vector<float>(logits.elements(), std::nanf("")));
  Program program(device(), "golden");
  Ops ops{.program = program, .kernels = kernels(), .precision = precision()};
  inputs.record(program);
  transformer.forward(ops, weights, inputs.tensors(0), {}, 0);
  matmul_nt(ops, logits, transformer.output(), weights.operand(weights.head_name(), precision()));
  program.finish();
  program.run();
  expect_close(read_slice<float>(device(), logits.slice()), Measured(file_, "logits/0"), "logits");
  EXPECT_EQ(device().validation_messages(), 0U);
}

TEST_P(GoldenTiles, GradientsAndTenSteps_MatchTorch) {
  if (is_swiftshader()) GTEST_SKIP() << "SwiftShader needs minutes; lavapipe runs it";
  Arena kept(device().caps(), "golden"), scratch(device().caps(), "scratch");
  const ModelWeights weights(kept, config_.model, *table_, precision());
  std::unique_ptr<TrainingStep> step;
  Slice poisoned;
  {
    Arena::AliasScope same_memory(scratch);
    step = std::make_unique<TrainingStep>(device(), kept, scratch, config_, *table_, weights);
    same_memory.next();
    poisoned = scratch.reserve(scratch.planned_bytes(), "poison");
  }
  Arena::commit_all(device(), {&kept, &scratch});
  weights.load(device(), initial());
  step->load({});
  step->record(kernels(), false);
  const std::vector<float> losses = file_.read<float>("loss/steps"), norms = file_.read<float>("grad_norm/steps");
  const auto seed = static_cast<uint64_t>(std::stoull(file_.metadata().at("seed")));
  for (uint64_t s = 1; s <= losses.size(); ++s) {
    // Nothing that is alive during a step only may be read before the step has written it.
    write_slice(device(), poisoned, std::vector<std::byte>(poisoned.size_bytes(), std::byte{0xFF}));
    const StepResult result = step->run(batches_, s, config_.optim.lr, seed);
    ASSERT_EQ(result.skipped, Skipped::no) << "step " << s;
    EXPECT_NEAR(result.loss() / static_cast<double>(losses[s - 1]), 1, tolerance("loss")) << "step " << s;
    EXPECT_NEAR(result.grad_norm / static_cast<double>(norms[s - 1]), 1, tolerance("grad_norm")) << "step " << s;
    if (s == 1) expect_each_close(step->read_gradients(), "grad");
  }
  expect_each_close(step->read_values(), "after");
  EXPECT_EQ(device().validation_messages(), 0U);
}

// A text to learn, in documents of 37 tokens and what is left.
std::vector<Batch> documents(const Config& config, uint64_t step) {
  std::vector<Batch> batches;
  for (uint32_t m = 0; m < config.data.accumulate; ++m) {
    batches.push_back(make_batch(config, step * config.data.accumulate + m));
    for (uint32_t i = 0; i < batches[m].inputs.size(); ++i) batches[m].document_start[i] = i % config.model.context / 37 * 37;
  }
  return batches;
}

// In a file with the other tests, whose kernels it shares: compiling is what takes a software driver its time.
TEST_P(GoldenTiles, Run_LearnsEvaluatesAndResumesFromACheckpointToTheSameBits) {
  if (is_swiftshader()) GTEST_SKIP() << "SwiftShader needs minutes; lavapipe runs it";
  constexpr uint64_t kSteps = 12, kHalf = 6, kSeed = 9;
  const testing::TempDir dir;
  const auto run = [&](Session& session, uint64_t first, uint64_t last) {
    for (uint64_t s = first; s <= last; ++s)
      ASSERT_EQ(session.memory.step->run(documents(config_, s), s, config_.optim.lr, kSeed).skipped, Skipped::no) << "step " << s;
  };
  const auto evaluate = [&](Session& session) {
    LossSums sums;
    session.memory.evaluation->run_batch(documents(config_, 1000)[0], &sums);
    return sums.nll / sums.weight;
  };
  Session whole(config_, device(), &kernels());
  const double before = evaluate(whole);
  EXPECT_NEAR(before, std::log(config_.model.vocab_size), 0.1);
  run(whole, 1, kHalf);
  const TrainingStep& step = *whole.memory.step;
  Config written = config_;
  written.loss.memory_mib = 1;  // a configuration file takes no 0
  TrainingState state{.step = kHalf,
                      .seed = kSeed,
                      .values = step.read_values(),
                      .first_moment = step.read_first_moment(),
                      .second_moment = step.read_second_moment()};
  step.store_counters(state);
  save_checkpoint(dir / "checkpoints", written, state, dir.write("tokenizer.model", "none"));
  run(whole, kHalf + 1, kSteps);
  const double after = evaluate(whole);
  EXPECT_LT(after, 0.75 * before);

  const LoadedCheckpoint loaded = load_checkpoint(dir / "checkpoints");
  Session resumed(config_, device(), &kernels());
  resumed.memory.weights->load(device(), loaded.state.values);
  resumed.memory.step->load(loaded.state);
  run(resumed, loaded.state.step + 1, kSteps);
  EXPECT_EQ(evaluate(resumed), after);
  expect_same_bits(resumed.memory.step->read_values(), step.read_values(), "weights");
  expect_same_bits(resumed.memory.step->read_second_moment(), step.read_second_moment(), "second moments");
  EXPECT_EQ(device().validation_messages(), 0U);
}

std::vector<Form> forms() {
  std::vector<Form> all;
  for (const char* model : {"gpt2_tiles", "llama_tiles"})
    for (const auto& [kernel_class, precision] : {std::pair(KernelClass::tiled, Precision::f32), std::pair(KernelClass::coopmat, Precision::f16),
                                                  std::pair(KernelClass::coopmat, Precision::bf16)})
      all.push_back({model, kernel_class, precision});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTiles, ::testing::ValuesIn(forms()), [](const ::testing::TestParamInfo<Form>& test) {
  return fmt::format("{}_{}_{}", test.param.model, to_string(test.param.kernel_class), to_string(test.param.precision));
});

}  // namespace
}  // namespace lapilli::test
