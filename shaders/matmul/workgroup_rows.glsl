// What the rows of a workgroup's matrix come to (VK_NV_cooperative_matrix2). workgroup_rows_emulated.glsl says the same in plain GLSL.

// row_values[r] = all of row r of `matrix` put together by `operation`; the workgroup may read them from then on. What a reduction
// gives is as wide as the narrowest tile, which any device with these kernels can hold: its columns are all the same.
shared float row_values[kRows];
float keep_row_value(const in uint row, const in uint col, const in float value) {
  if (col == 0) row_values[row] = value;
  return value;
}
#define ReducedRows coopmat<float, gl_ScopeWorkgroup, kRows, 64, gl_MatrixUseAccumulator>
#define REDUCE_ROWS(matrix, operation)                                              \
  {                                                                                 \
    ReducedRows reduced;                                                            \
    coopMatReduceNV(reduced, matrix, gl_CooperativeMatrixReduceRowNV, operation);   \
    barrier(); /* what was there has been read */                                   \
    coopMatPerElementNV(reduced, reduced, keep_row_value);                          \
    barrier();                                                                      \
  }
