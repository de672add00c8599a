#include "model/matmul/matmul.h"

#include "model/matmul/matmul_record.h"
#include "model/matmul/matmul_tuning.h"
#include "shaders/matmul/args.h"

namespace lapilli {

namespace {

MatmulKernel choose_kernel(Ops& ops, const MatmulProblem& problem, const MatmulOptions& options) {
  if (options.force) return *options.force;
  MatmulKernel suggested = matmul_kernel(ops.caps(), ops.precision);
  if (ops.caps().forced_class == KernelClass::coopmat2 && supports_coopmat2(ops.caps(), problem, ops.precision))
    suggested = {.kernel_class = KernelClass::coopmat2, .precision = ops.precision};
  const MatmulKernel default_kernel = resolve_matmul_kernel(ops.caps(), suggested, problem, ops.workspace);
  if (ops.quick) return quick_matmul_kernel(default_kernel);
  return ops.tuner == nullptr ? default_kernel : tune_matmul(*ops.tuner, problem, default_kernel, ops.workspace, record_matmul);
}

void check_nonlinearity(const Tensor& c, Into into, const MatmulOptions& options) {
  const Nonlinearity f = options.nonlinearity;
  const bool backward = f == Nonlinearity::gelu_backward || f == Nonlinearity::swiglu_backward, gated = f == Nonlinearity::swiglu;
  CHECK(f != Nonlinearity::swiglu_backward || (c.cols() % 2 == 0 && c.row_stride() % 2 == 0),
        "swiglu_backward stores gradients of gate and up in pairs of columns, not in {}", c.shape().to_string());
  CHECK(!gated || options.kept, "swiglu needs memory for gate and up");
  CHECK(!options.kept || gated || f == Nonlinearity::gelu, "only gelu and swiglu keep their input");
  CHECK(static_cast<bool>(options.before) == backward, "options.before is given exactly for the gradient through a nonlinearity");
  CHECK((f == Nonlinearity::rotary) == static_cast<bool>(options.rotary.cos_sin_table), "the cos/sin table is given exactly for rotary");
  if (f == Nonlinearity::rotary) check_rotary(options.rotary, c);
  CHECK(f == Nonlinearity::none || (into == Into::overwrite && !options.addend && !options.num_valid), "a nonlinearity needs the complete sum");
  for (const ConstTensor& tensor : {ConstTensor(options.kept), options.before})
    CHECK(!tensor || (tensor.elements() == (gated ? 2 : 1) * c.elements() && tensor.row_stride() == (gated ? 2 : 1) * c.row_stride() &&
                      !tensor.slice().overlaps(c.slice())),
          "{} beside {}", tensor.shape().to_string(), c.shape().to_string());
}

// Columns of op(a) op(b), or elements of its rows, if c has `of_c`.
uint32_t in_product(uint32_t of_c, Nonlinearity f) {
  if (f == Nonlinearity::swiglu) return 2 * of_c;
  return f == Nonlinearity::swiglu_backward ? of_c / 2 : of_c;
}
uint32_t problem_cols(const Tensor& c, const MatmulOptions& options) { return in_product(c.cols(), options.nonlinearity); }

// `args` holds depth and strides.
void matmul(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options, args::MatmulArgs args) {
  const ConstTensor addend = into == Into::accumulate ? c : options.addend;
  args.c = c;
  args.a = a;
  args.b = b;
  args.bias = options.bias;
  args.addend = addend;
  args.kept = options.kept;
  args.before = options.rotary.cos_sin_table ? options.rotary.cos_sin_table : options.before;
  args.scale = options.scale;
  args.num_valid = options.num_valid;
  args.alpha = options.alpha;
  args.rows = c.rows();
  args.cols = problem_cols(c, options);
  args.c_stride = in_product(c.row_stride(), options.nonlinearity);
  CHECK(into == Into::overwrite || !options.addend, "accumulate and an addend exclude each other");
  check_nonlinearity(c, into, options);
  CHECK(!options.bias || options.bias.elements() == args.cols, "bias {} for {}", options.bias.shape().to_string(), c.shape().to_string());
  CHECK(!options.addend || (options.addend.elements() == c.elements() && options.addend.row_stride() == c.row_stride()), "addend {} for {}",
        options.addend.shape().to_string(), c.shape().to_string());

  const double m = args.rows, n = args.cols, k = args.depth;
  const auto bytes = [](const ConstTensor& tensor, double elements) { return static_cast<double>(size_bytes(tensor.dtype())) * elements; };
  const auto all = [&](const ConstTensor& tensor) { return tensor ? bytes(tensor, static_cast<double>(tensor.elements())) : 0; };
  const Cost cost{
      .flops = 2 * m * n * k + flops_of(options.nonlinearity) * m * n + (options.rotary.cos_sin_table ? rope_flops(options.rotary, c.rows()) : 0),
      .bytes = bytes(a, m * k) + bytes(b, n * k) + all(c) * (addend ? 2 : 1) + all(options.kept) + all(options.before)};
  const MatmulProblem problem{.args = args,
                              .a = a,
                              .b = b,
                              .c = c,
                              .addend = addend,
                              .kept = options.kept,
                              .before = options.before,
                              .nonlinearity = options.nonlinearity,
                              .rotary = options.rotary,
                              .cost = cost};
  record_matmul(ops, choose_kernel(ops, problem, options), problem);
}

}  // namespace

Tensor reserve_matmul_workspace(Arena& arena, const DeviceCaps& caps) {
  // As much as cuBLAS uses on large GPUs. A CPU is busy with few workgroups, and never splits.
  constexpr uint32_t kFloats = 8U << 20U;
  return caps.kernel_class == KernelClass::cpu ? Tensor() : reserve_tensor(arena, {kFloats}, "workspace");
}

void matmul_nn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.rows() == depth && b.cols() == problem_cols(c, options), "{} = {} {}", c.shape().to_string(), a.shape().to_string(),
        b.shape().to_string());
  matmul(ops, c, a, b, into, options, {.depth = depth, .a_row = a.row_stride(), .a_depth = 1, .b_depth = b.row_stride(), .b_col = 1});
}

void matmul_nt(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.cols();
  CHECK(a.rows() == c.rows() && b.cols() == depth && b.rows() == problem_cols(c, options), "{} = {} {}t", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options, {.depth = depth, .a_row = a.row_stride(), .a_depth = 1, .b_depth = 1, .b_col = b.row_stride()});
}

void matmul_tn(Ops& ops, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  const uint32_t depth = a.rows();
  CHECK(a.cols() == c.rows() && b.rows() == depth && b.cols() == problem_cols(c, options), "{} = {}t {}", c.shape().to_string(),
        a.shape().to_string(), b.shape().to_string());
  matmul(ops, c, a, b, into, options,
         {.depth = depth, .a_row = 1, .a_depth = a.row_stride(), .b_depth = b.row_stride(), .b_col = 1, .num_valid_is_depth = 1});
}

}  // namespace lapilli
