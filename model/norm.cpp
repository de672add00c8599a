#include "model/norm.h"

#include "model/column_sum.h"

namespace lapilli {

namespace {

void check_rows(const ConstTensor& x, const ConstTensor& per_row, const char* name) {
  CHECK(per_row.elements() == x.rows(), "{} {} for {}", name, per_row.shape().to_string(), x.shape().to_string());
}
void check_cols(const ConstTensor& x, const ConstTensor& per_col, const char* name) {
  CHECK(per_col.elements() == x.cols(), "{} {} for {}", name, per_col.shape().to_string(), x.shape().to_string());
}
void check_same(const ConstTensor& x, const ConstTensor& other, const char* name) {
  CHECK(other.elements() == x.elements() && other.cols() == x.cols(), "{} {} for {}", name, other.shape().to_string(),
        x.shape().to_string());
}

double bytes(const ConstTensor& tensor) { return static_cast<double>(tensor.size_bytes()); }

// `mean` empty: RMSNorm.
void forward(Ops& ops, Tensor y, Tensor mean, Tensor rstd, ConstTensor x, ConstTensor weight, ConstTensor bias, float eps) {
  check_same(x, y, "y");
  check_rows(x, rstd, "rstd");
  check_cols(x, weight, "weight");
  if (mean) check_rows(x, mean, "mean");
  if (bias) check_cols(x, bias, "bias");
  const double elements = element_count(x);
  // Centre, square and add, then scale twice and shift.
  ops.program.dispatch(ops.kernel("norm_forward", ops.row_workgroup(), type_constants(y)),
                       args::NormForwardArgs{.y = y,
                                             .mean = mean,
                                             .rstd = rstd,
                                             .x = x,
                                             .weight = weight,
                                             .bias = bias,
                                             .rows = x.rows(),
                                             .dim = x.cols(),
                                             .eps = eps},
                       x.rows(), {.flops = elements * (mean ? 8 : 4), .bytes = bytes(x) + bytes(y)});
}

void backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor d_bias, Tensor scratch, ConstTensor d_y, ConstTensor x,
              ConstTensor mean, ConstTensor rstd, ConstTensor weight, Into into_d_x, Into into_d_weight) {
  check_same(x, d_x, "d_x");
  check_same(x, d_y, "d_y");
  check_rows(x, rstd, "rstd");
  check_cols(x, weight, "weight");
  check_cols(x, d_weight, "d_weight");
  if (mean) check_rows(x, mean, "mean");
  if (d_bias) check_cols(x, d_bias, "d_bias");
  const uint32_t rows = x.rows(), dim = x.cols();
  const double elements = element_count(x);

  // The weights first: d_x may be d_y.
  const RowBlocks blocks(rows);
  const Tensor weight_sums = scratch_rows(scratch, 0, blocks.count, dim);
  const Tensor bias_sums = d_bias ? scratch_rows(scratch, blocks.count, blocks.count, dim) : Tensor{};
  const uint32_t workgroup = column_workgroup(ops);
  ops.program.dispatch(ops.kernel("norm_weight_backward", workgroup, type_constants(weight_sums, d_y)),
                       args::NormWeightBackwardArgs{.weight_sums = weight_sums,
                                                    .bias_sums = bias_sums,
                                                    .d_y = d_y,
                                                    .x = x,
                                                    .mean = mean,
                                                    .rstd = rstd,
                                                    .rows = rows,
                                                    .dim = dim,
                                                    .rows_per_block = blocks.rows_per_block},
                       blocks.count * ceil_div(dim, workgroup), {.flops = 5 * elements, .bytes = bytes(x) + bytes(d_y)});
  column_sum(ops, d_weight, weight_sums, blocks.count, into_d_weight);
  if (d_bias) column_sum(ops, d_bias, bias_sums, blocks.count, into_d_weight);

  const bool accumulate = into_d_x == Into::accumulate;
  ops.program.dispatch(ops.kernel("norm_backward", ops.row_workgroup(), type_constants(d_x, d_y)),
                       args::NormBackwardArgs{.d_x = d_x,
                                              .d_y = d_y,
                                              .x = x,
                                              .mean = mean,
                                              .rstd = rstd,
                                              .weight = weight,
                                              .rows = rows,
                                              .dim = dim,
                                              .accumulate = accumulate},
                       rows, {.flops = 10 * elements, .bytes = bytes(x) + bytes(d_y) + bytes(d_x) * (accumulate ? 2 : 1)});
}

}  // namespace

uint64_t norm_scratch_floats(uint32_t rows, uint32_t dim) { return 2 * uint64_t{RowBlocks(rows).count} * dim; }

void layernorm_forward(Ops& ops, Tensor y, Tensor mean, Tensor rstd, ConstTensor x, ConstTensor weight, ConstTensor bias,
                       float eps) {
  CHECK(mean, "layernorm_forward needs a place for the mean");
  forward(ops, y, mean, rstd, x, weight, bias, eps);
}

void layernorm_backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor d_bias, Tensor scratch, ConstTensor d_y,
                        ConstTensor x, ConstTensor mean, ConstTensor rstd, ConstTensor weight, Into into_d_x,
                        Into into_d_weight) {
  CHECK(mean, "layernorm_backward needs the mean");
  backward(ops, d_x, d_weight, d_bias, scratch, d_y, x, mean, rstd, weight, into_d_x, into_d_weight);
}

void rmsnorm_forward(Ops& ops, Tensor y, Tensor rstd, ConstTensor x, ConstTensor weight, float eps) {
  forward(ops, y, {}, rstd, x, weight, {}, eps);
}

void rmsnorm_backward(Ops& ops, Tensor d_x, Tensor d_weight, Tensor scratch, ConstTensor d_y, ConstTensor x,
                      ConstTensor rstd, ConstTensor weight, Into into_d_x, Into into_d_weight) {
  backward(ops, d_x, d_weight, {}, scratch, d_y, x, {}, rstd, weight, into_d_x, into_d_weight);
}

}  // namespace lapilli
