#version 460
// Attention backward for queries on CPU drivers, f32. Over the keys j that query i sees, with
// p_ij = exp(score_ij - lse_i):
//   d_q_i = sum_j p_ij (d_o_i . v_j - delta_i) k_j / sqrt(E)
//
// A workgroup holds kBlockM * kSubgroup consecutive queries of one head, with their q, d_o and d_q. It streams keys kBlockN
// at a time. Accumulator: f32, keys in ascending order.
//
// kernel attention_d_q_cpu
// kernel attention_d_q_cpu_load64: LOAD64
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

layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };

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
  float q[kBlockM][kWidth], d_o[kBlockM][kWidth], d_q[kBlockM][kWidth], lse[kBlockM], delta[kBlockM];
  [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
    query[r] = min(query0 + r * kSubgroup + gl_SubgroupInvocationID, T - 1);
    start[r] = start_at(args.document_start, args.qkv, b * T + query[r]);
    first_start = min(first_start, start[r]);
    last_start = max(last_start, start[r]);
    lse[r] = args.lse.at[(b * H + h) * T + query[r]];
    delta[r] = args.delta.at[(b * H + h) * T + query[r]];
    const uint token = b * T + query[r];
    load_resident_row(q[r], args.qkv, qkv_at(token, h, H, G), args.scale);
    load_resident_row(d_o[r], args.d_attended, (token * H + h) * kWidth, 1.0);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) d_q[r][e] = 0.0;
  }
  first_start = subgroupMin(first_start);
  last_start = subgroupMax(last_start);

  for (uint j0 = first_start / kBlockN * kBlockN; j0 <= last; j0 += kBlockN) {
    const bool all_seen = j0 + kBlockN - 1 <= query0 && j0 >= last_start;
    float k[kStreamedFloats], v[kStreamedFloats];  // keys beyond the edge read the last one
    [[unroll]] for (uint j = 0; j < kBlockN; ++j) {
      const uint at = qkv_at(b * T + min(j0 + j, T - 1), H + g, H, G);
      load_streamed(k, j, args.qkv, at);
      load_streamed(v, j, args.qkv, at + G * kWidth);
    }
    leave_streamed_in_memory(k);
    leave_streamed_in_memory(v);
    float p[kBlockM][kBlockN], d_s[kBlockM][kBlockN];
    multiply_rows(p, q, k);
    multiply_rows(d_s, d_o, v);
    bool seen[kBlockM][kBlockN];
    [[unroll]] for (uint r = 0; r < kBlockM; ++r)
      [[unroll]] for (uint j = 0; j < kBlockN; ++j) {
        seen[r][j] = j0 + j <= query[r] && j0 + j >= start[r];
        d_s[r][j] = exp_or_nan(p[r][j] - lse[r]) * (d_s[r][j] - delta[r]);
      }
    if (all_seen) add_weighted_rows(d_q, d_s, k);
    else add_weighted_seen_rows(d_q, d_s, seen, k);
  }

  [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
    if (query0 + r * kSubgroup + gl_SubgroupInvocationID >= T) break;
    store_rotated_back(args.d_qkv, qkv_at(b * T + query[r], h, H, G), d_q[r], args.scale, args.cos_sin_table, query[r]);
  }
}
