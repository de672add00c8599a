#include "model/matmul/matvec.h"

#include <algorithm>

#include "model/ops/activation.h"
#include "shaders/matmul/args.h"

namespace lapilli {

namespace {

// See kForm in shaders/matmul/matvec.comp.
constexpr uint32_t kLanesHaveRows = 1, kPairs = 2, kBias = 4, kAddend = 8, kWide = 16;

bool lanes_have_rows(const Ops& ops) { return ops.caps().kernel_class == KernelClass::cpu && ops.row_subgroups == 0; }

bool begins_at_8(const ConstTensor& tensor) { return tensor.slice().buffer_offset_bytes() % 8 == 0; }

void check_shapes(const Tensor& y, const ConstTensor& w, const ConstTensor& x, const MatvecOptions& options) {
  const bool halves = options.nonlinearity == Nonlinearity::swiglu;
  CHECK(x.elements() == w.cols() && y.elements() * (halves ? 2 : 1) == w.rows(), "{} from {} and {}", y.shape().to_string(), w.shape().to_string(),
        x.shape().to_string());
  CHECK(!options.bias || options.bias.elements() == w.rows(), "bias {} for {}", options.bias.shape().to_string(), w.shape().to_string());
  CHECK(!options.addend || (options.addend.elements() == w.rows() && !halves), "addend {} for {}", options.addend.shape().to_string(),
        w.shape().to_string());
  if (options.nonlinearity != Nonlinearity::rotary) return;
  CHECK(options.rotary.rotary_cols() <= w.rows() && options.rotary.head_width() % 2 == 0 && options.position.elements() == 1,
        "{} rows to rotate of {}", options.rotary.rotary_cols(), w.rows());
}

double flops_of(Nonlinearity nonlinearity, const ConstTensor& w) {
  const double rows = w.rows(), products = 2 * rows * w.cols();
  switch (nonlinearity) {
    case Nonlinearity::gelu: return products + kGeluFlops * rows;
    case Nonlinearity::swiglu: return products + kSwigluFlops * rows / 2;
    default: return products;
  }
}

}  // namespace

void matvec(Ops& ops, Tensor y, ConstTensor w, ConstTensor x, const MatvecOptions& options) {
  check_shapes(y, w, x, options);
  element_count(w);  // CHECKs that indices fit
  const bool rows_of_lanes = lanes_have_rows(ops);
  const bool pairs = w.cols() % 2 == 0 && begins_at_8(x) && (w.dtype() != DType::f32 || begins_at_8(w));
  const bool wide = pairs && w.cols() % 4 == 0 && w.dtype() != DType::f32 && begins_at_8(w);
  const uint32_t form =
      (wide ? kWide : 0) | (rows_of_lanes ? kLanesHaveRows : 0) | (pairs ? kPairs : 0) | (options.bias ? kBias : 0) | (options.addend ? kAddend : 0);
  const bool rotates = options.nonlinearity == Nonlinearity::rotary;
  if (w.cols() % 2 == 0) check_words(w);
  const SpecConstants constants{type_constant(args::SPEC_A_TYPE, w),
                                {args::SPEC_WIDTH, w.cols()},
                                {args::SPEC_HEAD_WIDTH, rotates ? options.rotary.head_width() : 2},
                                {args::SPEC_NONLINEARITY, static_cast<uint32_t>(options.nonlinearity)},
                                {args::SPEC_VARIANT, form}};
  const bool load64 = pairs && rows_of_lanes && ops.caps().fast_64bit_loads;
  const uint32_t workgroup = ops.row_subgroups == 0 ? ops.caps().subgroup_size : ops.row_subgroups * ops.caps().subgroup_size;
  ops.program.dispatch(ops.kernel(load64 ? "matvec_cpu_load64" : "matvec", workgroup, constants),
                       args::MatvecArgs{.y = y,
                                        .w = w,
                                        .x = x,
                                        .bias = options.bias,
                                        .addend = options.addend,
                                        .cos_sin_table = options.rotary.cos_sin_table,
                                        .position = options.position,
                                        .rows = w.rows(),
                                        .rotary_rows = rotates ? options.rotary.rotary_cols() : 0,
                                        .alpha = options.alpha},
                       ceil_div(w.rows(), rows_of_lanes ? 2 * workgroup : 2),
                       {.flops = flops_of(options.nonlinearity, w), .bytes = static_cast<double>(w.size_bytes() + x.size_bytes() + y.size_bytes())});
}

double matvec_roundings(const Ops& ops, uint32_t dim) {
  const uint32_t lanes = lanes_have_rows(ops) ? 1 : std::max(ops.row_subgroups, 1U) * ops.caps().subgroup_size;
  // The columns of a lane, even and odd ones, the sum of both, and a sum over lanes in any order.
  return static_cast<double>(ceil_div(dim, lanes)) + 1 + lanes;
}

}  // namespace lapilli
