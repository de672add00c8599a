#include "model/ops/elementwise.h"

#include <cmath>

#include "model/ops/column_sum.h"
#include "shaders/ops/args.h"

namespace lapilli {

void add(Ops& ops, Tensor y, ConstTensor a, ConstTensor b) {
  check_same_size(y, a, "a");
  check_same_size(y, b, "b");
  const uint32_t count = element_count(y);
  dispatch_elements(ops, "add", args::AddArgs{.y = y, .a = a, .b = b, .count = count}, count, {.flops = 1.0 * count, .bytes = 12.0 * count});
}

uint64_t bias_scratch_floats(uint32_t rows, uint32_t cols) { return uint64_t{RowBlocks(rows).count} * cols; }

void bias_backward(Ops& ops, Tensor d_bias, Tensor scratch, ConstTensor d_y, Into into) {
  CHECK(d_bias.elements() == d_y.cols(), "d_bias {} from d_y {}", d_bias.shape().to_string(), d_y.shape().to_string());
  const RowBlocks blocks(d_y.rows());
  const Tensor sums = scratch_rows(scratch, 0, blocks.count, d_y.cols());
  column_sum(ops, sums, d_y, blocks.rows_per_block, Into::overwrite);
  column_sum(ops, d_bias, sums, blocks.count, into);
}

void dropout_forward(Ops& ops, Tensor y, ConstTensor x, ConstTensor addend, ConstTensor random_state, uint32_t stream, float rate) {
  check_same_size(y, x, "x");
  if (addend) check_same_size(y, addend, "addend");
  CHECK(random_state.elements() == 4, "random_state {}", random_state.shape().to_string());
  CHECK(rate >= 0 && rate < 1, "dropout rate {}", rate);
  const uint32_t count = element_count(y);
  CHECK(size_bytes(y.dtype()) == 4 || count % 8 == 0, "dropout of {} elements in 16 bits", count);
  const double drop = static_cast<double>(rate);
  // Ten rounds of two multiplications and some more operations for four elements.
  dispatch_elements(ops, "dropout",
                    args::DropoutArgs{.y = y,
                                      .x = x,
                                      .addend = addend,
                                      .random_state = random_state,
                                      .count = count,
                                      .stream = stream,
                                      .drop_below = static_cast<uint32_t>(drop * 0x1p32),  // rate <= 1 - 2^-24: fits
                                      .scale = static_cast<float>(1 / (1 - drop))},
                    lanes(y, ceil_div(count, 4)),
                    {.flops = 25.0 * count, .bytes = (addend ? 8.0 : 4.0) * count + static_cast<double>(y.size_bytes())},
                    type_constants(y, x, addend));
}

void dropout_backward(Ops& ops, Tensor d_x, ConstTensor d_y, ConstTensor random_state, uint32_t stream, float rate) {
  dropout_forward(ops, d_x, d_y, {}, random_state, stream, rate);
}

}  // namespace lapilli
