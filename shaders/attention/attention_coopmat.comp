#version 460
// Attention forward with cooperative matrices: out_i = sum_j softmax_j(q_i . k_j / sqrt(E)) v_j, lse_i. Operands (q, k, v and the
// probabilities, each rounded once) have 16 bits; scores, row statistics and all sums are f32. Memory: SPEC_A_TYPE, SPEC_C_TYPE.
//
// A workgroup holds kRows = 64 consecutive queries of one head, one fragment of rows per subgroup, so that the
// statistics of a row stay within a subgroup; kSubgroupsN is 1. It streams keys kCols = 64 at a time: K, then V, in the
// same tile of shared memory, each fetched into registers during the GEMM before it. Softmax in base 2: exp(s) = 2^(s
// log2 e). The rows of o are rescaled by a fragment loaded with stride 0, and only when a maximum of the subgroup's
// rows has grown.
//
//                                    E = 64      E = 128     (subgroups of 32, 128 threads, fragments 16 x 16 x 16)
//   registers: o, q, scores, fetch   32+16+32+16 64+32+32+32 (half of each in a wave of 64)
//   shared memory                    26.9 KB     35.1 KB
//   a tile: multiply-adds            0.5 M       1 M         exps 4096
//   16-bit memory read               16 KB       32 KB       64 FLOPs a byte; K and V of a head stay in L2
//   shared memory, a subgroup        28 KB       44 KB       fragments of K and V (E/4 KB), scores (12 KB)
// Shared memory is the bottleneck: at 128 bytes per clock the four subgroups of a tile need 900 and 1400 clocks, the
// matrix units 400 and 800. 128 rows (kRows: two fragments per subgroup) use each fragment of K and V for twice the
// rows.
//
// kernel attention_coopmat_f16: COOPMAT_F16
// kernel attention_coopmat_bf16: COOPMAT_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#include "shaders/common/operands.glsl"
const uint kStreamedTiles = 1;
layout(push_constant, std430) uniform Push { AttentionArgs args; };
#include "shaders/attention/attention_coopmat.glsl"
#include "shaders/attention/attention_queries_coopmat.glsl"

shared float row_s[kRows];  // scale of each row of o

uvec4 nan_mask(uint result, uint row, uint e) { return nan_of_seen(value_head, row, e); }
void transform_vec8(uint result, uint row, uint e, inout vec4 low, inout vec4 high) {}

// Sets the masked scores of keys key.. of a query to `value`; `start` is the first visible key.
void mask(inout vec4 p[kVec4s], uint query, uint start, uint key, float value) {
  [[unroll]] for (uint c = 0; c < kVec4s; ++c)
    [[unroll]] for (uint x = 0; x < 4; ++x)
      if (key + 4 * c + x > query || key + 4 * c + x < start) p[c][x] = value;
}
void multiply_by_rows(inout FragmentSum o[kFragmentsM][kOutFragments]) {
  [[unroll]] for (uint i = 0; i < kFragmentsM; ++i) {
    FragmentSum factor;
    coopMatLoad(factor, row_s, sub_row() + i * kFragmentRows, 0, gl_CooperativeMatrixLayoutColumnMajor);
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n) o[i][n] = o[i][n] * factor;
  }
}

