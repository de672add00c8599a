// Operands of cooperative matrices: f16, rounded to nearest even; values beyond 65504 become infinities.
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#pragma use_vulkan_memory_model

#define OPERAND_TYPE float16_t
uint pack_operands(vec2 values) { return packFloat2x16(f16vec2(values)); }
vec2 unpack_operands(uint word) { return vec2(unpackFloat2x16(word)); }
const uint kOperandExponentMask = 0x7C00u;  // all ones: an infinity or a NaN
