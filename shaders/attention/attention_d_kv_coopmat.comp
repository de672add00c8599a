#version 460
// Attention backward for keys and values with cooperative matrices. Over the queries i of all heads of the group that see key j,
// with p_ij = exp(score_ij - lse_i):
//   d_v_j = sum_i p_ij d_o_i        d_k_j = sum_i p_ij (d_o_i . v_j - delta_i) q_i / sqrt(E)
// Operands (q, k, v, d_o, p, and d_s = p (d_p - delta), each rounded once) have 16 bits; scores, p and all sums are f32
// before that.
//
// A workgroup holds 64 consecutive keys of one key/value head, k and v in fragments. Rows of a tile of scores are keys,
// columns are queries, so that p and d_s are A operands without a transpose. It loops over heads, then over queries
// kCols at a time, in ascending order; each tile is fetched while the one before is multiplied. d_s stays in fragments
// while p passes through shared memory.
//
//                                   E = 64             E = 128            (subgroups of 32, fragments 16 x 16 x 16)
//   subgroups, kCols                4 x 1, 64          4 x 2, 32
//   registers: k, v, d_k, d_v       16+16+32+32        32+32+32+32        (a wave of 64: see attention_coopmat.glsl)
//     s, d_s, lse, delta, fetch     32+32+8+8+32       8+8+8+8+16
//   shared memory                   36.6 KB            27.0 KB            with k and v there: 55.0, 61.8 KB
//   a tile: multiply-adds           1 M                1 M                exps 4096, 2048
//   16-bit memory read              16 KB              16 KB              128 FLOPs a byte
//
// kernel attention_d_kv_coopmat_f16: COOPMAT_F16
// kernel attention_d_kv_coopmat_bf16: COOPMAT_BF16
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/attention/attention.glsl"
#include "shaders/common/operands.glsl"
#define kQueries kCols
#include "shaders/attention/attention_backward_coopmat.glsl"

uint g;

bool counts(uint row, uint col) { return key0 + row <= query0 + col && key0 + row >= start_s[col] && query0 + col < args.context; }

// Result 0: d_k, which the queries reach; 1: d_v, which their gradients reach.
uvec4 nan_mask(uint result, uint row, uint e) {
  uvec4 mask = uvec4(0);
  const uint key = key0 + row, heads = args.heads / args.kv_heads;
  for (uint h = g * heads; h < (g + 1) * heads; ++h) {
    Rows from = heads_of_qkv(0, h);
    if (result == 1) from = heads_of_gradient(0, h);
    for (uint query = key; query < args.context && start_of(query) <= key; ++query) mask |= non_finite(read_operands(from, query, e));
  }
  return mask;
}
void transform_vec8(uint result, uint row, uint e, inout vec4 low, inout vec4 high) {
  if (kRotaryBackward != 0 && result == 0) rotate_vec8_back(key0 + row, e, low, high);
}