void main() {
  if (!find_queries()) return;
  Words words[kChunks];
  uvec4 chunks[kChunks];
  FragmentA q[kFragmentsM][kSteps];
  [[dont_unroll]] for (uint part = 0; part < kRows / kCols; ++part) {
    Rows rows = heads_of_qkv(query0 + part * kCols, h);
    fetch(words, rows);
    take(chunks, words, rows);
    if (kResidentShared != 0) {
      store_resident(chunks, 0, part);
      continue;
    }
    barrier();
    put(chunks, 0);
    barrier();
    hold(q, 0, part);
  }
  FragmentSum o[kFragmentsM][kOutFragments];
  [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n) o[i][n] = FragmentSum(0.0);
  float top[kPasses], sum[kPasses];  // base 2; of this lane's columns
  uint start[kPasses];
  [[unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
    top[pass] = kLowest;
    sum[pass] = 0.0;
    start[pass] = start_of(query0 + lane_row(pass));
  }
  bool found = false;  // a V in a masked tile that was not finite

  fetch(words, heads_of_qkv(first_key, key_head));
  [[dont_unroll]] for (key0 = first_key; key0 <= last_key; key0 += kCols) {
    const bool masked = masked_tile();
    barrier();  // q, or the last V, has been read
    take(chunks, words, heads_of_qkv(key0, key_head));
    put(chunks, 0);
    barrier();
    fetch(words, heads_of_qkv(key0, value_head));
    FragmentSum s[kFragmentsM][kScoreFragments];
    [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) s[i][j] = FragmentSum(0.0);
    multiply_rows(s, q, 0);
    put_scores(s);
    subgroupBarrier();

    bool grown = false;
    [[dont_unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
      const uint row = lane_row(pass), query = query0 + row, key = key0 + lane_part() * kPartCols;
      vec4 p[kVec4s];
      float highest = top[pass];
      take_lane(p, row);
      [[unroll]] for (uint c = 0; c < kVec4s; ++c) p[c] *= args.scale * kLog2E;
      if (masked) mask(p, query, start[pass], key, kLowest);
      [[unroll]] for (uint c = 0; c < kVec4s; ++c)
        highest = max(max(highest, max(p[c].x, p[c].y)), max(p[c].z, p[c].w));
      [[unroll]] for (uint lanes = kLaneRows; lanes < kSubgroup; lanes *= 2) highest = max(highest, subgroupShuffleXor(highest, lanes));
      const float shrink = exp2_or_nan(top[pass] - highest);
      top[pass] = highest;
      sum[pass] *= shrink;
      [[unroll]] for (uint c = 0; c < kVec4s; ++c)
        [[unroll]] for (uint x = 0; x < 4; ++x) p[c][x] = exp2_or_nan(p[c][x] - highest);
      if (masked) mask(p, query, start[pass], key, 0.0);
      [[unroll]] for (uint c = 0; c < kVec4s; ++c) sum[pass] += (p[c].x + p[c].y) + (p[c].z + p[c].w);
      subgroupBarrier();  // the scores of the row have been read
      put_lane(p, row);
      if (lane_part() == 0) row_s[row] = shrink;
      grown = grown || shrink != 1.0;
    }

    barrier();  // K has been read
    take(chunks, words, heads_of_qkv(key0, value_head));
    put(chunks, 0);
    publish_found(masked && has_non_finite(chunks));
    barrier();
    if (clear_found(1)) found = true;
    fetch(words, heads_of_qkv(next_key0(), key_head));
    if (subgroupAny(grown)) multiply_by_rows(o);
    multiply_scores(o, 0);
  }

  subgroupBarrier();  // row_s has been read
  [[unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
    [[unroll]] for (uint lanes = kLaneRows; lanes < kSubgroup; lanes *= 2) sum[pass] += subgroupShuffleXor(sum[pass], lanes);
    const uint row = lane_row(pass);
    if (lane_part() != 0) continue;
    row_s[row] = 1.0 / sum[pass];
    if (query0 + row < args.context) args.lse.at[statistic_at(h, query0 + row)] = (top[pass] + log2_or_nan(sum[pass])) * kLn2;
  }
  subgroupBarrier();
  multiply_by_rows(o);
  [[dont_unroll]] for (uint block = 0; block < kBlocks; ++block) {
    put_block(o, block);
    subgroupBarrier();
    write_columns(args.attended, ((first_token + query0) * args.heads + h) * kWidth, args.heads * kWidth, args.context - query0, block * kScoreCols, 1.0,
                  0, found);
    subgroupBarrier();
  }
}
