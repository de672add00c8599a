// 64-bit loads and stores of two adjacent floats: half the scattered accesses on CPU drivers, which do them lane by
// lane. Memory is 8-byte aligned, the first of the two is an even element: load_f32x2() returns the two of which `index` is
// one, or those at an address, a multiple of 8. Needs 64-bit integers.
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InF32x2 { uint64_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) writeonly buffer OutF32x2 { uint64_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InF32x2At { uint64_t value; };
vec2 load_f32x2(uint64_t address) { return uintBitsToFloat(unpack32(InF32x2At(address).value)); }
vec2 load_f32x2(InF32x2 values, uint index) { return uintBitsToFloat(unpack32(values.at[index / 2])); }
// Forces an array into memory: it is written with a dynamic index under a condition that is `never` true, which the
// compiler cannot prove. A broadcast from memory is one load, cheaper than the two shuffles from a register, at 8 lanes
// (AVX) and at 16 (AVX-512).
#define leave_in_memory(array, never, index) \
  { if (never) array[(index) % array.length()] = 0.0; }
void store_f32x2(OutF32x2 to, uint at, vec2 values) { to.at[at / 2] = pack64(floatBitsToUint(values)); }
