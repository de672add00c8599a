#include "model/ops/column_sum.h"

#include <cmath>
#include "shaders/ops/args.h"

namespace lapilli {

RowBlocks::RowBlocks(uint32_t row_count, uint32_t block_rows)
    : rows(row_count), rows_per_block(block_rows), count(static_cast<uint32_t>(ceil_div(rows, rows_per_block))) {}

RowBlocks::RowBlocks(uint32_t row_count)
    : RowBlocks(row_count, std::max(1U, static_cast<uint32_t>(std::ceil(std::sqrt(static_cast<double>(row_count)))))) {}

uint32_t column_workgroup(const Ops& ops) {
  const DeviceCaps& caps = ops.caps();
  return caps.kernel_class == KernelClass::cpu ? caps.subgroup_size : std::max(64U, caps.subgroup_size);
}

void column_sum(Ops& ops, Tensor sum, ConstTensor values, uint32_t rows_per_block, Into into) {
  const uint32_t rows = values.rows(), cols = values.cols();
  const uint64_t blocks = ceil_div(rows, rows_per_block);
  CHECK(sum.elements() == blocks * cols, "{} for {} blocks of {}", sum.shape().to_string(), blocks, values.shape().to_string());
  const double elements = element_count(values), sums = static_cast<double>(sum.elements());
  const bool accumulate = into == Into::accumulate;
  const uint32_t workgroup = column_workgroup(ops);
  ops.program.dispatch(ops.kernel("column_sum", workgroup, type_constants(sum, values)),
                       args::ColumnSumArgs{
                           .sum = sum, .values = values, .rows = rows, .cols = cols, .rows_per_block = rows_per_block, .accumulate = accumulate},
                       blocks * ceil_div(cols, workgroup),
                       {.flops = elements, .bytes = static_cast<double>(values.size_bytes()) + 4 * sums * (accumulate ? 2 : 1)});
}

Tensor scratch_rows(Tensor scratch, uint64_t first_row, uint32_t rows, uint32_t cols) {
  const uint64_t row_bytes = uint64_t{cols} * sizeof(float);
  CHECK((first_row + rows) * row_bytes <= scratch.size_bytes(), "{} bytes of scratch, {} needed", scratch.size_bytes(),
        (first_row + rows) * row_bytes);
  return {scratch.slice().sub(first_row * row_bytes, rows * row_bytes), Shape{rows, cols}};
}

}  // namespace lapilli
