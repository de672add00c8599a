#version 460
#include "shaders/common.glsl"
#include "shaders/attention.glsl"
// Attention backward for queries on drivers that run on a processor, f32. Over the keys j that query i sees, with
// p_ij = exp(score_ij - lse_i):
//   d_q_i = sum_j p_ij (d_o_i . v_j - delta_i) k_j / sqrt(E)
//
// One subgroup is a workgroup and owns kQueries * kSubgroup consecutive queries of one head; lane l owns queries l,
// l + kSubgroup, ... with q, d_o and d_q in registers. Keys come kKeys at a time, their rows read once, spread over the
// lanes, and handed round by broadcasts from constant lanes.
// Accumulator: f32, keys in ascending order.

layout(constant_id = SPEC_TILE_ROWS) const uint kQueries = 1;
layout(constant_id = SPEC_TILE_COLS) const uint kKeys = 4;
const uint kChunks = (kWidth + kSubgroup - 1) / kSubgroup;

layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };

void main() {
  const uint lane = gl_SubgroupInvocationID;
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kQueries * kSubgroup - 1) / (kQueries * kSubgroup);
  const uint b = linear_group() / (tiles * H);
  if (b >= args.batch) return;
  const uint h = linear_group() / tiles % H;
  const uint g = h / (H / G);
  const uint query0 = (tiles - 1 - linear_group() % tiles) * kQueries * kSubgroup;  // the longest first
  const uint last = min(query0 + kQueries * kSubgroup, T) - 1;

  uint query[kQueries], start[kQueries];
  uint first_start = T, last_start = 0;
  float q[kQueries][kWidth], d_o[kQueries][kWidth], d_q[kQueries][kWidth], lse[kQueries], delta[kQueries];
  [[unroll]] for (uint r = 0; r < kQueries; ++r) {
    query[r] = min(query0 + r * kSubgroup + lane, T - 1);
    start[r] = is_null(args.document_start) ? 0 : args.document_start.at[b * T + query[r]];
    first_start = min(first_start, start[r]);
    last_start = max(last_start, start[r]);
    lse[r] = args.lse.at[(b * H + h) * T + query[r]];
    delta[r] = args.delta.at[(b * H + h) * T + query[r]];
    const uint token = b * T + query[r];
    [[unroll]] for (uint e = 0; e < kWidth; ++e) {
      q[r][e] = InF32(args.qkv).at[qkv_at(token, h, H, G) + e] * args.scale;
      d_o[r][e] = InF32(args.d_attended).at[(token * H + h) * kWidth + e];
      d_q[r][e] = 0.0;
    }
  }
  first_start = subgroupMin(first_start);
  last_start = subgroupMax(last_start);

  for (uint j0 = first_start / kKeys * kKeys; j0 <= last; j0 += kKeys) {
    float k[kKeys][kChunks], v[kKeys][kChunks];  // rows, spread; keys beyond the edge read the last one
    [[unroll]] for (uint j = 0; j < kKeys; ++j) {
      const uint at = qkv_at(b * T + min(j0 + j, T - 1), H + g, H, G);
      [[unroll]] for (uint c = 0; c < kChunks; ++c) {
        const uint e = min(c * kSubgroup + lane, kWidth - 1);
        k[j][c] = InF32(args.qkv).at[at + e];
        v[j][c] = InF32(args.qkv).at[at + G * kWidth + e];
      }
    }

    float p[kQueries][kKeys], d_s[kQueries][kKeys];
    [[unroll]] for (uint r = 0; r < kQueries; ++r)
      [[unroll]] for (uint j = 0; j < kKeys; ++j) p[r][j] = d_s[r][j] = 0.0;
    [[unroll]] for (uint e = 0; e < kWidth; ++e) {
      [[unroll]] for (uint j = 0; j < kKeys; ++j) {
        const float k_je = subgroupBroadcast(k[j][e / kSubgroup], e % kSubgroup);
        const float v_je = subgroupBroadcast(v[j][e / kSubgroup], e % kSubgroup);
        [[unroll]] for (uint r = 0; r < kQueries; ++r) {
          p[r][j] += q[r][e] * k_je;
          d_s[r][j] += d_o[r][e] * v_je;
        }
      }
    }
    [[unroll]] for (uint r = 0; r < kQueries; ++r)
      [[unroll]] for (uint j = 0; j < kKeys; ++j) d_s[r][j] = exp_or_nan(p[r][j] - lse[r]) * (d_s[r][j] - delta[r]);

    if (j0 + kKeys - 1 <= query0 && j0 >= last_start) {  // every query sees every key
      [[unroll]] for (uint e = 0; e < kWidth; ++e) {
        [[unroll]] for (uint j = 0; j < kKeys; ++j) {
          const float k_je = subgroupBroadcast(k[j][e / kSubgroup], e % kSubgroup);
          [[unroll]] for (uint r = 0; r < kQueries; ++r) d_q[r][e] += d_s[r][j] * k_je;
        }
      }
    } else {  // 0 * NaN is NaN: what must not be seen is left out, not multiplied by zero
      [[unroll]] for (uint e = 0; e < kWidth; ++e) {
        [[unroll]] for (uint j = 0; j < kKeys; ++j) {
          const float k_je = subgroupBroadcast(k[j][e / kSubgroup], e % kSubgroup);
          [[unroll]] for (uint r = 0; r < kQueries; ++r)
            d_q[r][e] += j0 + j <= query[r] && j0 + j >= start[r] ? d_s[r][j] * k_je : 0.0;
        }
      }
    }
  }

  [[unroll]] for (uint r = 0; r < kQueries; ++r) {
    if (query0 + r * kSubgroup + lane >= T) break;
    const uint at = qkv_at(b * T + query[r], h, H, G);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) OutF32(args.d_qkv).at[at + e] = d_q[r][e] * args.scale;
  }
}
