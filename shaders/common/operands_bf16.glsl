// Operands of cooperative matrices: bfloat16, the upper half of an f32, rounded to nearest even.
#extension GL_KHR_memory_scope_semantics : require
#pragma use_vulkan_memory_model
#include "shaders/common/round16.glsl"

#define OPERAND_TYPE bfloat16_t
uint pack_operands(vec2 values) { return bf16_bits(values.x) | bf16_bits(values.y) << 16; }
vec2 unpack_operands(uint word) { return bf16_pair(word); }
const uint kOperandExponentMask = 0x7F80u;  // all ones: an infinity or a NaN
