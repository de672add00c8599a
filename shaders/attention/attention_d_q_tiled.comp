#version 460
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#include "shaders/attention/attention_tile.glsl"
// Attention backward for queries on any GPU, f32. Over the keys j that query i sees, with p_ij = exp(score_ij - lse_i):
//   d_q_i = sum_j p_ij (d_o_i . v_j - delta_i) k_j / sqrt(E)
//
// A workgroup of 256 threads holds 64 consecutive queries of one head and streams keys 64 at a time (attention_tile.glsl has the mapping).
// Accumulator: f32, keys in ascending order.

layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };

void main() {
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kTile - 1) / kTile;
  const uint b = linear_group() / (tiles * H);
  if (b >= args.batch) return;
  const uint h = linear_group() / tiles % H;
  const uint g = h / (H / G);
  const uint query0 = (tiles - 1 - linear_group() % tiles) * kTile;  // the longest first
  const uint last = min(query0 + kTile, T) - 1;
  const uint stride = (H + 2 * G) * kWidth;
  Rows q = Rows(InF32(uvec2(args.qkv)), qkv_at(b * T + query0, h, H, G), stride, T - query0);
  Rows d_o = Rows(InF32(uvec2(args.d_attended)), ((b * T + query0) * H + h) * kWidth, H * kWidth, T - query0);

  const uint my_query = query0 + 4 * thread_m();
  uint start[4];
  float lse[4], delta[4];
  vec4 d_q[kSpans][4];
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint at = min(my_query + i, T - 1);
    start[i] = start_at(args.document_start, args.qkv, b * T + at);
    lse[i] = args.lse.at[(b * H + h) * T + at];
    delta[i] = args.delta.at[(b * H + h) * T + at];
    [[unroll]] for (uint span = 0; span < kSpans; ++span) d_q[span][i] = vec4(0.0);
  }
  const uint first_start = start_at(args.document_start, args.qkv, b * T + query0);
  const uint last_start = start_at(args.document_start, args.qkv, b * T + last);

  for (uint key0 = first_start / kTile * kTile; key0 <= last; key0 += kTile) {
    Rows k = Rows(InF32(uvec2(args.qkv)), qkv_at(b * T + key0, H + g, H, G), stride, T - key0);
    Rows v = Rows(InF32(uvec2(args.qkv)), k.at + G * kWidth, stride, T - key0);
    vec4 p[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0)), d_s[4] = p;
    add_product_nt(p, q, k);
    add_product_nt(d_s, d_o, v);
    uint seen = 0;
    [[unroll]] for (uint i = 0; i < 4; ++i)
      [[unroll]] for (uint j = 0; j < 4; ++j) {
        const uint key = key0 + 4 * thread_n() + j;
        if (key <= my_query + i && key >= start[i]) seen |= 1u << (4 * i + j);
        d_s[i][j] = exp_or_nan(p[i][j] * args.scale - lse[i]) * (d_s[i][j] - delta[i]);
      }
    write_p(d_s, seen);
    add_product_p(d_q, k, key0 + kTile - 1 > query0 || key0 < last_start);
  }

  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (my_query + i >= T) break;
    const uint at = qkv_at(b * T + my_query + i, h, H, G);
    [[unroll]] for (uint span = 0; span < kSpans; ++span) {
      const uint e = span * kTile + 4 * thread_n();
      if (e >= kWidth) break;
      vec4 values = d_q[span][i] * args.scale;
      if (kRotaryBackward != 0) rotate_vec4_back(values, args.cos_sin_table, (my_query + i) * kWidth + e, kWidth - e);
      write_vec4(args.d_qkv, at, e, values);
    }
  }
}
