// The form of a kernel, given by the macro of its line "// kernel NAME: FORM": the required extensions, and the type of
// 16-bit operands. No macro: f32 on any device.
//
//   LOAD64                          f32 on CPU drivers with 64-bit loads (load64.glsl)
//   TILED                          f32 in shared memory
//   COOPMAT_F16, COOPMAT_BF16      cooperative matrices of a subgroup
//   COOPMAT2_F16, COOPMAT2_BF16    cooperative matrices of a workgroup
//   EMULATED_F16, EMULATED_BF16    the same in plain GLSL, for tests
#if defined(COOPMAT_F16) || defined(COOPMAT_BF16) || defined(COOPMAT2_F16) || defined(COOPMAT2_BF16)
#extension GL_KHR_cooperative_matrix : require
#endif
#if defined(COOPMAT2_F16) || defined(COOPMAT2_BF16)
#extension GL_NV_cooperative_matrix2 : require
#endif
#if defined(COOPMAT_BF16) || defined(COOPMAT2_BF16)
#extension GL_EXT_bfloat16 : require
#endif
#if defined(COOPMAT2_F16) || defined(COOPMAT2_BF16) || defined(EMULATED_F16) || defined(EMULATED_BF16)
#extension GL_EXT_shader_16bit_storage : require
#endif
#if defined(EMULATED_F16) || defined(EMULATED_BF16)
#extension GL_KHR_memory_scope_semantics : require
#endif
