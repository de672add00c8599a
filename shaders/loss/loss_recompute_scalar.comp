#version 460
#include "shaders/common/common.glsl"
// Logits again, stored as gradients of logits, on drivers that run on a processor.
#include "shaders/matmul/matmul_scalar_words.glsl"
#include "shaders/loss/loss_recompute_scalar.glsl"
