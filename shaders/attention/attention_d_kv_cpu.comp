#version 460
// Attention backward for keys and values on CPU drivers, f32. Over the queries i of all heads of the
// group that see key j, with p_ij = exp(score_ij - lse_i):
//   d_v_j = sum_i p_ij d_o_i        d_k_j = sum_i p_ij (d_o_i . v_j - delta_i) q_i / sqrt(E)
//
// A workgroup holds kBlockM * kSubgroup consecutive keys of one key/value head, with their k, v, d_k and d_v. It streams
// queries kBlockN at a time.
// REQUIRES: kBlockN <= kSubgroup.
// Accumulator: f32, heads and then queries in ascending order.
//
// kernel attention_d_kv_cpu
// kernel attention_d_kv_cpu_load64: LOAD64
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
  const uint lane = gl_SubgroupInvocationID;
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kBlockM * kSubgroup - 1) / (kBlockM * kSubgroup);
  const uint b = linear_group() / (tiles * G);
  if (b >= args.batch) return;
  const uint g = linear_group() / tiles % G;
  const uint key0 = linear_group() % tiles * kBlockM * kSubgroup;
  const uint last_key = min(key0 + kBlockM * kSubgroup, T) - 1;

  uint key[kBlockM];
  float k[kBlockM][kWidth], v[kBlockM][kWidth], d_k[kBlockM][kWidth], d_v[kBlockM][kWidth];
  [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
    key[r] = min(key0 + r * kSubgroup + lane, T - 1);
    const uint at = qkv_at(b * T + key[r], H + g, H, G);
    load_resident_row(k[r], args.qkv, at, args.scale);
    load_resident_row(v[r], args.qkv, at + G * kWidth, 1.0);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) d_k[r][e] = d_v[r][e] = 0.0;
  }

  for (uint h = g * (H / G); h < (g + 1) * (H / G); ++h) {
    for (uint i0 = key0; i0 < T; i0 += kBlockN) {
      // What belongs to a query: lane l reads that of query i0 + l; queries beyond the edge read the last one.
      const uint my_query = min(i0 + min(lane, kBlockN - 1), T - 1);
      const float my_lse = args.lse.at[(b * H + h) * T + my_query];
      const float my_delta = args.delta.at[(b * H + h) * T + my_query];
      const uint my_start = start_at(args.document_start, args.qkv, b * T + my_query);
      if (subgroupBroadcast(my_start, 0) > last_key) break;  // starts do not decrease: no later query sees these keys

      float q[kStreamedFloats], d_o[kStreamedFloats];
      [[unroll]] for (uint i = 0; i < kBlockN; ++i) {
        const uint token = b * T + min(i0 + i, T - 1);
        load_streamed(q, i, args.qkv, qkv_at(token, h, H, G));
        load_streamed(d_o, i, args.d_attended, (token * H + h) * kWidth);
      }
      leave_streamed_in_memory(q);
      leave_streamed_in_memory(d_o);
      float p[kBlockM][kBlockN], d_s[kBlockM][kBlockN];
      multiply_rows(p, k, q);
      multiply_rows(d_s, v, d_o);

      bool seen[kBlockM][kBlockN], all_seen = i0 >= last_key && i0 + kBlockN <= T;
      [[unroll]] for (uint i = 0; i < kBlockN; ++i) {
        const float lse = subgroupBroadcast(my_lse, i), delta = subgroupBroadcast(my_delta, i);
        const uint start = subgroupBroadcast(my_start, i);
        all_seen = all_seen && start <= key0;
        [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
          seen[r][i] = key[r] <= i0 + i && key[r] >= start && i0 + i < T;
          p[r][i] = exp_or_nan(p[r][i] - lse);
          d_s[r][i] = p[r][i] * (d_s[r][i] - delta);
        }
      }
      if (all_seen) {
        add_weighted_rows(d_v, p, d_o);
        add_weighted_rows(d_k, d_s, q);
      } else {
        add_weighted_seen_rows(d_v, p, seen, d_o);
        add_weighted_seen_rows(d_k, d_s, seen, q);
      }
    }
  }

  [[unroll]] for (uint r = 0; r < kBlockM; ++r) {
    if (key0 + r * kSubgroup + lane >= T) break;
    const uint at = qkv_at(b * T + key[r], H + g, H, G);
    store_rotated_back(args.d_qkv, at, d_k[r], args.scale, args.cos_sin_table, key[r]);
    store_resident_row(args.d_qkv, at + G * kWidth, d_v[r], 1.0);
  }
}
