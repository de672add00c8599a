#version 460
// Attention forward on CPU drivers: out_i = sum_j softmax_j(q_i . k_j / sqrt(E)) v_j, lse_i, f32.
//
// A workgroup holds kBlockM * kSubgroup consecutive queries of one head, with their q and o. It streams keys kBlockN at a
// time: first all their scores, one new maximum and one rescale of o, then their values.
// Accumulator: f32, keys in ascending order.
//
// kernel attention_cpu
// kernel attention_cpu_load64: LOAD64
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#ifdef LOAD64
#include "shaders/common/load64.glsl"
#else
#include "shaders/common/load64_vec2.glsl"
#endif
#include "shaders/attention/attention_cpu.glsl"

layout(push_constant, std430) uniform Push { AttentionArgs args; };

void main() {
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kBlockM * kSubgroup - 1) / (kBlockM * kSubgroup);
  const uint b = linear_group() / (tiles * H);
  if (b >= args.batch) return;
  const uint h = linear_group() / tiles % H;
  const uint g = h / (H / G);
  const uint query0 = (tiles - 1 - linear_group() % tiles) * kBlockM * kSubgroup;  // the longest first
  const uint last = min(query0 + kBlockM * kSubgroup, T) - 1;

  uint query[kBlockM], start[kBlockM];
  uint first_start = T, last_start = 0;
  float q[kBlockM][kWidth], o[kBlockM][kWidth], top[kBlockM], sum[kBlockM];
  [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
    query[r] = min(query0 + r * kSubgroup + gl_SubgroupInvocationID, T - 1);
    start[r] = start_at(args.document_start, args.qkv, b * T + query[r]);
    first_start = min(first_start, start[r]);
    last_start = max(last_start, start[r]);
    load_resident_row(q[r], args.qkv, qkv_at(b * T + query[r], h, H, G), args.scale);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) o[r][e] = 0.0;
    top[r] = kLowest;
    sum[r] = 0.0;
  }
  first_start = subgroupMin(first_start);
  last_start = subgroupMax(last_start);

  for (uint j0 = first_start / kBlockN * kBlockN; j0 <= last; j0 += kBlockN) {
    const bool all_seen = j0 + kBlockN - 1 <= query0 && j0 >= last_start;
    uint key_at[kBlockN];  // keys beyond the edge read the last one
    float streamed[kStreamedFloats];
    [[unroll]] for (uint j = 0; j < kBlockN; ++j) {
      key_at[j] = qkv_at(b * T + min(j0 + j, T - 1), H + g, H, G);
      load_streamed(streamed, j, args.qkv, key_at[j]);
    }
    float p[kBlockM][kBlockN];
    multiply_rows(p, q, streamed);

    bool seen[kBlockM][kBlockN];
    [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
      float new_top = top[r];
      [[unroll]] for (uint j = 0; j < kBlockN; ++j) {
        seen[r][j] = j0 + j <= query[r] && j0 + j >= start[r];
        p[r][j] = seen[r][j] ? p[r][j] : kLowest;
        new_top = max(new_top, p[r][j]);
      }
      const float shrink = exp_or_nan(top[r] - new_top);
      top[r] = new_top;
      sum[r] *= shrink;
      [[unroll]] for (uint j = 0; j < kBlockN; ++j) {
        p[r][j] = seen[r][j] ? exp_or_nan(p[r][j] - new_top) : 0.0;
        sum[r] += p[r][j];
      }
      [[unroll]] for (uint e = 0; e < kWidth; ++e) o[r][e] *= shrink;
    }

    [[unroll]] for (uint j = 0; j < kBlockN; ++j) load_streamed(streamed, j, args.qkv, key_at[j] + G * kWidth);
    if (all_seen) add_weighted_rows(o, p, streamed);
    else add_weighted_seen_rows(o, p, seen, streamed);
  }

  [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
    if (query0 + r * kSubgroup + gl_SubgroupInvocationID >= T) break;
    store_resident_row(args.attended, ((b * T + query[r]) * H + h) * kWidth, o[r], 1.0 / sum[r]);
    args.lse.at[(b * H + h) * T + query[r]] = top[r] + log_or_nan(sum[r]);
  }
}
