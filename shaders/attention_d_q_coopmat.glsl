// Attention backward for queries with cooperative matrices. Over the keys j that query i sees, with p_ij = exp(score_ij - lse_i):
//   d_q_i = sum_j p_ij (d_o_i . v_j - delta_i) k_j / sqrt(E)
// Factors (q, k, v, d_o, and d_s = p (d_p - delta), each rounded once) have 16 bits; scores, p and all sums are f32. A large loss
// scale may carry a d_s beyond f16, to an infinity: that is what it looks for.
//
// A workgroup owns 64 consecutive queries of one head, q and d_o in fragments; keys come kCols at a time, in ascending order. p and d_s
// are made in the fragments of the scores, where lse and delta are fragments loaded with stride 0; they pass through shared
// memory once, to become factors.
//
//                                   E = 64             E = 128            (subgroups of 32, fragments 16 x 16 x 16)
//   subgroups, kCols                4 x 1, 64          4 x 2, 32
//   registers: q, d_o, d_q, fetch   16+16+32+32        32+32+32+16        (a wave of 64: see attention_coopmat.glsl)
//     lse, delta, s, d_p            8+8+32+32          8+8+8+8
//   shared memory                   36.6 KB            27.4 KB            with q and d_o there: 55.0, 62.2 KB
//   a tile: multiply-adds           0.8 M              0.8 M              exps 4096, 2048
//   16-bit memory read              16 KB              16 KB              96 FLOPs a byte
#define kStarts kRows
#include "shaders/attention_backward_coopmat.glsl"

shared float lse_s[kRows];  // base 2
shared float delta_s[kRows];
uint h;

bool counts(uint row, uint col) { return key0 + col <= query0 + row && key0 + col >= start_s[row]; }

uvec4 nan_mask(uint result, uint row, uint e) {
  const uint query = query0 + row;
  Rows k = heads_of_qkv(0, args.heads + h / (args.heads / args.kv_heads));
  uvec4 mask = uvec4(0);
  for (uint key = start_of(query); key <= query; ++key) mask |= non_finite(fetch_eight(k, key, e));
  return mask;
}

