#include "model/ops/norm.h"

#include <algorithm>
#include "shaders/ops/args.h"

namespace lapilli {

namespace {

// Columns per lane. On a GPU, more registers would leave too few subgroups per SM. A CPU driver keeps the columns on
// the stack, and more per lane save expensive barriers; but with arrays for 129 columns Mesa 26.1's lavapipe (8 lanes)
// computed some elements wrongly.
constexpr uint32_t kLaneColumns = 16, kLaneColumnsOfProcessor = 64;
// Rows of a block: enough that the partial sums of a block are small compared with its input, and few enough that a GPU
// has thousands of subgroups at work (8192 rows: 512 workgroups).
constexpr uint32_t kLeastBlockRows = 16, kMostBlocks = 2048;
// Blocks that are summed in one stage; more are summed in two.
constexpr uint32_t kOneStage = 64;

void check_rows(const ConstTensor& x, const ConstTensor& per_row, const char* name) {
  CHECK(per_row.elements() == x.rows(), "{} {} for {}", name, per_row.shape().to_string(), x.shape().to_string());
}
void check_cols(const ConstTensor& x, const ConstTensor& per_col, const char* name) {
  CHECK(per_col.elements() == x.cols(), "{} {} for {}", name, per_col.shape().to_string(), x.shape().to_string());
}
void check_same(const ConstTensor& x, const ConstTensor& other, const char* name) {
  CHECK(other.elements() == x.elements() && other.cols() == x.cols(), "{} {} for {}", name, other.shape().to_string(), x.shape().to_string());
}

double bytes(const ConstTensor& tensor) { return tensor ? static_cast<double>(tensor.size_bytes()) : 0; }

// The kernel for rows of x with `form` (norm_row.glsl's kForm without the bit for pairs). Pairs of columns are loaded
// as 64-bit integers on CPU drivers with fast_64bit_loads. `f32`: the f32 tensors that it accesses by rows.
const Kernel& row_kernel(Ops& ops, std::string name, const ConstTensor& x, uint32_t form, SpecConstants types,
                         std::initializer_list<ConstTensor> f32) {
  const uint32_t dim = x.cols();
  const bool pairs =
      dim % 2 == 0 && std::ranges::all_of(f32, [](const ConstTensor& tensor) { return tensor.slice().buffer_offset_bytes() % 8 == 0; });
  if (pairs) form |= 8;
  if (pairs && ops.caps().kernel_class == KernelClass::cpu && ops.caps().fast_64bit_loads && ops.row_subgroups == 0) name += "_cpu_load64";
  types.push_back({args::SPEC_WIDTH, dim});
  types.push_back({args::SPEC_VARIANT, form});
  return ops.kernel(name, norm_workgroup(ops, dim), types);
}

// `mean` empty: RMSNorm.
void forward(Ops& ops, Tensor y, Tensor mean, Tensor rstd, ConstTensor x, ConstTensor weight, ConstTensor bias, float eps) {
  check_same(x, y, "y");
  check_rows(x, rstd, "rstd");
  check_cols(x, weight, "weight");
  if (mean) check_rows(x, mean, "mean");
  if (bias) check_cols(x, bias, "bias");
  const double elements = element_count(x);
  const uint32_t form = (mean ? 1U : 0U) | (bias ? 2U : 0U);
  // A CPU driver reads the weights once for several rows; a GPU needs many workgroups, and has the weights in its
  // cache.
  const uint32_t rows_per_group = ops.caps().kernel_class == KernelClass::cpu ? kLeastBlockRows : 1;
  // Centre, square and add, then scale twice and shift.
  ops.program.dispatch(
      row_kernel(ops, "norm_forward", x, form, type_constants(y), {y, x, weight, bias}),
      args::NormForwardArgs{
          .y = y, .mean = mean, .rstd = rstd, .x = x, .weight = weight, .bias = bias, .rows = x.rows(), .rows_per_group = rows_per_group, .eps = eps},
      ceil_div(x.rows(), rows_per_group), {.flops = elements * (mean ? 8 : 4), .bytes = bytes(x) + bytes(y)});
}

void backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor d_bias, Tensor scratch, ConstTensor d_y, ConstTensor x, ConstTensor mean,
              ConstTensor rstd, ConstTensor weight, Into into_d_x, Into into_d_weight) {
  check_same(x, d_x, "d_x");
  check_same(x, d_y, "d_y");
  check_rows(x, rstd, "rstd");
  check_cols(x, weight, "weight");
  check_cols(x, d_weight, "d_weight");
  if (mean) check_rows(x, mean, "mean");
  if (d_bias) check_cols(x, d_bias, "d_bias");
  const uint32_t rows = x.rows(), dim = x.cols();
  const double elements = element_count(x);
  const bool accumulate = into_d_x == Into::accumulate;
  const RowBlocks blocks = norm_blocks(rows);
  const Tensor weight_sums = scratch_rows(scratch, 0, blocks.count, dim);
  const Tensor bias_sums = d_bias ? scratch_rows(scratch, blocks.count, blocks.count, dim) : Tensor{};
  const uint32_t form = (mean ? 1U : 0U) | (d_bias ? 2U : 0U) | (accumulate ? 4U : 0U);
  ops.program.dispatch(row_kernel(ops, "norm_backward", x, form, type_constants(d_x, d_y), {d_x, weight_sums, bias_sums, d_y, x, weight}),
                       args::NormBackwardArgs{.d_x = d_x,
                                              .weight_sums = weight_sums,
                                              .bias_sums = bias_sums,
                                              .d_y = d_y,
                                              .x = x,
                                              .mean = mean,
                                              .rstd = rstd,
                                              .weight = weight,
                                              .rows = rows,
                                              .rows_per_block = blocks.rows_per_block},
                       blocks.count,
                       {.flops = 15 * elements,
                        .bytes = bytes(x) + bytes(d_y) + bytes(d_x) * (accumulate ? 2 : 1) + bytes(weight_sums) + bytes(bias_sums)});

  const auto add_blocks = [&](Tensor sum, ConstTensor sums) {
    if (blocks.count <= kOneStage) return column_sum(ops, sum, sums, blocks.count, into_d_weight);
    const RowBlocks stage(blocks.count);
    const Tensor partial = scratch_rows(scratch, uint64_t{2} * blocks.count, stage.count, dim);
    column_sum(ops, partial, sums, stage.rows_per_block, Into::overwrite);
    column_sum(ops, sum, partial, stage.count, into_d_weight);
  };
  add_blocks(d_weight, weight_sums);
  if (d_bias) add_blocks(d_bias, bias_sums);
}

}  // namespace

