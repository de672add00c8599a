#pragma once
// Sums over the rows of a matrix in two stages and a fixed order: blocks of rows in parallel, then the block sums. Used
// by the gradients of biases and of norm weights.

#include "model/ops/ops.h"

namespace lapilli {

// The split of `rows` rows into blocks: about as many blocks as rows in a block, so that both stages are short. The
// same on every device.
struct RowBlocks {
  explicit RowBlocks(uint32_t row_count);
  RowBlocks(uint32_t row_count, uint32_t block_rows);
  uint32_t rows, rows_per_block, count;
};

// Workgroup size of kernels with one column per lane.
uint32_t column_workgroup(const Ops& ops);

// sum [blocks, cols] (+)= column sums of values [rows, cols] over each block of rows_per_block rows.
void column_sum(Ops& ops, Tensor sum, ConstTensor values, uint32_t rows_per_block, Into into);

// Rows first_row .. first_row + rows of scratch, seen as a matrix of `cols` columns.
Tensor scratch_rows(Tensor scratch, uint64_t first_row, uint32_t rows, uint32_t cols);

}  // namespace lapilli