void main() {
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kRows - 1) / kRows;
  const uint b = linear_group() / (tiles * H);
  if (b >= args.batch) return;
  h = linear_group() / tiles % H;
  query0 = (tiles - 1 - linear_group() % tiles) * kRows;  // the longest first
  first_token = b * T;
  const uint key_head = H + h / (H / G), value_head = key_head + G;
  const uint last = min(query0 + kRows, T) - 1;
  const uint last_start = start_of(last);
  uvec4 chunks[kChunks], value_chunks[kChunks];

  for (uint row = gl_LocalInvocationIndex; row < kRows; row += kWorkgroup) {
    const uint at = (b * H + h) * T + min(query0 + row, T - 1);
    lse_s[row] = args.lse.at[at] * kLog2E;
    delta_s[row] = args.delta.at[at];
    start_s[row] = start_of(query0 + row);
  }
  FragmentA q[kFragmentsDown][kSteps], d_o[kFragmentsDown][kSteps];
  [[dont_unroll]] for (uint part = 0; part < kRows / kCols; ++part) {
    fetch(chunks, heads_of_qkv(query0 + part * kCols, h));
    fetch(value_chunks, heads_of_gradient(query0 + part * kCols, h));
    if (kOwnedShared != 0) {
      put_owned(chunks, 0, part);
      put_owned(value_chunks, 1, part);
      continue;
    }
    barrier();
    put(chunks, 0);
    put(value_chunks, 1);
    barrier();
    if (sub_row() / kCols == part)
      [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
        [[unroll]] for (uint e = 0; e < kSteps; ++e) {
          const uint at = (sub_row() % kCols + i * kFragmentRows) * kMetStride + e * kFragmentDepth / 8;
          coopMatLoad(q[i][e], met, at, kMetStride, gl_CooperativeMatrixLayoutRowMajor);
          coopMatLoad(d_o[i][e], met, kCols * kMetStride + at, kMetStride, gl_CooperativeMatrixLayoutRowMajor);
        }
  }
  barrier();
  FragmentSum lse[kFragmentsDown], delta[kFragmentsDown], d_q[kFragmentsDown][kOutFragments];
  [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) {
    coopMatLoad(lse[i], lse_s, sub_row() + i * kFragmentRows, 0, gl_CooperativeMatrixLayoutColumnMajor);
    coopMatLoad(delta[i], delta_s, sub_row() + i * kFragmentRows, 0, gl_CooperativeMatrixLayoutColumnMajor);
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n) d_q[i][n] = FragmentSum(0.0);
  }
  bool found = false;  // a K in a masked tile that was not finite

  const uint first_key = start_of(query0) / kCols * kCols;
  fetch(chunks, heads_of_qkv(first_key, key_head));
  fetch(value_chunks, heads_of_qkv(first_key, value_head));
  [[dont_unroll]] for (key0 = first_key; key0 <= last; key0 += kCols) {
    const bool masked = key0 + kCols - 1 > query0 || key0 < last_start;
    barrier();  // q and d_o, or the last tile, have been read
    put(chunks, 0);
    put(value_chunks, 1);
    note_found(masked && has_non_finite(chunks));
    barrier();
    if (key0 + kCols <= last) {
      fetch(chunks, heads_of_qkv(key0 + kCols, key_head));
      fetch(value_chunks, heads_of_qkv(key0 + kCols, value_head));
    }
    FragmentSum s[kFragmentsDown][kScoreFragments], d_p[kFragmentsDown][kScoreFragments];
    [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) s[i][j] = d_p[i][j] = FragmentSum(0.0);
    [[unroll]] for (uint e = 0; e < kSteps; ++e) {
      FragmentA a[kFragmentsDown], d_a[kFragmentsDown];
      [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) {
        if (kOwnedShared != 0) {
          coopMatLoad(a[i], owned, owned_at(0, i, e), kMetStride, gl_CooperativeMatrixLayoutRowMajor);
          coopMatLoad(d_a[i], owned, owned_at(1, i, e), kMetStride, gl_CooperativeMatrixLayoutRowMajor);
        } else {
          a[i] = q[i][e];
          d_a[i] = d_o[i][e];
        }
      }
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) {
        const uint at = (sub_across() * kScoreCols + j * kFragmentCols) * kMetStride + e * kFragmentDepth / 8;
        FragmentB k, v;
        coopMatLoad(k, met, at, kMetStride, gl_CooperativeMatrixLayoutColumnMajor);
        coopMatLoad(v, met, kCols * kMetStride + at, kMetStride, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) {
          s[i][j] = coopMatMulAdd(a[i], k, s[i][j]);
          d_p[i][j] = coopMatMulAdd(d_a[i], v, d_p[i][j]);
        }
      }
    }
    [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) {
        [[unroll]] for (uint x = 0; x < s[i][j].length(); ++x)
          s[i][j][x] = exp2_or_nan(s[i][j][x] * (args.scale * kLog2E) - lse[i][x]) * (d_p[i][j][x] - delta[i][x]);
        coopMatStore(s[i][j], scores, score_at(sub_row() + i * kFragmentRows) + j * kFragmentCols / 4, kScoreStride,
                     gl_CooperativeMatrixLayoutRowMajor);
      }
    subgroupBarrier();
    to_factors(masked);
    barrier();
    if (any_found()) {
      found = true;
      take_out_non_finite(0);
      barrier();
    }
    for (uint step = 0; step < kCols; step += kFragmentDepth) {
      FragmentA d_s[kFragmentsDown];
      [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
        coopMatLoad(d_s[i], scores, factor_at(sub_row() + i * kFragmentRows, step), kScoreStride, gl_CooperativeMatrixLayoutRowMajor);
      [[unroll]] for (uint n = 0; n < kOutFragments; ++n) {
        FragmentB k;
        coopMatLoad(k, met, step * kMetStride + (sub_across() * kOutCols + n * kFragmentCols) / 8, kMetStride, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) d_q[i][n] = coopMatMulAdd(d_s[i], k, d_q[i][n]);
      }
    }
  }

  barrier();  // the last d_s has been read
  [[dont_unroll]] for (uint block = 0; block < kBlocks; ++block) {
    [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
      [[unroll]] for (uint n = 0; n < kOutFragments; ++n)
        if (n / kScoreFragments == block)
          coopMatStore(d_q[i][n], scores, score_at(sub_row() + i * kFragmentRows) + n % kScoreFragments * kFragmentCols / 4, kScoreStride,
                       gl_CooperativeMatrixLayoutRowMajor);
    subgroupBarrier();
    write_columns(args.d_qkv, qkv_at(first_token + query0, h, H, G), (H + 2 * G) * kWidth, T - query0, block * kScoreCols, args.scale, 0, found);
    subgroupBarrier();
  }
}
