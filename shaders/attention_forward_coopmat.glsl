// Attention forward with cooperative matrices: out_i = sum_j softmax_j(q_i . k_j / sqrt(E)) v_j, lse_i. Factors (q, k, v and the
// probabilities, each rounded once) have 16 bits; scores, row statistics and all sums are f32. Memory: SPEC_A_TYPE, SPEC_C_TYPE.
//
// A workgroup owns kRows = 64 consecutive queries of one head, a fragment's rows to a subgroup, so that the statistics of a row stay within
// one; kAcross is 1. It meets keys kCols = 64 at a time: K, then V, in the same tile of shared memory, each fetched into registers while
// the product before it is made. Softmax in base 2: exp(s) = 2^(s log2 e). The rows of o are rescaled by a fragment loaded with
// stride 0, and only when a maximum of the subgroup's rows has grown.
//
//                                    E = 64      E = 128     (subgroups of 32, 128 threads, fragments 16 x 16 x 16)
//   registers: o, q, scores, fetch   32+16+32+16 64+32+32+32 (a wave of 64 holds half of each)
//   shared memory                    26.9 KB     35.1 KB
//   a tile: multiply-adds            0.5 M       1 M         exps 4096
//   16-bit memory read               16 KB       32 KB       64 FLOPs a byte; K and V of a head stay in L2
//   shared memory, a subgroup        28 KB       44 KB       fragments of K and V (E/4 KB), scores there and back (12 KB)
// Shared memory is the limit: at 128 bytes a clock the four subgroups of a tile need 900 and 1400 clocks, the matrix units 400 and 800.
// 128 rows (kRows: two fragments down) read each fragment of K and V for twice the rows.
const uint kMetTiles = 1;
layout(push_constant, std430) uniform Push { AttentionArgs args; };
#include "shaders/attention_coopmat.glsl"

shared float row_s[kRows];  // of each row: what o shrinks by

uint h, query0;
bool sees(uint query, uint start, uint key) { return key <= query && key >= start; }
bool masked_tile(uint key0, uint last_start) { return key0 + kCols - 1 > query0 || key0 < last_start; }

