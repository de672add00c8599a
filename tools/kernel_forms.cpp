#include "tools/kernel_forms.h"

#include <array>

#include "model/loss.h"
#include "model/training_memory.h"

namespace lapilli {

namespace {

// GPT-2 124M and models of Llama's kind, in the head widths that are common and the widest. One layer is as good as many. The tiles
// that their shapes leave out are recorded by record_matmuls() and record_loss().
struct ModelForm {
  const char* toml;
  uint32_t vocab_size;
};
constexpr std::array<ModelForm, 4> kModels{{
    {R"(
[model]
arch = "gpt2"
layers = 1
heads = 12
dim = 768
context = 1024
dropout = 0.1
[data]
batch = 8
document_mask = true)",
     50257},
    {R"(
[model]
arch = "llama"
layers = 1
heads = 8
kv_heads = 2
dim = 1024
context = 1024
tie_embeddings = false
[data]
batch = 8
accumulate = 2
[train]
recompute = true)",
     32000},
    {R"(
[model]
arch = "llama"
layers = 1
heads = 4
kv_heads = 2
dim = 128
context = 128
[data]
batch = 2)",
     1024},
    {R"(
[model]
arch = "llama"
layers = 1
heads = 2
dim = 512
context = 256
[data]
batch = 2)",
     1024},
}};

void record_model(KernelLibrary& kernels, const ModelForm& form) {
  Config config = parse_config(form.toml, "kernel forms");
  config.model.vocab_size = form.vocab_size;
  const ParameterTable table(config.model);
  TrainingMemory memory(kernels.device(), config, table);
  memory.commit(kernels.device());
  memory.record(kernels, false);
}

// What the device's class leaves to the shape.
std::vector<MatmulKernel> matmul_kernels(const DeviceCaps& caps) {
  if (caps.kernel_class == KernelClass::scalar)
    return {{.kernel_class = KernelClass::scalar, .pairs = true}, {.kernel_class = KernelClass::scalar, .pairs = false}};
  std::vector<MatmulKernel> list;
  if (caps.subgroup_size <= 64) list.push_back({.kernel_class = KernelClass::tiled, .tile = 32});
  if (caps.max_workgroup_invocations >= 256)
    for (const uint32_t tile : {64U, 128U}) list.push_back({.kernel_class = KernelClass::tiled, .tile = tile});
  for (const Precision precision : {Precision::f16, Precision::bf16})
    if (multiplies(caps, precision))
      for (const uint32_t tile : {32U, 64U, 128U}) list.push_back({.kernel_class = KernelClass::coopmat, .tile = tile, .precision = precision});
  return list;
}

// In the tiles that coopmat2 chooses from.
std::vector<MatmulKernel> coopmat2_kernels(const DeviceCaps& caps) {
  std::vector<MatmulKernel> list;
  for (const Precision precision : {Precision::f16, Precision::bf16})
    if (!why_no_coopmat2(caps, precision))
      for (const auto& [rows, cols] : {std::pair(64U, 64U), std::pair(128U, 128U), std::pair(128U, 256U), std::pair(256U, 128U)})
        list.push_back({.kernel_class = KernelClass::coopmat2, .tile = rows, .precision = precision, .tile_cols = cols});
  return list;
}

constexpr uint32_t kTokens = 256, kDim = 128, kVocab = 1024;

// `dtype`: of a and b, `c_dtype`: of c.
void record_matmuls(KernelLibrary& kernels, const MatmulKernel& force, DType dtype = DType::f32, DType c_dtype = DType::f32) {
  Device& device = kernels.device();
  Arena arena(device.caps());
  const auto square = [&](DType type) { return reserve_tensor(arena, {kDim, kDim}, "matmul", type); };
  const Tensor a = square(dtype), b = square(dtype), c = square(c_dtype);
  arena.commit(device);
  Program program(device, "matmul");
  Ops ops{program, kernels};
  const MatmulOptions options{.force = force};
  matmul_nn(ops, c, a, b, Into::overwrite, options);
  matmul_nt(ops, c, a, b, Into::overwrite, options);
  matmul_tn(ops, c, a, b, Into::overwrite, options);
}

// Forward and backward, with chunks of the vocabulary kept and chunks multiplied again; `teacher`: with distillation. Evaluation
// has no teacher.
void record_loss(KernelLibrary& kernels, const MatmulKernel& force, bool teacher, float label_smoothing) {
  Device& device = kernels.device();
  Arena arena(device.caps());
  const LossShape shape{.tokens = kTokens, .dim = kDim, .vocab = kVocab, .teacher_dim = teacher ? kDim : 0};
  const LossOptions options{.strategy = LossStrategy::vocab, .chunk = kVocab / 4, .label_smoothing = label_smoothing};
  LossPlan plan = plan_loss(options, shape, true);
  plan.slabs = 1;
  LinearCrossEntropy training(arena, device.caps(), shape, options, plan, force);
  const LossShape hard{.tokens = kTokens, .dim = kDim, .vocab = kVocab};
  LinearCrossEntropy evaluation(arena, device.caps(), hard, options, plan_loss(options, hard, false), force);
  const auto reserve = [&](Shape tensor_shape, DType dtype = DType::f32) { return reserve_tensor(arena, tensor_shape, "loss", dtype); };
  const Tensor x = reserve({kTokens, kDim}), w = reserve({kVocab, kDim}), targets = reserve({kTokens}, DType::u32);
  const Tensor row = reserve({kTokens}), one = reserve({1}), d_x = reserve({kTokens, kDim}), d_w = reserve({kVocab, kDim});
  const LossOutputs outputs{.nll = reserve({kTokens}), .sums = reserve({args::kSumCount}), .status = reserve({args::kStatusWords}, DType::u32)};
  const LossInputs inputs{.x = x, .w = w, .targets = targets, .weights = row};
  LossInputs with_teacher = inputs;
  if (teacher) {
    with_teacher.teacher_x = x;
    with_teacher.teacher_w = w;
  }
  arena.commit(device);
  Program program(device, "loss");
  Ops ops{program, kernels};
  training.forward_backward(ops, outputs, {.d_x = d_x, .d_w = d_w}, with_teacher, one);
  evaluation.forward(ops, outputs, inputs);
}

}  // namespace

void compile_kernel_forms(KernelLibrary& kernels) {
  for (const ModelForm& form : kModels) record_model(kernels, form);
  for (const MatmulKernel& force : matmul_kernels(kernels.device().caps())) {
    record_matmuls(kernels, force);
    for (const bool teacher : {false, true})
      for (const float label_smoothing : {0.0F, 0.1F}) record_loss(kernels, force, teacher, label_smoothing);
  }
  for (const MatmulKernel& force : coopmat2_kernels(kernels.device().caps())) {
    const DType factors = storage_type(force.precision);
    for (const DType c : {DType::f32, factors}) record_matmuls(kernels, force, factors, c);
  }
}

}  // namespace lapilli
