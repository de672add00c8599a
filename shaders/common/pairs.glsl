// Two neighbouring floats as one 64-bit number: half the scattered accesses of drivers that run on a processor, which take them lane by
// lane. Memory begins at 8 bytes, the first of two is an even element: pair() gives the two of which `index` is one. Needs 64-bit integers.
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InPairs { uint64_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer OutPairs { uint64_t at[]; };
vec2 pair(InPairs values, uint index) { return uintBitsToFloat(unpack32(values.at[index / 2])); }
// An array that is written through an index that is not known, in a case that `never` comes but that the compiler cannot rule out, has to stay
// in memory. A broadcast from there is a load, and costs less than the two shuffles that it takes from a register, at 8 lanes (AVX) as at 16
// (AVX-512).
#define leave_in_memory(array, never, index) \
  { if (never) array[(index) % array.length()] = 0.0; }
void write_pair(OutPairs to, uint at, vec2 values) { to.at[at / 2] = pack64(floatBitsToUint(values)); }
