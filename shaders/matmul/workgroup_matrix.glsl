// The matrices that matmul_coopmat2.glsl works with, and how they move between memory and a workgroup (VK_NV_cooperative_matrix2).
// workgroup_matrix_emulated.glsl says the same in plain GLSL; the kernel uses no more of the extension than both know.

const uint kStages = 4;  // of K in a row, for the driver to overlap the loads of one with the math of another
#define Layout tensorLayoutNV<2>
#define EdgeLayout tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV>
#define NEW_LAYOUT createTensorLayoutNV(2)
#define NEW_EDGE_LAYOUT createTensorLayoutNV(2, gl_CooperativeMatrixClampModeConstantNV)

#define PartOfA coopmat<FACTOR, gl_ScopeWorkgroup, kRows, kDepth, gl_MatrixUseA>
#define PartOfB coopmat<FACTOR, gl_ScopeWorkgroup, kDepth, kCols, gl_MatrixUseB>
#define Sums coopmat<float, gl_ScopeWorkgroup, kRows, kCols, gl_MatrixUseAccumulator>
#define RoundedSums coopmat<FACTOR, gl_ScopeWorkgroup, kRows, kCols, gl_MatrixUseAccumulator>

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Factors { FACTOR at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutSums { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutRoundedSums { FACTOR at[]; };

// Addresses begin at 16 bytes; a slice of a layout may begin anywhere. A turned slice has the matrix's columns for rows.
#define LOAD(matrix, from, slice) coopMatLoadTensorNV(matrix, from.at, 0, slice)
#define LOAD_TURNED(matrix, from, slice) coopMatLoadTensorNV(matrix, from.at, 0, slice, createTensorViewNV(2, false, 1, 0))
#define STORE(matrix, to, slice) coopMatStoreTensorNV(matrix, to.at, 0, slice)
#define NEW_SUMS(value) Sums(value)
#define ROUNDED(sums) RoundedSums(sums)
