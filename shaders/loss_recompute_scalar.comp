#version 460
#include "shaders/common.glsl"
// Logits again, stored as gradients of logits, on drivers that run on a processor.
#include "shaders/matmul_scalar_words.glsl"
#include "shaders/loss_recompute_scalar.glsl"
