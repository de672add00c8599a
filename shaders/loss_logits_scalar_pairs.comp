#version 460
#include "shaders/common.glsl"
// Logits and their online log-sum-exp on drivers that run on a processor.
const uint kLayout = 1;  // NT
const bool kOddA = false, kOddB = false;
#include "shaders/matmul_scalar_pairs.glsl"
#include "shaders/loss_logits_scalar.glsl"
