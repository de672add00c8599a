#version 460
// The epilogue of a tile in blocks, with c and all tensors laid out like it in f32 or in the operand type
// (SPEC_C_TYPE). Writes four columns at once if bit 2 of SPEC_ALIGNED says that all rows are aligned to four elements.
//
// Declared before the include, besides the requirements of matmul_coopmat.glsl: vec2 unpack_operands(uint).
//
// kernel matmul_coopmat_f16: COOPMAT_F16
// kernel matmul_coopmat_bf16: COOPMAT_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
layout(constant_id = SPEC_VARIANT) const uint kContiguous = 0;
#include "shaders/common/operands.glsl"
#include "shaders/matmul/matmul_coopmat.glsl"
#include "shaders/matmul/matmul_store.glsl"

layout(constant_id = SPEC_C_TYPE) const uint kCType = kF32;  // not kF32: OPERAND_TYPE's
const bool kVec4Rows = (kAligned & 4) != 0;

layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer OutU32x2 { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutF32x4 { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 2) writeonly buffer OutHalves { uint16_t at[]; };

const uint kAtOnce = 4;
vec4 load_like_c(InReal from, uint at, uint count) {
  vec4 values = vec4(0.0);
  if (kVec4Rows && count == 4) {
    if (kCType == kF32) return InF32x4(from).at[at / 4];
    const uvec2 words = InU32x2(from).at[at / 4];
    return vec4(unpack_operands(words.x), unpack_operands(words.y));
  }
  [[unroll]] for (uint x = 0; x < 4; ++x)
    if (x < count) values[x] = kCType == kF32 ? InF32(from).at[at + x] : unpack_operands(uint(InHalves(from).at[at + x])).x;
  return values;
}
void store_like_c(uvec2 to, uint at, vec4 values, uint count) {
  const uvec2 words = uvec2(pack_operands(values.xy), pack_operands(values.zw));
  if (kVec4Rows && count == 4) {
    if (kCType == kF32) OutF32x4(to).at[at / 4] = values;
    else OutU32x2(to).at[at / 4] = words;
    return;
  }
  [[unroll]] for (uint x = 0; x < 4; ++x) {
    if (x >= count) break;
    if (kCType == kF32) OutF32(to).at[at + x] = values[x];
    else OutHalves(to).at[at + x] = uint16_t(words[x / 2] >> 16 * (x % 2));
  }
}
vec4 stored_like_c(vec4 values) {
  return kCType == kF32 ? values : vec4(unpack_operands(pack_operands(values.xy)), unpack_operands(pack_operands(values.zw)));
}
void store_gated(uvec2 to, uint at, vec2 values, uint count) {
  if (kVec4Rows && count == 2 && kCType != kF32) OutU32(to).at[at / 2] = pack_operands(values);
  else store_like_c(to, at, vec4(values, 0.0, 0.0), count);
}
#include "shaders/matmul/matmul_store_vec4.glsl"
