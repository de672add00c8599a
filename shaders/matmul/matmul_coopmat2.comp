#version 460
// c = f(alpha * scale * op(a) op(b) + bias + addend) from the tile of a workgroup; c is f32 or has the operand type.
//
// The epilogue reads bias and addend per element: a second matrix of the tile's size would not fit into registers.
//
// kernel matmul_coopmat2_f16: COOPMAT2_F16
// kernel matmul_coopmat2_bf16: COOPMAT2_BF16
// kernel matmul_coopmat2_f16_emulated: EMULATED_F16
// kernel matmul_coopmat2_bf16_emulated: EMULATED_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/matmul/workgroup_operands.glsl"
layout(constant_id = SPEC_VARIANT) const uint kContiguous = 0;
#include "shaders/matmul/matmul_coopmat2.glsl"
#include "shaders/matmul/matmul_store.glsl"

layout(constant_id = SPEC_C_TYPE) const uint kCType = kF32;  // not kF32: OPERAND_TYPE's

const uint kAtOnce = 1;
vec4 load_like_c(InReal from, uint at, uint count) {
  return vec4(kCType == kF32 ? InF32(from).at[at] : unpack_operands(uint(InOutHalves(from).at[at])).x, 0.0, 0.0, 0.0);
}
void store_like_c(uvec2 to, uint at, vec4 values, uint count) {
  if (kCType == kF32) InOutF32(to).at[at] = values.x;
  else InOutHalves(to).at[at] = uint16_t(pack_operands(values.xy));
}
vec4 stored_like_c(vec4 values) { return kCType == kF32 ? values : vec4(unpack_operands(pack_operands(values.xy)).x, 0.0, 0.0, 0.0); }
void store_gated(uvec2 to, uint at, vec2 values, uint count) {}
#include "shaders/matmul/matmul_finish.glsl"

// Per-element functions on the tile [start, end) before the store to c. Each may run more than once per element, in any
// order: finish_element() only reads memory, write() only writes it.
float finish_element(const in uint row, const in uint col, const in float sum, const in uvec4 tile, const in float alpha) {
  const uvec2 place = tile.xy + uvec2(row, col);
  float value = alpha * sum;
  if (any(greaterThanEqual(place, tile.zw))) return value;
  const uint at = place.x * args.c_stride + place.y;
  if (!is_null(args.bias)) value += args.bias.at[place.y];
  if (!is_null(args.addend)) value += load_like_c(args.addend, at, 1).x;
  if (kNonlinearity == kSwigluBackward) {
    finish(place, at, vec4(value, 0.0, 0.0, 0.0), 1);
    return value;
  }
  return through(place, at, vec4(value, 0.0, 0.0, 0.0), 1).x;
}
float write(const in uint row, const in uint col, const in float value, const in uvec4 tile, const in float alpha) {
  const uvec2 place = tile.xy + uvec2(row, col);
  if (any(greaterThanEqual(place, tile.zw))) return value;
  store_like_c(uvec2(args.c), place.x * args.c_stride + place.y, vec4(value, 0.0, 0.0, 0.0), 1);
  return value;
}

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kCols)), end = uvec2(o.rows, o.cols);
  if (start.x >= end.x || leaves_c_unchanged(o)) return;
  Sums sums = tile_sums(o, start);
  const float alpha = scaled_alpha(o);

  if (alpha != 1.0 || !is_null(args.bias) || !is_null(args.addend) || kNonlinearity != kLinear)
    coopMatPerElementNV(sums, sums, finish_element, uvec4(start, end), alpha);
  if (kNonlinearity == kSwigluBackward) return;
  // The addend may be c: all of the tile has been read before any of it is written.
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);

  const uint c_stride = outer_stride(args.c_stride, end.y, false);
  if (kCType == kF32 && (kAligned & 4) != 0) {
    STORE_TILE(sums, OutSums(args.c), start, end, c_stride)
    return;
  }
#ifdef STORES_ROUNDED
  if ((kAligned & 4) != 0) {
    const RoundedSums result = ROUNDED(sums);
    STORE_TILE(result, OutRoundedSums(args.c), start, end, c_stride)
    return;
  }
#endif
  coopMatPerElementNV(sums, sums, write, uvec4(start, end), alpha);
}
