// workgroup_rows.glsl in plain GLSL.

// Consecutive threads hold consecutive elements, so the thread of a row's first element finds the rest of the row after
// it. REQUIRES: kCols divides kWorkgroup.
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
