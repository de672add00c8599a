#version 460
// Attention backward for queries with cooperative matrices. Over the keys j that query i sees, with p_ij = exp(score_ij - lse_i):
//   d_q_i = sum_j p_ij (d_o_i . v_j - delta_i) k_j / sqrt(E)
// Operands (q, k, v, d_o, and d_s = p (d_p - delta), each rounded once) have 16 bits; scores, p and all sums are f32. A
// large loss scale may overflow a d_s in f16 to an infinity: loss scaling then detects it and lowers the scale.
//
// A workgroup holds 64 consecutive queries of one head, q and d_o in fragments, and streams keys kCols at a time, in
// ascending order. p and d_s are computed in the fragments of the scores, with lse and delta as fragments loaded with
// stride 0; they pass through shared memory once, to become operands.
//
//                                   E = 64             E = 128            (subgroups of 32, fragments 16 x 16 x 16)
//   subgroups, kCols                4 x 1, 64          4 x 2, 32
//   registers: q, d_o, d_q, fetch   16+16+32+32        32+32+32+16        (a wave of 64: see attention_coopmat.glsl)
//     lse, delta, s, d_p            8+8+32+32          8+8+8+8
//   shared memory                   36.6 KB            27.4 KB            with q and d_o there: 55.0, 62.2 KB
//   a tile: multiply-adds           0.8 M              0.8 M              exps 4096, 2048
//   16-bit memory read              16 KB              16 KB              96 FLOPs a byte
//
// kernel attention_d_q_coopmat_f16: COOPMAT_F16
// kernel attention_d_q_coopmat_bf16: COOPMAT_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/attention/attention.glsl"
#include "shaders/common/operands.glsl"
#define kQueries kRows
#include "shaders/attention/attention_backward_coopmat.glsl"
#include "shaders/attention/attention_queries_coopmat.glsl"

bool counts(uint row, uint col) { return key0 + col <= query0 + row && key0 + col >= start_s[row]; }
uvec4 nan_mask(uint result, uint row, uint e) { return nan_of_seen(key_head, row, e); }
void transform_vec8(uint result, uint row, uint e, inout vec4 low, inout vec4 high) {
  if (kRotaryBackward != 0) rotate_vec8_back(query0 + row, e, low, high);
}

void main() {
  if (!find_queries()) return;
  Statistics statistics[kStatistics];
  fetch(statistics, h, query0);
  put(statistics);
  FragmentA q[kFragmentsM][kSteps], d_o[kFragmentsM][kSteps];
  load_resident(q, d_o, heads_of_qkv(query0, h), heads_of_gradient(query0, h));
  barrier();
  FragmentSum lse[kFragmentsM], delta[kFragmentsM], d_q[kFragmentsM][kOutFragments];
  [[unroll]] for (uint i = 0; i < kFragmentsM; ++i) {
    coopMatLoad(lse[i], lse_s, sub_row() + i * kFragmentRows, 0, gl_CooperativeMatrixLayoutColumnMajor);
    coopMatLoad(delta[i], delta_s, sub_row() + i * kFragmentRows, 0, gl_CooperativeMatrixLayoutColumnMajor);
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n) d_q[i][n] = FragmentSum(0.0);
  }
  bool found = false;  // a K in a masked tile that was not finite

  Words words[kChunks], value_words[kChunks];
  fetch(words, heads_of_qkv(first_key, key_head));
  fetch(value_words, heads_of_qkv(first_key, value_head));
  [[dont_unroll]] for (key0 = first_key; key0 <= last_key; key0 += kCols) {
    const bool masked = masked_tile();
    barrier();  // q and d_o, or the last tile, have been read
    uvec4 chunks[kChunks], value_chunks[kChunks];
    take(chunks, words, heads_of_qkv(key0, key_head));
    take(value_chunks, value_words, heads_of_qkv(key0, value_head));
    put(chunks, 0);
    put(value_chunks, 1);
    publish_found(masked && has_non_finite(chunks));
    barrier();
    fetch(words, heads_of_qkv(next_key0(), key_head));
    fetch(value_words, heads_of_qkv(next_key0(), value_head));
    FragmentSum s[kFragmentsM][kScoreFragments], d_p[kFragmentsM][kScoreFragments];
    [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) s[i][j] = d_p[i][j] = FragmentSum(0.0);
    multiply_rows(s, q, 0);
    multiply_rows(d_p, d_o, 1);
    [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j)
        [[unroll]] for (uint x = 0; x < s[i][j].length(); ++x)
          s[i][j][x] = exp2_or_nan(s[i][j][x] * (args.scale * kLog2E) - lse[i][x]) * (d_p[i][j][x] - delta[i][x]);
    to_operands(s, masked);
    barrier();
    if (clear_found(1)) found = true;
    multiply_scores(d_q, 0);
  }

  barrier();  // the last d_s has been read
  [[dont_unroll]] for (uint block = 0; block < kBlocks; ++block) {
    put_block(d_q, block);
    subgroupBarrier();
    write_columns(args.d_qkv, qkv_at(first_token + query0, h, args.heads, args.kv_heads), (args.heads + 2 * args.kv_heads) * kWidth,
                  args.context - query0, block * kScoreCols, args.scale, 0, found);
    subgroupBarrier();
  }
}
