// pairs.glsl where two neighbours are a vec2: for GPUs, and for CPU drivers without 64-bit integers or not at their best with them, whose
// compilers keep what they like in registers.
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InPairs { vec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer OutPairs { vec2 at[]; };
vec2 pair(InPairs values, uint index) { return values.at[index / 2]; }
#define leave_in_memory(array, never, index)
void write_pair(OutPairs to, uint at, vec2 values) { to.at[at / 2] = values; }
