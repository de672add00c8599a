#version 460
// Peak rate of cooperative matrix products: chains of sum = a b + sum in registers, no memory.
//
// A subgroup holds kChains independent sums of the device's matrix shape; 16 products of each are unrolled. Operand
// elements differ and depend on an argument, so that no compiler precomputes them; they are small, so that sums stay
// finite.
//
// kernel bench_matrix_f16: COOPMAT_F16
// kernel bench_matrix_bf16: COOPMAT_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/bench/args.h"
#include "shaders/common/operands.glsl"
layout(constant_id = SPEC_TILE_COLS) const uint kChains = 8;
layout(constant_id = SPEC_FRAGMENT_ROWS) const uint kFragmentRows = 16;
layout(constant_id = SPEC_FRAGMENT_COLS) const uint kFragmentCols = 16;
layout(constant_id = SPEC_FRAGMENT_DEPTH) const uint kFragmentDepth = 16;
const uint kUnrolled = 16;

layout(push_constant, std430) uniform Push { BenchMatrixArgs args; };

void main() {
  const uint subgroup = linear_group() * (kWorkgroup / kSubgroup) + gl_SubgroupID;
  coopmat<OPERAND_TYPE, gl_ScopeSubgroup, kFragmentRows, kFragmentDepth, gl_MatrixUseA> a;
  coopmat<OPERAND_TYPE, gl_ScopeSubgroup, kFragmentDepth, kFragmentCols, gl_MatrixUseB> b;
  [[unroll]] for (int i = 0; i < a.length(); ++i) a[i] = OPERAND_TYPE(args.scale * float((gl_SubgroupInvocationID + i) % 5));
  [[unroll]] for (int i = 0; i < b.length(); ++i) b[i] = OPERAND_TYPE(args.scale * float((gl_SubgroupInvocationID + i) % 7));
  coopmat<float, gl_ScopeSubgroup, kFragmentRows, kFragmentCols, gl_MatrixUseAccumulator> sums[kChains];
  [[unroll]] for (uint c = 0; c < kChains; ++c)
    sums[c] = coopmat<float, gl_ScopeSubgroup, kFragmentRows, kFragmentCols, gl_MatrixUseAccumulator>(float(c));
  [[dont_unroll]] for (uint step = 0; step < args.steps; ++step) {
    [[unroll]] for (uint u = 0; u < kUnrolled; ++u)
      [[unroll]] for (uint c = 0; c < kChains; ++c) sums[c] = coopMatMulAdd(a, b, sums[c]);
  }
  [[unroll]] for (uint c = 1; c < kChains; ++c) sums[0] += sums[c];
  if (subgroup < args.stored) coopMatStore(sums[0], args.result.at, subgroup * kFragmentRows * kFragmentCols, kFragmentCols, gl_CooperativeMatrixLayoutRowMajor);
}
