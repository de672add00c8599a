// workgroup_rows.glsl in plain GLSL.

// Consecutive threads hold consecutive elements, so those at the beginnings of rows find the rest of a row next to theirs.
// REQUIRES: kCols divides kWorkgroup.
shared float row_values[kRows], row_elements[kWorkgroup];
#define REDUCE_ROWS(matrix, operation)                                                                              \
  [[dont_unroll]] for (uint i = 0; i < kElements; ++i) {                                                            \
    barrier();                                                                                                      \
    row_elements[gl_LocalInvocationIndex] = matrix.at[i];                                                           \
    barrier();                                                                                                      \
    if (gl_LocalInvocationIndex % kCols != 0) continue;                                                             \
    float value = matrix.at[i];                                                                                     \
    for (uint j = 1; j < kCols; ++j) value = operation(value, row_elements[gl_LocalInvocationIndex + j]);           \
    row_values[element_of(i) / kCols] = value;                                                                      \
  }                                                                                                                 \
  barrier();
