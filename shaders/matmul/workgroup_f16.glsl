// Factors of a workgroup's matrices: f16. Devices have matrices of sums in it too.
#include "shaders/common/operands_f16.glsl"
#define STORES_ROUNDED