void main() {
  const uint T = args.context, H = args.heads, G = args.kv_heads, tiles = (T + kRows - 1) / kRows;
  const uint b = linear_group() / (tiles * G);
  if (b >= args.batch) return;
  first_token = b * T;
  g = linear_group() / tiles % G;
  key0 = linear_group() % tiles * kRows;
  const uint last_key = min(key0 + kRows, T) - 1;

  FragmentA k[kFragmentsM][kSteps], v[kFragmentsM][kSteps];
  load_resident(k, v, heads_of_qkv(key0, H + g), heads_of_qkv(key0, H + G + g));
  FragmentSum d_k[kFragmentsM][kOutFragments], d_v[kFragmentsM][kOutFragments];
  [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n) d_k[i][n] = d_v[i][n] = FragmentSum(0.0);
  bool found = false;  // a q or d_o in a masked tile that was not finite

  // Tiles of queries that see these keys: starts do not decrease, so they are the first ones.
  uint streamed_tiles = 1, beyond = (T - key0 + kCols - 1) / kCols;
  while (streamed_tiles < beyond) {
    const uint middle = (streamed_tiles + beyond) / 2;
    if (start_of(key0 + middle * kCols) <= last_key) streamed_tiles = middle + 1;
    else beyond = middle;
  }
  const uint end = key0 + streamed_tiles * kCols;

  Words words[kChunks], gradient_words[kChunks];
  Statistics statistics[kStatistics];
  fetch(words, heads_of_qkv(key0, g * (H / G)));
  fetch(gradient_words, heads_of_gradient(key0, g * (H / G)));
  fetch(statistics, g * (H / G), key0);
  uint last_start = read_start(key0 + kCols - 1);  // of the tile that comes, as it was read
  for (uint h = g * (H / G); h < (g + 1) * (H / G); ++h) {
    [[dont_unroll]] for (query0 = key0; query0 < end; query0 += kCols) {
      const bool masked = query0 < last_key || query0 + kCols > T || start_as_read(last_start) > key0;
      barrier();  // k and v, or the last tile, have been read
      uvec4 chunks[kChunks], gradient_chunks[kChunks];
      take(chunks, words, heads_of_qkv(query0, h));
      take(gradient_chunks, gradient_words, heads_of_gradient(query0, h));
      put(chunks, 0);
      put(gradient_chunks, 1);
      publish_found(masked && (has_non_finite(chunks) || has_non_finite(gradient_chunks)));
      put(statistics);
      barrier();
      // The next tile; after the last of a head, the first of the next head; after all, any that is there.
      const bool more = query0 + kCols < end;
      const uint next_query0 = more ? query0 + kCols : key0, next_h = more ? h : min(h + 1, H - 1);
      fetch(words, heads_of_qkv(next_query0, next_h));
      fetch(gradient_words, heads_of_gradient(next_query0, next_h));
      fetch(statistics, next_h, next_query0);
      last_start = read_start(next_query0 + kCols - 1);

      FragmentSum s[kFragmentsM][kScoreFragments], d_s[kFragmentsM][kScoreFragments];
      [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
        [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) s[i][j] = d_s[i][j] = FragmentSum(0.0);
      multiply_rows(s, k, 0);
      multiply_rows(d_s, v, 1);
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) {
        const uint col = subgroup_n() * kScoreCols + j * kFragmentCols;
        FragmentSum lse, delta;
        coopMatLoad(lse, lse_s, col, 0, gl_CooperativeMatrixLayoutRowMajor);
        coopMatLoad(delta, delta_s, col, 0, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
          [[unroll]] for (uint x = 0; x < lse.length(); ++x) {
            s[i][j][x] = exp2_or_nan(s[i][j][x] * (args.scale * kLog2E) - lse[x]);
            d_s[i][j][x] = s[i][j][x] * (d_s[i][j][x] - delta[x]);
          }
      }
      to_operands(s, masked);
      barrier();
      if (clear_found(2)) found = true;
      multiply_scores(d_v, 1);
      barrier();  // p has been read
      to_operands(d_s, masked);
      barrier();
      multiply_scores(d_k, 0);
    }
  }

  barrier();  // the last d_s has been read
  const uint at = qkv_at(first_token + key0, H + g, H, G), stride = (H + 2 * G) * kWidth;
  [[dont_unroll]] for (uint turn = 0; turn < 2 * kBlocks; ++turn) {
    const uint block = turn / 2, result = turn % 2;  // put_block() of either would make compilers copy both
    [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
      [[unroll]] for (uint n = 0; n < kOutFragments; ++n) {
        if (n / kScoreFragments == block && result == 0) put_fragment(d_k[i][n], i, n % kScoreFragments);
        if (n / kScoreFragments == block && result == 1) put_fragment(d_v[i][n], i, n % kScoreFragments);
      }
    subgroupBarrier();
    write_columns(args.d_qkv, at + result * G * kWidth, stride, T - key0, block * kScoreCols, result == 0 ? args.scale : 1.0, result, found);
    subgroupBarrier();
  }
}
