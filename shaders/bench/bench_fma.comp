#version 460
#include "shaders/common/common.glsl"
#include "shaders/bench/args.h"
// Peak f32 multiply-add rate: chains of x = x * scale + shift in registers, no memory.
//
// One invocation holds kChains independent chains, so that the latency of one is hidden behind the others. 64 steps are
// unrolled, because the loop itself is expensive on software drivers (its variables are blended with the execution
// mask). Variant 0 leaves fusing to the compiler, as our kernels do; variant 1 uses fma().
// The values tend to shift / (1 - scale): no infinities, no denormals.

layout(constant_id = SPEC_TILE_COLS) const uint kChains = 8;
layout(constant_id = SPEC_VARIANT) const uint kVariant = 0;
const uint kUnrolled = 64;

layout(push_constant, std430) uniform Push { BenchFmaArgs args; };

void main() {
  const uint index = linear_invocation();
  if (is_null(args.result) || index >= args.count) return;
  float x[kChains];
  [[unroll]] for (uint c = 0; c < kChains; ++c) x[c] = float(index + c);
  for (uint step = 0; step < args.steps; ++step) {
    [[unroll]] for (uint u = 0; u < kUnrolled; ++u)
      [[unroll]] for (uint c = 0; c < kChains; ++c)
        x[c] = kVariant == 0 ? x[c] * args.scale + args.shift : fma(x[c], args.scale, args.shift);
  }
  float sum = 0.0;
  [[unroll]] for (uint c = 0; c < kChains; ++c) sum += x[c];
  args.result.at[index] = sum;
}
