#version 460
#include "shaders/common.glsl"
#include "shaders/attention.glsl"
// Attention forward on drivers that run on a processor: out_i = sum_j softmax_j(q_i . k_j / sqrt(E)) v_j, lse_i, f32.
//
// One subgroup is a workgroup and owns kQueries * kSubgroup consecutive queries of one head; lane l owns queries l,
// l + kSubgroup, ... with q and o in registers. Keys come kKeys at a time: all their scores, one new maximum and one rescale
// of o, then their values. A row of k or v is read once, spread over the lanes, and handed round by broadcasts from
// constant lanes: kSubgroup scattered reads become one.
// Accumulator: f32, keys in ascending order.

layout(constant_id = SPEC_TILE_ROWS) const uint kQueries = 1;
layout(constant_id = SPEC_TILE_COLS) const uint kKeys = 8;

layout(push_constant, std430) uniform Push { AttentionArgs args; };

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
  float q[kQueries][kWidth], o[kQueries][kWidth], top[kQueries], sum[kQueries];
  [[unroll]] for (uint r = 0; r < kQueries; ++r) {
    query[r] = min(query0 + r * kSubgroup + lane, T - 1);
    start[r] = is_null(args.document_start) ? 0 : args.document_start.at[b * T + query[r]];
    first_start = min(first_start, start[r]);
    last_start = max(last_start, start[r]);
    const uint at = qkv_at(b * T + query[r], h, H, G);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) {
      q[r][e] = InF32(args.qkv).at[at + e] * args.scale;
      o[r][e] = 0.0;
    }
    top[r] = kLowest;
    sum[r] = 0.0;
  }
  first_start = subgroupMin(first_start);
  last_start = subgroupMax(last_start);

  for (uint j0 = first_start / kKeys * kKeys; j0 <= last; j0 += kKeys) {
    uint key_at[kKeys], value_at[kKeys];  // this lane's element of the rows; keys beyond the edge read the last one
    [[unroll]] for (uint j = 0; j < kKeys; ++j) {
      key_at[j] = qkv_at(b * T + min(j0 + j, T - 1), H + g, H, G);
      value_at[j] = key_at[j] + G * kWidth;
    }
    float p[kQueries][kKeys];
    [[unroll]] for (uint r = 0; r < kQueries; ++r)
      [[unroll]] for (uint j = 0; j < kKeys; ++j) p[r][j] = 0.0;
    [[unroll]] for (uint e0 = 0; e0 < kWidth; e0 += kSubgroup) {
      float k[kKeys];
      [[unroll]] for (uint j = 0; j < kKeys; ++j) k[j] = InF32(args.qkv).at[key_at[j] + min(e0 + lane, kWidth - 1)];
      [[unroll]] for (uint e = 0; e < kSubgroup; ++e) {
        if (e0 + e >= kWidth) break;
        [[unroll]] for (uint j = 0; j < kKeys; ++j) {
          const float k_je = subgroupBroadcast(k[j], e);
          [[unroll]] for (uint r = 0; r < kQueries; ++r) p[r][j] += q[r][e0 + e] * k_je;
        }
      }
    }

    float shrink[kQueries];
    [[unroll]] for (uint r = 0; r < kQueries; ++r) {
      float new_top = top[r];
      [[unroll]] for (uint j = 0; j < kKeys; ++j) {
        const bool seen = j0 + j <= query[r] && j0 + j >= start[r];
        p[r][j] = seen ? p[r][j] : kLowest;
        new_top = max(new_top, p[r][j]);
      }
      shrink[r] = exp_or_nan(top[r] - new_top);
      top[r] = new_top;
      sum[r] *= shrink[r];
      [[unroll]] for (uint j = 0; j < kKeys; ++j) {
        const bool seen = j0 + j <= query[r] && j0 + j >= start[r];
        p[r][j] = seen ? exp_or_nan(p[r][j] - new_top) : 0.0;
        sum[r] += p[r][j];
      }
    }

    const bool all_seen = j0 + kKeys - 1 <= query0 && j0 >= last_start;
    [[unroll]] for (uint e0 = 0; e0 < kWidth; e0 += kSubgroup) {
      float v[kKeys];
      [[unroll]] for (uint j = 0; j < kKeys; ++j) v[j] = InF32(args.qkv).at[value_at[j] + min(e0 + lane, kWidth - 1)];
      if (all_seen) {
        [[unroll]] for (uint e = 0; e < kSubgroup; ++e) {
          if (e0 + e >= kWidth) break;
          [[unroll]] for (uint r = 0; r < kQueries; ++r) o[r][e0 + e] *= shrink[r];
          [[unroll]] for (uint j = 0; j < kKeys; ++j) {
            const float v_je = subgroupBroadcast(v[j], e);
            [[unroll]] for (uint r = 0; r < kQueries; ++r) o[r][e0 + e] += p[r][j] * v_je;
          }
        }
      } else {  // 0 * NaN is NaN: what a query must not see is left out, not multiplied by zero
        [[unroll]] for (uint e = 0; e < kSubgroup; ++e) {
          if (e0 + e >= kWidth) break;
          [[unroll]] for (uint r = 0; r < kQueries; ++r) o[r][e0 + e] *= shrink[r];
          [[unroll]] for (uint j = 0; j < kKeys; ++j) {
            const float v_je = subgroupBroadcast(v[j], e);
            [[unroll]] for (uint r = 0; r < kQueries; ++r)
              o[r][e0 + e] += j0 + j <= query[r] && j0 + j >= start[r] ? p[r][j] * v_je : 0.0;
          }
        }
      }
    }
  }

  [[unroll]] for (uint r = 0; r < kQueries; ++r) {
    if (query0 + r * kSubgroup + lane >= T) break;
    const uint at = ((b * T + query[r]) * H + h) * kWidth;
    const float share = 1.0 / sum[r];
    [[unroll]] for (uint e = 0; e < kWidth; ++e) OutF32(args.attended).at[at + e] = o[r][e] * share;
    args.lse.at[(b * H + h) * T + query[r]] = top[r] + log_or_nan(sum[r]);
  }
}
