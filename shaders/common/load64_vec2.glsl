// load64.glsl with a vec2 for the two floats: for GPUs, and for CPU drivers without 64-bit integers or where these are
// slow. The compiler decides what stays in registers.
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InF32x2 { vec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer OutF32x2 { vec2 at[]; };
vec2 load_f32x2(InF32x2 values, uint index) { return values.at[index / 2]; }
#define leave_in_memory(array, never, index)
void store_f32x2(OutF32x2 to, uint at, vec2 values) { to.at[at / 2] = values; }
