#version 460
#include "shaders/common.glsl"
#include "shaders/attention.glsl"
// Attention backward for keys and values on drivers that run on a processor, f32. Over the queries i of all heads of the
// group that see key j, with p_ij = exp(score_ij - lse_i):
//   d_v_j = sum_i p_ij d_o_i        d_k_j = sum_i p_ij (d_o_i . v_j - delta_i) q_i / sqrt(E)
//
// One subgroup is a workgroup and owns kKeys * kSubgroup consecutive keys of one key/value head; lane l owns keys l,
// l + kSubgroup, ... with k, v, d_k and d_v in registers. Queries come kQueries at a time, their rows read once, spread over
// the lanes, and handed round by broadcasts from constant lanes. REQUIRES: kQueries <= kSubgroup.
// Accumulator: f32, heads and then queries in ascending order.

layout(constant_id = SPEC_TILE_ROWS) const uint kKeys = 1;
layout(constant_id = SPEC_TILE_COLS) const uint kQueries = 4;
const uint kChunks = (kWidth + kSubgroup - 1) / kSubgroup;

layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };

void main() {
  const uint lane = gl_SubgroupInvocationID;
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kKeys * kSubgroup - 1) / (kKeys * kSubgroup);
  const uint b = linear_group() / (tiles * G);
  if (b >= args.batch) return;
  const uint g = linear_group() / tiles % G;
  const uint key0 = linear_group() % tiles * kKeys * kSubgroup;
  const uint last_key = min(key0 + kKeys * kSubgroup, T) - 1;

  uint key[kKeys];
  float k[kKeys][kWidth], v[kKeys][kWidth], d_k[kKeys][kWidth], d_v[kKeys][kWidth];
  [[unroll]] for (uint r = 0; r < kKeys; ++r) {
    key[r] = min(key0 + r * kSubgroup + lane, T - 1);
    const uint at = qkv_at(b * T + key[r], H + g, H, G);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) {
      k[r][e] = InF32(args.qkv).at[at + e] * args.scale;
      v[r][e] = InF32(args.qkv).at[at + G * kWidth + e];
      d_k[r][e] = 0.0;
      d_v[r][e] = 0.0;
    }
  }

  for (uint h = g * (H / G); h < (g + 1) * (H / G); ++h) {
    for (uint i0 = key0; i0 < T; i0 += kQueries) {
      // What belongs to a query: lane l reads that of query i0 + l; queries beyond the edge read the last one.
      const uint my_query = min(i0 + min(lane, kQueries - 1), T - 1);
      const float my_lse = args.lse.at[(b * H + h) * T + my_query];
      const float my_delta = args.delta.at[(b * H + h) * T + my_query];
      const uint my_start = is_null(args.document_start) ? 0 : args.document_start.at[b * T + my_query];
      if (subgroupBroadcast(my_start, 0) > last_key) break;  // starts do not decrease: no later query sees these keys

      float q[kQueries][kChunks], d_o[kQueries][kChunks];  // rows, spread
      [[unroll]] for (uint i = 0; i < kQueries; ++i) {
        const uint token = b * T + min(i0 + i, T - 1);
        [[unroll]] for (uint c = 0; c < kChunks; ++c) {
          const uint e = min(c * kSubgroup + lane, kWidth - 1);
          q[i][c] = InF32(args.qkv).at[qkv_at(token, h, H, G) + e];
          d_o[i][c] = InF32(args.d_attended).at[(token * H + h) * kWidth + e];
        }
      }

      float p[kKeys][kQueries], d_s[kKeys][kQueries];
      [[unroll]] for (uint r = 0; r < kKeys; ++r)
        [[unroll]] for (uint i = 0; i < kQueries; ++i) p[r][i] = d_s[r][i] = 0.0;
      [[unroll]] for (uint e = 0; e < kWidth; ++e) {
        [[unroll]] for (uint i = 0; i < kQueries; ++i) {
          const float q_ie = subgroupBroadcast(q[i][e / kSubgroup], e % kSubgroup);
          const float d_o_ie = subgroupBroadcast(d_o[i][e / kSubgroup], e % kSubgroup);
          [[unroll]] for (uint r = 0; r < kKeys; ++r) {
            p[r][i] += k[r][e] * q_ie;
            d_s[r][i] += v[r][e] * d_o_ie;
          }
        }
      }

      bool seen[kKeys][kQueries], all_seen = i0 >= last_key && i0 + kQueries <= T;
      [[unroll]] for (uint i = 0; i < kQueries; ++i) {
        const float lse = subgroupBroadcast(my_lse, i), delta = subgroupBroadcast(my_delta, i);
        const uint start = subgroupBroadcast(my_start, i);
        all_seen = all_seen && start <= key0;
        [[unroll]] for (uint r = 0; r < kKeys; ++r) {
          seen[r][i] = key[r] <= i0 + i && key[r] >= start && i0 + i < T;
          p[r][i] = exp_or_nan(p[r][i] - lse);
          d_s[r][i] = p[r][i] * (d_s[r][i] - delta);
        }
      }

      if (all_seen) {
        [[unroll]] for (uint e = 0; e < kWidth; ++e) {
          [[unroll]] for (uint i = 0; i < kQueries; ++i) {
            const float q_ie = subgroupBroadcast(q[i][e / kSubgroup], e % kSubgroup);
            const float d_o_ie = subgroupBroadcast(d_o[i][e / kSubgroup], e % kSubgroup);
            [[unroll]] for (uint r = 0; r < kKeys; ++r) {
              d_k[r][e] += d_s[r][i] * q_ie;
              d_v[r][e] += p[r][i] * d_o_ie;
            }
          }
        }
      } else {  // 0 * NaN is NaN: what must not be seen is left out, not multiplied by zero
        [[unroll]] for (uint e = 0; e < kWidth; ++e) {
          [[unroll]] for (uint i = 0; i < kQueries; ++i) {
            const float q_ie = subgroupBroadcast(q[i][e / kSubgroup], e % kSubgroup);
            const float d_o_ie = subgroupBroadcast(d_o[i][e / kSubgroup], e % kSubgroup);
            [[unroll]] for (uint r = 0; r < kKeys; ++r) {
              d_k[r][e] += seen[r][i] ? d_s[r][i] * q_ie : 0.0;
              d_v[r][e] += seen[r][i] ? p[r][i] * d_o_ie : 0.0;
            }
          }
        }
      }
    }
  }

  [[unroll]] for (uint r = 0; r < kKeys; ++r) {
    if (key0 + r * kSubgroup + lane >= T) break;
    const uint at = qkv_at(b * T + key[r], H + g, H, G);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) {
      OutF32(args.d_qkv).at[at + e] = d_k[r][e] * args.scale;
      OutF32(args.d_qkv).at[at + G * kWidth + e] = d_v[r][e];
    }
  }
}
