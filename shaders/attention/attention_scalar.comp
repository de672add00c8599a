#version 460
// Attention forward on CPU drivers: out_i = sum_j softmax_j(q_i . k_j / sqrt(E)) v_j, lse_i, f32.
//
// A workgroup holds kOwned * kSubgroup consecutive queries of one head, with their q and o. It streams keys kMet at a
// time: first all their scores, one new maximum and one rescale of o, then their values.
// Accumulator: f32, keys in ascending order.
//
// kernel attention_scalar
// kernel attention_scalar_pairs: PAIRS
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#ifdef PAIRS
#include "shaders/common/pairs.glsl"
#else
#include "shaders/common/pairs_vec2.glsl"
#endif
#include "shaders/attention/attention_scalar.glsl"

layout(push_constant, std430) uniform Push { AttentionArgs args; };

void main() {
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kOwned * kSubgroup - 1) / (kOwned * kSubgroup);
  const uint b = linear_group() / (tiles * H);
  if (b >= args.batch) return;
  const uint h = linear_group() / tiles % H;
  const uint g = h / (H / G);
  const uint query0 = (tiles - 1 - linear_group() % tiles) * kOwned * kSubgroup;  // the longest first
  const uint last = min(query0 + kOwned * kSubgroup, T) - 1;

  uint query[kOwned], start[kOwned];
  uint first_start = T, last_start = 0;
  float q[kOwned][kWidth], o[kOwned][kWidth], top[kOwned], sum[kOwned];
  [[unroll]] for (uint r = 0; r < kOwned; ++r) {
    query[r] = min(query0 + r * kSubgroup + gl_SubgroupInvocationID, T - 1);
    start[r] = start_at(args.document_start, args.qkv, b * T + query[r]);
    first_start = min(first_start, start[r]);
    last_start = max(last_start, start[r]);
    load_own(q[r], args.qkv, qkv_at(b * T + query[r], h, H, G), args.scale);
    [[unroll]] for (uint e = 0; e < kWidth; ++e) o[r][e] = 0.0;
    top[r] = kLowest;
    sum[r] = 0.0;
  }
  first_start = subgroupMin(first_start);
  last_start = subgroupMax(last_start);

  for (uint j0 = first_start / kMet * kMet; j0 <= last; j0 += kMet) {
    const bool all_seen = j0 + kMet - 1 <= query0 && j0 >= last_start;
    uint key_at[kMet];  // keys beyond the edge read the last one
    float met[kMetFloats];
    [[unroll]] for (uint j = 0; j < kMet; ++j) {
      key_at[j] = qkv_at(b * T + min(j0 + j, T - 1), H + g, H, G);
      load_met(met, j, args.qkv, key_at[j]);
    }
    float p[kOwned][kMet];
    multiply_rows(p, q, met);

    bool seen[kOwned][kMet];
    [[unroll]] for (uint r = 0; r < kOwned; ++r) {
      float new_top = top[r];
      [[unroll]] for (uint j = 0; j < kMet; ++j) {
        seen[r][j] = j0 + j <= query[r] && j0 + j >= start[r];
        p[r][j] = seen[r][j] ? p[r][j] : kLowest;
        new_top = max(new_top, p[r][j]);
      }
      const float shrink = exp_or_nan(top[r] - new_top);
      top[r] = new_top;
      sum[r] *= shrink;
      [[unroll]] for (uint j = 0; j < kMet; ++j) {
        p[r][j] = seen[r][j] ? exp_or_nan(p[r][j] - new_top) : 0.0;
        sum[r] += p[r][j];
      }
      [[unroll]] for (uint e = 0; e < kWidth; ++e) o[r][e] *= shrink;
    }

    [[unroll]] for (uint j = 0; j < kMet; ++j) load_met(met, j, args.qkv, key_at[j] + G * kWidth);
    if (all_seen) add_factors(o, p, met);
    else add_seen_factors(o, p, seen, met);
  }

  [[unroll]] for (uint r = 0; r < kOwned; ++r) {
    if (query0 + r * kSubgroup + gl_SubgroupInvocationID >= T) break;
    store_own(args.attended, ((b * T + query[r]) * H + h) * kWidth, o[r], 1.0 / sum[r]);
    args.lse.at[(b * H + h) * T + query[r]] = top[r] + log_or_nan(sum[r]);
  }
}
