// Factors of a workgroup's matrices: f16. Devices have matrices of sums in it too.
#include "shaders/factors_f16.glsl"
#define STORES_ROUNDED
