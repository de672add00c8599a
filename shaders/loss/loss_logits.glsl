// Shared by all classes of loss_logits_*.comp: logits are computed tile by tile and reduced in registers with the
// online log-sum-exp of each row,
//   m' = max(m, z),  s' = s exp(m - m') + exp(z - m'),  z_y, sum z, argmax.
// They are stored only if the plan keeps them for backward. A vocab block is the columns of one workgroup; loss_combine.comp
// merges the vocab blocks.
// SPEC_VARIANT: bit 0: keep the logits, bit 1: compute sum z (label smoothing).
#include "shaders/loss/args.h"
#include "shaders/loss/loss.glsl"

layout(constant_id = SPEC_VARIANT) const uint kVariant = 0;
const bool kKeep = (kVariant & 1) != 0, kTotal = (kVariant & 2) != 0;
layout(constant_id = SPEC_VOCAB_BLOCK) const uint kVocabBlock = 512;

layout(push_constant, std430) uniform Push { LossLogitsArgs args; };

#include "shaders/loss/loss_rows.glsl"
Operands operands() { return Operands(OPERAND(uvec2(args.x)), OPERAND(uvec2(args.w)), min(args.num_valid.at[0], args.row_chunk), args.cols, args.dim, 1, 1, args.dim); }
// (rows / tile_rows, vocab block) of this workgroup. On a CPU driver without stored logits, adjacent workgroups share the
// vocab block's part of w, which stays in a cache while x is streamed: w is read from memory once. With kept logits, adjacent
// workgroups continue in the same rows, and so in the same pages: on lavapipe 64 GFLOP/s instead of 48, while without
// kept logits this order gives 62 instead of 70.
uvec2 vocab_block_of_group(uint tile_rows) {
  const uvec2 tiles = uvec2((args.row_chunk + tile_rows - 1) / tile_rows, (args.cols + kVocabBlock - 1) / kVocabBlock);
  return kKeep || BAND_ROWS > 1 ? tile_of_group(tiles, args.permutation_step) : uvec2(linear_group() % tiles.x, linear_group() / tiles.x);
}
uint target_of(uint row) { return args.targets.at[args.token_of_row.at[row]] - args.first_column; }  // wraps if it is before

void write_vocab_block(uint row, uint vocab_block, float m, float s, float total, uint best) {
  const uint vocab_blocks = (args.cols + kVocabBlock - 1) / kVocabBlock, at = (row * vocab_blocks + vocab_block) * kVocabBlockState;
  args.vocab_blocks.at[at + kVocabBlockMax] = m;
  args.vocab_blocks.at[at + kVocabBlockSum] = s;
  args.vocab_blocks.at[at + kVocabBlockLogits] = total;
  args.vocab_blocks.at[at + kVocabBlockBest] = float(best);
}
