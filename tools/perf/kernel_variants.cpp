#include "tools/perf/kernel_variants.h"

#include <array>

#include "model/attention/attention.h"
#include "model/io/config_toml.h"
#include "model/loss/linear_cross_entropy.h"
#include "model/ops/rope.h"
#include "model/train/training_memory.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

// GPT-2 124M and Llama-style models, in common head widths and the maximum. One layer is enough. record_matmuls() and
// record_loss() record the tiles that these shapes do not use.
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
document_mask = true
[train]
recompute = true)",
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

void record_model(KernelLibrary& kernels, const ModelForm& form, Precision precision) {
  Config config = parse_config(form.toml, "kernel forms");
  config.train.precision = precision;
  config.model.vocab_size = form.vocab_size;
  const ParameterTable table(config.model);
  TrainingMemory memory(kernels.device(), config, table);
  memory.commit(kernels.device());
  memory.record(kernels, false);
}

// The kernels of the device's class that depend on the shape.
std::vector<MatmulKernel> matmul_kernels(const DeviceCaps& caps) {
  if (caps.kernel_class == KernelClass::cpu)
    return {{.kernel_class = KernelClass::cpu, .load64 = true}, {.kernel_class = KernelClass::cpu, .load64 = false}};
  std::vector<MatmulKernel> list;
  const auto add_tiles = [&](MatmulKernel kernel) {
    for (const auto& [side, same] : matmul_tiles(caps, kernel)) {
      kernel.tile = side;
      list.push_back(kernel);
    }
  };
  add_tiles({.kernel_class = KernelClass::tiled});
  for (const Precision precision : {Precision::f16, Precision::bf16})
    if (has_matmul(caps, precision))
      for (const bool transposes : {false, true}) add_tiles({.kernel_class = KernelClass::coopmat, .precision = precision, .transposes = transposes});
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

constexpr uint32_t kTokens = 256, kDim = 128, kHeadWidth = 64, kVocab = 1024;

void record_matmuls(KernelLibrary& kernels, const MatmulKernel& force) {
  Device& device = kernels.device();
  Arena arena(device.caps());
  const DType type = storage_type(force.precision);
  const auto square = [&](DType dtype) { return reserve_tensor(arena, {kDim, kDim}, "matmul", dtype); };
  const Tensor full[] = {square(DType::f32), square(DType::f32), square(DType::f32)}, half[] = {square(type), square(type), square(type)};
  arena.commit(device);
  Program program(device, "matmul");
  Ops ops{program, kernels};
  const MatmulOptions options{.force = force};
  // All mixtures of f32 and the operands' type; with f32 operands, the same one again. coopmat2 takes only operands of their type.
  for (uint32_t mixture = 0; mixture < 8; ++mixture) {
    if (force.kernel_class == KernelClass::coopmat2 && (mixture & 3) != 3) continue;
    const auto pick = [&](uint32_t operand) { return (mixture >> operand & 1) != 0 ? half[operand] : full[operand]; };
    const Tensor a = pick(0), b = pick(1), c = pick(2);
    matmul_nn(ops, c, a, b, Into::overwrite, options);
    matmul_nt(ops, c, a, b, Into::overwrite, options);
    matmul_tn(ops, c, a, b, Into::overwrite, options);
  }
}

// Fused activations, their gradients and rotary embedding, in the layouts that models use, in f32 and in operand-type
// memory.
void record_nonlinear_matmuls(KernelLibrary& kernels, const MatmulKernel& force) {
  Device& device = kernels.device();
  for (const DType type : {DType::f32, storage_type(force.precision)}) {
    Arena arena(device.caps());
    const DType operand_type = force.kernel_class == KernelClass::coopmat2 ? storage_type(force.precision) : type;
    const auto square = [&](DType dtype) { return reserve_tensor(arena, {kDim, kDim}, "matmul", dtype); };
    const auto wide = [&] { return reserve_tensor(arena, {kDim, 2 * kDim}, "matmul", type); };
    const Tensor a = square(operand_type), b = square(operand_type), c = square(type), kept = square(type),
                 bias = reserve_tensor(arena, {kDim}, "matmul");
    const Tensor both = reserve_tensor(arena, {2 * kDim, kDim}, "matmul", operand_type), bias_of_both = reserve_tensor(arena, {2 * kDim}, "matmul");
    const Tensor gate_up = wide(), d_gate_up = wide(), cos_sin_table = reserve_tensor(arena, {kDim, kHeadWidth}, "matmul");
    arena.commit(device);
    Program program(device, "matmul");
    Ops ops{program, kernels};
    matmul_nt(ops, c, a, b, Into::overwrite, {.bias = bias, .nonlinearity = Nonlinearity::gelu, .force = force});
    matmul_nt(ops, c, a, b, Into::overwrite, {.bias = bias, .nonlinearity = Nonlinearity::gelu, .kept = kept, .force = force});
    const Rotary rotary{.cos_sin_table = cos_sin_table, .context = kDim, .rotary_heads = 1};
    matmul_nt(ops, c, a, b, Into::overwrite, {.bias = bias, .nonlinearity = Nonlinearity::rotary, .rotary = rotary, .force = force});
    rope(ops, c, rotary, RopeDirection::forward);
    matmul_nn(ops, c, a, b, Into::overwrite, {.nonlinearity = Nonlinearity::gelu_backward, .before = kept, .force = force});
    matmul_nt(ops, c, a, both, Into::overwrite, {.bias = bias_of_both, .nonlinearity = Nonlinearity::swiglu, .kept = gate_up, .force = force});
    matmul_nn(ops, d_gate_up, a, b, Into::overwrite, {.nonlinearity = Nonlinearity::swiglu_backward, .before = gate_up, .force = force});
  }
}

// Attention with cooperative matrices. The models record the f32 kernels.
void record_attention(KernelLibrary& kernels, Precision precision, uint32_t head_width, DType dtype) {
  Device& device = kernels.device();
  if (!has_coopmat_attention(device.caps(), precision, head_width)) return;
  Arena arena(device.caps());
  const AttentionShape shape{.batch = 1, .context = kTokens, .heads = 4, .kv_heads = 2, .head_width = head_width};
  const auto reserve = [&](Shape tensor_shape, DType type) { return reserve_tensor(arena, tensor_shape, "attention", type); };
  const Shape rows{kTokens, 4 * head_width}, qkv_rows{kTokens, 8 * head_width}, statistics{4 * kTokens};
  const Tensor qkv = reserve(qkv_rows, dtype), d_qkv = reserve(qkv_rows, dtype), out = reserve(rows, dtype), d_out = reserve(rows, dtype);
  const Tensor lse = reserve(statistics, DType::f32), delta = reserve(statistics, DType::f32),
               cos_sin_table = reserve({kTokens, head_width}, DType::f32);
  arena.commit(device);
  Program program(device, "attention");
  Ops ops{program, kernels};
  ops.precision = precision;
  attention_forward(ops, out, lse, qkv, {}, shape);
  attention_backward(ops, d_qkv, delta, d_out, qkv, out, lse, {}, cos_sin_table, shape);
}

// x and w of this type. Forward and backward, with kept and recomputed chunks of the vocabulary; `teacher`: with
// distillation. Evaluation has no teacher.
void record_loss(KernelLibrary& kernels, const MatmulKernel& force, DType type, bool teacher, float label_smoothing) {
  Device& device = kernels.device();
  Arena arena(device.caps());
  const LossShape shape{.tokens = kTokens, .dim = kDim, .vocab = kVocab, .teacher_dim = teacher ? kDim : 0};
  const LossOptions options{.strategy = LossStrategy::vocab, .chunk = kVocab / 4, .label_smoothing = label_smoothing};
  LossPlan plan = plan_loss(options, shape, true);
  plan.logits_buffers = 1;
  LinearCrossEntropy training(arena, device.caps(), shape, options, plan, force);
  const LossShape hard{.tokens = kTokens, .dim = kDim, .vocab = kVocab};
  LinearCrossEntropy evaluation(arena, device.caps(), hard, options, plan_loss(options, hard, false), force);
  const auto reserve = [&](Shape tensor_shape, DType dtype = DType::f32) { return reserve_tensor(arena, tensor_shape, "loss", dtype); };
  const Tensor x = reserve({kTokens, kDim}, type), w = reserve({kVocab, kDim}, type), targets = reserve({kTokens}, DType::u32);
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
  for (const Precision precision : {Precision::f32, Precision::f16, Precision::bf16})
    if (has_matmul(kernels.device().caps(), precision))
      for (const ModelForm& form : kModels) record_model(kernels, form, precision);
  for (const auto& [precision, own] : {std::pair{Precision::f16, DType::f16}, std::pair{Precision::bf16, DType::bf16}})
    for (const uint32_t head_width : {64U, 128U})
      for (const DType dtype : {DType::f32, own}) record_attention(kernels, precision, head_width, dtype);
  for (const MatmulKernel& force : matmul_kernels(kernels.device().caps())) {
    record_matmuls(kernels, force);
    record_nonlinear_matmuls(kernels, force);
    for (const bool teacher : {false, true})
      for (const float label_smoothing : {0.0F, 0.1F})
        for (const DType type : {DType::f32, storage_type(force.precision)}) record_loss(kernels, force, type, teacher, label_smoothing);
  }
  for (const MatmulKernel& force : coopmat2_kernels(kernels.device().caps())) {
    record_matmuls(kernels, force);
    record_nonlinear_matmuls(kernels, force);
  }
}

}  // namespace lapilli
