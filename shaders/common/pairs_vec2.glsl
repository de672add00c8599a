// pairs.glsl with a vec2 for the two floats: for GPUs, and for CPU drivers without 64-bit integers or where these are
// slow. The compiler decides what stays in registers.
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InPairs { vec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer OutPairs { vec2 at[]; };
vec2 pair(InPairs values, uint index) { return values.at[index / 2]; }
#define leave_in_memory(array, never, index)
void write_pair(OutPairs to, uint at, vec2 values) { to.at[at / 2] = values; }