uvec4 nan_mask(uint result, uint row, uint e) {
  const uint query = query0 + row;
  Rows v = heads_of_qkv(0, args.heads + args.kv_heads + h / (args.heads / args.kv_heads));
  uvec4 mask = uvec4(0);
  for (uint key = start_of(query); key <= query; ++key) mask |= non_finite(fetch_eight(v, key, e));
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
  uvec4 chunks[kChunks];

  FragmentA q[kFragmentsDown][kSteps];
  [[dont_unroll]] for (uint part = 0; part < kRows / kCols; ++part) {
    fetch(chunks, heads_of_qkv(query0 + part * kCols, h));
    if (kOwnedShared != 0) {
      put_owned(chunks, 0, part);
      continue;
    }
    barrier();
    put(chunks, 0);
    barrier();
    if (sub_row() / kCols == part)
      [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
        [[unroll]] for (uint e = 0; e < kSteps; ++e)
          coopMatLoad(q[i][e], met, (sub_row() % kCols + i * kFragmentRows) * kMetStride + e * kFragmentDepth / 8, kMetStride,
                      gl_CooperativeMatrixLayoutRowMajor);
  }

  FragmentSum o[kFragmentsDown][kOutFragments];
  [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n) o[i][n] = FragmentSum(0.0);
  float top[kPasses], sum[kPasses];  // base 2; of this lane's columns
  uint start[kPasses];
  [[unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
    top[pass] = kLowest;
    sum[pass] = 0.0;
    start[pass] = start_of(query0 + lane_row(pass));
  }
  bool found = false;  // a V in a masked tile that was not finite

  const uint first_key = start_of(query0) / kCols * kCols;
  fetch(chunks, heads_of_qkv(first_key, key_head));
  [[dont_unroll]] for (uint key0 = first_key; key0 <= last; key0 += kCols) {
    const bool masked = masked_tile(key0, last_start);
    barrier();  // q, or the last V, has been read
    put(chunks, 0);
    barrier();
    fetch(chunks, heads_of_qkv(key0, value_head));
    FragmentSum s[kFragmentsDown][kScoreFragments];
    [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) s[i][j] = FragmentSum(0.0);
    [[unroll]] for (uint e = 0; e < kSteps; ++e) {
      FragmentA a[kFragmentsDown];
      [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) {
        if (kOwnedShared != 0) coopMatLoad(a[i], owned, owned_at(0, i, e), kMetStride, gl_CooperativeMatrixLayoutRowMajor);
        else a[i] = q[i][e];
      }
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) {
        FragmentB k;
        coopMatLoad(k, met, j * kFragmentCols * kMetStride + e * kFragmentDepth / 8, kMetStride, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) s[i][j] = coopMatMulAdd(a[i], k, s[i][j]);
      }
    }
    [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
      [[unroll]] for (uint j = 0; j < kScoreFragments; ++j)
        coopMatStore(s[i][j], scores, score_at(sub_row() + i * kFragmentRows) + j * kFragmentCols / 4, kScoreStride,
                     gl_CooperativeMatrixLayoutRowMajor);
    subgroupBarrier();

    bool grown = false;
    [[dont_unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
      const uint row = lane_row(pass), col = lane_part() * kPartCols, query = query0 + row, first = start[pass];
      vec4 p[kPartCols / 4];
      float highest = top[pass];
      [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c) p[c] = uintBitsToFloat(scores[score_at(row) + col / 4 + c]) * (args.scale * kLog2E);
      if (masked)
        [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c)
          [[unroll]] for (uint x = 0; x < 4; ++x)
            if (!sees(query, first, key0 + col + 4 * c + x)) p[c][x] = kLowest;
      [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c)
        highest = max(max(highest, max(p[c].x, p[c].y)), max(p[c].z, p[c].w));
      [[unroll]] for (uint lanes = kLaneRows; lanes < kSubgroup; lanes *= 2) highest = max(highest, subgroupShuffleXor(highest, lanes));
      const float shrink = exp2_or_nan(top[pass] - highest);
      top[pass] = highest;
      sum[pass] *= shrink;
      [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c)
        [[unroll]] for (uint x = 0; x < 4; ++x) p[c][x] = exp2_or_nan(p[c][x] - highest);
      if (masked)
        [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c)
          [[unroll]] for (uint x = 0; x < 4; ++x)
            if (!sees(query, first, key0 + col + 4 * c + x)) p[c][x] = 0.0;
      [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c) sum[pass] += (p[c].x + p[c].y) + (p[c].z + p[c].w);
      subgroupBarrier();  // the scores of the row have been read
      [[unroll]] for (uint c = 0; c < kPartCols / 8; ++c)
        scores[score_at(row) + col / 8 + c] = uvec4(pack_factors(p[2 * c].xy), pack_factors(p[2 * c].zw), pack_factors(p[2 * c + 1].xy),
                                                    pack_factors(p[2 * c + 1].zw));
      if (lane_part() == 0) row_s[row] = shrink;
      grown = grown || shrink != 1.0;
    }

    barrier();  // K has been read
    put(chunks, 0);
    note_found(masked && has_non_finite(chunks));
    barrier();
    if (any_found()) {
      found = true;
      take_out_non_finite(0);
      barrier();
    }
    if (key0 + kCols <= last) fetch(chunks, heads_of_qkv(key0 + kCols, key_head));
    if (subgroupAny(grown))
      [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) {
        FragmentSum shrink;
        coopMatLoad(shrink, row_s, sub_row() + i * kFragmentRows, 0, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint n = 0; n < kOutFragments; ++n) o[i][n] = o[i][n] * shrink;
      }
    for (uint k = 0; k < kCols; k += kFragmentDepth) {
      FragmentA p[kFragmentsDown];
      [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i)
        coopMatLoad(p[i], scores, factor_at(sub_row() + i * kFragmentRows, k), kScoreStride, gl_CooperativeMatrixLayoutRowMajor);
      [[unroll]] for (uint n = 0; n < kOutFragments; ++n) {
        FragmentB v;
        coopMatLoad(v, met, k * kMetStride + n * kFragmentCols / 8, kMetStride, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) o[i][n] = coopMatMulAdd(p[i], v, o[i][n]);
      }
    }
  }

  subgroupBarrier();  // row_s has been read
  [[unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
    [[unroll]] for (uint lanes = kLaneRows; lanes < kSubgroup; lanes *= 2) sum[pass] += subgroupShuffleXor(sum[pass], lanes);
    const uint row = lane_row(pass);
    if (lane_part() != 0) continue;
    row_s[row] = 1.0 / sum[pass];
    if (query0 + row < T) args.lse.at[(b * H + h) * T + query0 + row] = (top[pass] + log2_or_nan(sum[pass])) * kLn2;
  }
  subgroupBarrier();
  [[dont_unroll]] for (uint block = 0; block < kBlocks; ++block) {
    [[unroll]] for (uint i = 0; i < kFragmentsDown; ++i) {
      FragmentSum share;
      coopMatLoad(share, row_s, sub_row() + i * kFragmentRows, 0, gl_CooperativeMatrixLayoutColumnMajor);
      [[unroll]] for (uint n = 0; n < kOutFragments; ++n)
        if (n / kScoreFragments == block)
          coopMatStore(o[i][n] * share, scores, score_at(sub_row() + i * kFragmentRows) + n % kScoreFragments * kFragmentCols / 4, kScoreStride,
                       gl_CooperativeMatrixLayoutRowMajor);
    }
    subgroupBarrier();
    write_columns(args.attended, ((first_token + query0) * H + h) * kWidth, H * kWidth, T - query0, block * kScoreCols, 1.0, 0, found);
    subgroupBarrier();
  }
}
