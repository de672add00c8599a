// Row reductions of a workgroup's matrix (VK_NV_cooperative_matrix2). workgroup_rows_emulated.glsl is the same in plain
// GLSL.

// row_values[r] = row r of `matrix` reduced by `operation`; the workgroup may read them afterwards. The result of a
// reduction is as wide as the narrowest tile, which any device with these kernels supports; all its columns are equal.
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
    barrier(); /* the old values have been read */                                   \
    coopMatPerElementNV(reduced, reduced, keep_row_value);                          \
    barrier();                                                                      \
  }
