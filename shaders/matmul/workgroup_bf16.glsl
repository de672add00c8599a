// Factors of a workgroup's matrices: bfloat16. Devices need not have matrices of sums in it: what is stored in bf16 is written element by
// element.
#include "shaders/common/operands_bf16.glsl"
