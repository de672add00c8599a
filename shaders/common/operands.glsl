// The 16-bit operands of a kernel's form (form.glsl).
#if defined(COOPMAT_F16) || defined(COOPMAT2_F16)
#include "shaders/common/operands_f16.glsl"
#else
#include "shaders/common/operands_bf16.glsl"
#endif