uint32_t norm_workgroup(const Ops& ops, uint32_t dim) {
  const uint32_t subgroup = ops.caps().subgroup_size;
  if (ops.row_subgroups != 0) return ops.row_subgroups * subgroup;
  const uint32_t lane_columns = ops.caps().kernel_class == KernelClass::cpu ? kLaneColumnsOfProcessor : kLaneColumns;
  uint32_t workgroup = subgroup;
  while (workgroup < 256 && workgroup * lane_columns < dim) workgroup *= 2;
  return workgroup;
}

RowBlocks norm_blocks(uint32_t rows) { return {rows, std::max(kLeastBlockRows, static_cast<uint32_t>(ceil_div(rows, kMostBlocks)))}; }

uint64_t norm_scratch_floats(uint32_t rows, uint32_t dim) {
  const RowBlocks blocks = norm_blocks(rows);
  return (2 * uint64_t{blocks.count} + RowBlocks(blocks.count).count) * dim;
}

void layernorm_forward(Ops& ops, Tensor y, Tensor mean, Tensor rstd, ConstTensor x, ConstTensor weight, ConstTensor bias, float eps) {
  CHECK(mean, "layernorm_forward needs memory for the mean");
  forward(ops, y, mean, rstd, x, weight, bias, eps);
}

void layernorm_backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor d_bias, Tensor scratch, ConstTensor d_y, ConstTensor x, ConstTensor mean,
                        ConstTensor rstd, ConstTensor weight, Into into_d_x, Into into_d_weight) {
  CHECK(mean, "layernorm_backward needs the mean");
  backward(ops, d_x, d_weight, d_bias, scratch, d_y, x, mean, rstd, weight, into_d_x, into_d_weight);
}

void rmsnorm_forward(Ops& ops, Tensor y, Tensor rstd, ConstTensor x, ConstTensor weight, float eps) { forward(ops, y, {}, rstd, x, weight, {}, eps); }

void rmsnorm_backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor scratch, ConstTensor d_y, ConstTensor x, ConstTensor rstd, ConstTensor weight,
                      Into into_d_x, Into into_d_weight) {
  backward(ops, d_x, d_weight, {}, scratch, d_y, x, {}, rstd, weight, into_d_x, into_d_weight);
}

}  // namespace lapilli
