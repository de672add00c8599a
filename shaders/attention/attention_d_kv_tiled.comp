#version 460
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#include "shaders/attention/attention_tile.glsl"
// Attention backward for keys and values on any GPU, f32. Over the queries i of all heads of the group that see key j, with
// p_ij = exp(score_ij - lse_i):
//   d_v_j = sum_i p_ij d_o_i        d_k_j = sum_i p_ij (d_o_i . v_j - delta_i) q_i / sqrt(E)
//
// A workgroup of 256 threads holds 64 consecutive keys of one key/value head: rows of a tile are keys, columns queries
// (attention_tile.glsl has the mapping). d_k and d_v take 2 * 4 * E/16 registers per thread: 32 at E = 64, 128 at 256.
// Accumulator: f32, heads and then queries in ascending order.

layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };

void main() {
  const uint T = args.context, H = args.heads, G = args.kv_heads;
  const uint tiles = (T + kTile - 1) / kTile;
  const uint b = linear_group() / (tiles * G);
  if (b >= args.batch) return;
  const uint g = linear_group() / tiles % G;
  const uint key0 = linear_group() % tiles * kTile;
  const uint last_key = min(key0 + kTile, T) - 1;
  const uint stride = (H + 2 * G) * kWidth;
  Rows k = Rows(InF32(uvec2(args.qkv)), qkv_at(b * T + key0, H + g, H, G), stride, T - key0);
  Rows v = Rows(InF32(uvec2(args.qkv)), k.at + G * kWidth, stride, T - key0);
  const uint my_key = key0 + 4 * thread_m();

  vec4 d_k[kSpans][4], d_v[kSpans][4];
  [[unroll]] for (uint span = 0; span < kSpans; ++span)
    [[unroll]] for (uint i = 0; i < 4; ++i) d_k[span][i] = d_v[span][i] = vec4(0.0);

  for (uint h = g * (H / G); h < (g + 1) * (H / G); ++h) {
    for (uint query0 = key0; query0 < T; query0 += kTile) {
      const uint last_query = min(query0 + kTile, T) - 1;
      const uint first_start = start_at(args.document_start, args.qkv, b * T + query0);
      const uint last_start = start_at(args.document_start, args.qkv, b * T + last_query);
      if (first_start > last_key) break;  // starts do not decrease: no later query sees these keys
      Rows q = Rows(InF32(uvec2(args.qkv)), qkv_at(b * T + query0, h, H, G), stride, T - query0);
      Rows d_o = Rows(InF32(uvec2(args.d_attended)), ((b * T + query0) * H + h) * kWidth, H * kWidth, T - query0);

      vec4 p[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0)), d_s[4] = p;
      add_product_nt(p, k, q);
      add_product_nt(d_s, v, d_o);
      uint seen = 0;
      [[unroll]] for (uint j = 0; j < 4; ++j) {
        const uint query = query0 + 4 * thread_n() + j, at = min(query, T - 1);
        const float lse = args.lse.at[(b * H + h) * T + at], delta = args.delta.at[(b * H + h) * T + at];
        const uint start = start_at(args.document_start, args.qkv, b * T + at);
        [[unroll]] for (uint i = 0; i < 4; ++i) {
          if (query < T && my_key + i <= query && my_key + i >= start) seen |= 1u << (4 * i + j);
          p[i][j] = exp_or_nan(p[i][j] * args.scale - lse);
          d_s[i][j] = p[i][j] * (d_s[i][j] - delta);
        }
      }
      const bool masked = query0 < last_key || query0 + kTile > T || last_start > key0;
      write_p(p, seen);
      add_product_p(d_v, d_o, masked);
      barrier();  // p_s has been read
      write_p(d_s, seen);
      add_product_p(d_k, q, masked);
    }
  }

  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (my_key + i >= T) break;
    const uint at = qkv_at(b * T + my_key + i, H + g, H, G);
    [[unroll]] for (uint span = 0; span < kSpans; ++span) {
      const uint e = span * kTile + 4 * thread_n();
      if (e >= kWidth) break;
      vec4 values = d_k[span][i] * args.scale;
      if (kRotaryBackward != 0) rotate_vec4_back(values, args.cos_sin_table, (my_key + i) * kWidth + e, kWidth - e);
      write_vec4(args.d_qkv, at, e, values);
      write_vec4(args.d_qkv, at + G * kWidth, e, d_v[span][i]);
    }
  }
}
