#version 460
#include "shaders/common.glsl"
// Logits and their online log-sum-exp on drivers that run on a processor.
#include "shaders/matmul_scalar_words.glsl"
#include "shaders/loss_logits_scalar.glsl"
