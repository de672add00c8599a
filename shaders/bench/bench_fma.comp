#version 460
#include "shaders/common/common.glsl"
#include "shaders/bench/args.h"
// Peak f32 multiply-add rate: x[c] = x[c] * x[c + 1] + shift for kChains values in a ring, in registers, no memory.
//
// An invocation computes a new value of each chain from two old ones, so kChains multiply-adds do not depend on each other and hide
// their latency. The ring keeps it so: LLVM orders a body of independent chains chain by chain, 64 dependent operations one
// after another, and then measures latency (a quarter of the rate at 8 lanes). 64 steps are unrolled, because the loop itself
// is expensive on CPU drivers (its variables are blended with the execution mask).
// Variant 0 leaves fusing to the compiler, as our kernels do; variant 1 uses fma(). lavapipe compiles both to a multiplication and
// an addition. From anywhere in [0, 3/4) the values tend to 1/4 with shift = 3/16: no infinities, no denormals.

layout(constant_id = SPEC_TILE_COLS) const uint kChains = 8;
layout(constant_id = SPEC_VARIANT) const uint kVariant = 0;
const uint kUnrolled = 64;

layout(push_constant, std430) uniform Push { BenchFmaArgs args; };

void main() {
  const uint index = linear_invocation();
  if (is_null(args.result) || index >= args.count) return;
  float x[kChains];
  [[unroll]] for (uint c = 0; c < kChains; ++c) x[c] = 0.5 / float(index + c + 1);
  for (uint step = 0; step < args.steps; ++step) {
    [[unroll]] for (uint u = 0; u < kUnrolled; ++u) {
      float next[kChains];
      [[unroll]] for (uint c = 0; c < kChains; ++c) {
        const float neighbour = x[(c + 1) % kChains];
        next[c] = kVariant == 0 ? x[c] * neighbour + args.shift : fma(x[c], neighbour, args.shift);
      }
      [[unroll]] for (uint c = 0; c < kChains; ++c) x[c] = next[c];
    }
  }
  float sum = 0.0;
  [[unroll]] for (uint c = 0; c < kChains; ++c) sum += x[c];
  args.result.at[index] = sum;
}
