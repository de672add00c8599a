// A row of kWidth columns in the registers of a workgroup, so that memory is read once: a lane holds kTogether adjacent
// columns of every kStride columns, kChunks times. The width is a specialization constant, so rows that fill all lanes
// need no bounds checks.
//
// A lane's arrays of kChunks vec2 are registers: 8 for 16 columns per lane on a GPU (model/ops/norm.cpp). On a CPU
// driver a subgroup has the whole row, up to 64 columns per lane, on the stack in the L1 cache.
//
// Included before: load64.glsl or load64_vec2.glsl, real.glsl.
layout(constant_id = SPEC_WIDTH) const uint kWidth = 64;
layout(constant_id = SPEC_VARIANT) const uint kForm = 0;
const bool kCentred = (kForm & 1) != 0;     // LayerNorm; else RMSNorm, with mean 0
const bool kHasBias = (kForm & 2) != 0;
const bool kAccumulate = (kForm & 4) != 0;  // add to d_x
const bool kLoad64 = (kForm & 8) != 0;       // all rows of f32 begin at 8 bytes; REQUIRES: kWidth even

const uint kTogether = kWidth % 2 == 0 ? 2 : 1;
const uint kStride = kTogether * kWorkgroup;
const uint kChunks = (kWidth + kStride - 1) / kStride;

uint column(uint chunk) { return chunk * kStride + kTogether * gl_LocalInvocationIndex; }
bool in_row(uint chunk) { return kWidth % kStride == 0 || column(chunk) < kWidth; }

// kTogether elements from element `at` on; missing ones are 0.
vec2 load_f32(uvec2 from, uint at) {
  if (kLoad64) return load_f32x2(InF32x2(from), at);
  return vec2(InF32(from).at[at], kTogether == 2 ? InF32(from).at[at + 1] : 0.0);
}
vec2 load_typed(InReal from, uint type, uint at) { return type == kF32 ? load_f32(uvec2(from), at) : load_halves(from, type, at); }
void store_f32(uvec2 to, uint at, vec2 values) {
  if (kLoad64) {
    store_f32x2(OutF32x2(to), at, values);
    return;
  }
  OutF32(to).at[at] = values.x;
  if (kTogether == 2) OutF32(to).at[at + 1] = values.y;
}
// Loads per-column values (weight, bias).
void load_columns(out vec2 values[kChunks], uvec2 from) {
  [[unroll]] for (uint i = 0; i < kChunks; ++i) values[i] = in_row(i) ? load_f32(from, column(i)) : vec2(0.0);
}
float sum_of(vec2 values) { return kTogether == 2 ? values.x + values.y : values.x; }
