#version 460
#include "shaders/common.glsl"
// c = alpha * op(a) op(b) + bias + addend on drivers that run on a processor, f32, with 64-bit loads, and stores where c allows.
layout(constant_id = SPEC_VARIANT) const uint kLayout = 0;
#include "shaders/matmul_scalar_pairs.glsl"
#include "shaders/matmul_store.glsl"
const uint kStored = (kEpilogue & 4) != 0 ? kNeighbours : 1;
#include "shaders/matmul_scalar_store.glsl"

void store_sums(uint row, uint col, uint i, uint j) {
  if (kStored == 1) {
    store(row, col, sum[i][j]);
    return;
  }
  const uint at = row * args.c_stride + col;
  vec2 value = args.alpha * vec2(sum[i][j], sum[i][j + 1]);
  if (has_bias()) value += pair(InPairs(args.bias), col);
  if (has_addend()) value += pair(InPairs(args.addend), at);
  write_pair(OutPairs(args.c), at, value);
}
