#version 460
#include "shaders/common/common.glsl"
// Logits and their online log-sum-exp on drivers that run on a processor.
const uint kLayout = 1;  // NT
const bool kOddA = false, kOddB = false;
#include "shaders/matmul/matmul_scalar_pairs.glsl"
#include "shaders/loss/loss_logits_scalar.glsl"
