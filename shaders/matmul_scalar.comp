#version 460
#include "shaders/common.glsl"
// c = f(alpha * scale * op(a) op(b) + bias + addend) on drivers that run on a processor, f32, any strides.
#include "shaders/matmul_scalar_words.glsl"
#include "shaders/matmul_store_words.glsl"
const uint kStored = 1;
#include "shaders/matmul_scalar_store.glsl"

void store_sums(uint row, uint col, float alpha, uint i, uint j) { store(row, col, alpha * sum[i][j]); }
