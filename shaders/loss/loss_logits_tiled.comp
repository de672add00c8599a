#version 460
#include "shaders/common/common.glsl"
// Logits and their online log-sum-exp on any GPU.
const uint kContiguous = 3;  // x and w along D
const bool kEvenRows = false;
#include "shaders/matmul/matmul_tiled.glsl"
#include "shaders/loss/loss_logits_blocks.glsl"
