#version 460
#include "shaders/common/common.glsl"
// Logits and their online log-sum-exp on drivers that run on a processor.
#include "shaders/matmul/matmul_scalar_words.glsl"
#include "shaders/loss/loss_logits_scalar.glsl"
