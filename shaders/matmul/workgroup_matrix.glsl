// The matrix types of matmul_coopmat2.glsl, with loads and stores (VK_NV_cooperative_matrix2).
// workgroup_matrix_emulated.glsl implements the same in plain GLSL; the kernels use only the part of the extension that
// both have.

const uint kStages = 4;  // unrolled stages of K, so that the driver can overlap loads with math
#define Layout tensorLayoutNV<2>
#define EdgeLayout tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV>
#define NEW_LAYOUT createTensorLayoutNV(2)
#define NEW_EDGE_LAYOUT createTensorLayoutNV(2, gl_CooperativeMatrixClampModeConstantNV)

#define PartOfA coopmat<OPERAND_TYPE, gl_ScopeWorkgroup, kRows, kDepth, gl_MatrixUseA>
#define PartOfB coopmat<OPERAND_TYPE, gl_ScopeWorkgroup, kDepth, kCols, gl_MatrixUseB>
#define Sums coopmat<float, gl_ScopeWorkgroup, kRows, kCols, gl_MatrixUseAccumulator>
#define RoundedSums coopmat<OPERAND_TYPE, gl_ScopeWorkgroup, kRows, kCols, gl_MatrixUseAccumulator>

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer OperandBuffer { OPERAND_TYPE at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutSums { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutRoundedSums { OPERAND_TYPE at[]; };

// Addresses are 16-byte aligned; a slice of a layout may begin anywhere. LOAD_TRANSPOSED transposes the slice.
#define LOAD(matrix, from, slice) coopMatLoadTensorNV(matrix, from.at, 0, slice)
#define LOAD_TRANSPOSED(matrix, from, slice) coopMatLoadTensorNV(matrix, from.at, 0, slice, createTensorViewNV(2, false, 1, 0))
#define STORE(matrix, to, slice) coopMatStoreTensorNV(matrix, to.at, 0, slice)
#define NEW_SUMS(value) Sums(value)
#define ROUNDED(sums) RoundedSums(sums)
