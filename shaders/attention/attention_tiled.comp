#version 460
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#include "shaders/attention/attention_tile.glsl"
// Attention forward on any GPU: out_i = sum_j softmax_j(q_i . k_j / sqrt(E)) v_j, lse_i, f32.
//
// A workgroup of 256 threads holds 64 consecutive queries of one head and streams keys 64 at a time (attention_tile.glsl has the mapping).
// A thread's part of o is 4 x E/16: 16 registers at E = 64, 64 at 256; with scores, staging and row statistics about 70 and
// 120 registers, so that 2 to 3 workgroups share an SM with waves of 32 or 64.
// Accumulator: f32, keys in ascending order.

layout(push_constant, std430) uniform Push { AttentionArgs args; };

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

  const uint my_query = query0 + 4 * thread_m();
  uint start[4];
  vec4 top = vec4(kLowest), sum = vec4(0.0);  // sum: of this thread's columns
  vec4 o[kSpans][4];
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    start[i] = start_at(args.document_start, args.qkv, b * T + min(my_query + i, T - 1));
    [[unroll]] for (uint span = 0; span < kSpans; ++span) o[span][i] = vec4(0.0);
  }
  const uint first_start = start_at(args.document_start, args.qkv, b * T + query0);
  const uint last_start = start_at(args.document_start, args.qkv, b * T + last);

  for (uint key0 = first_start / kTile * kTile; key0 <= last; key0 += kTile) {
    Rows k = Rows(InF32(uvec2(args.qkv)), qkv_at(b * T + key0, H + g, H, G), stride, T - key0);
    Rows v = Rows(InF32(uvec2(args.qkv)), k.at + G * kWidth, stride, T - key0);
    vec4 p[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
    add_product_nt(p, q, k);

    uint seen = 0;
    vec4 highest = vec4(kLowest);
    [[unroll]] for (uint i = 0; i < 4; ++i)
      [[unroll]] for (uint j = 0; j < 4; ++j) {
        const uint key = key0 + 4 * thread_n() + j;
        if (key <= my_query + i && key >= start[i]) {
          seen |= 1u << (4 * i + j);
          p[i][j] *= args.scale;
          highest[i] = max(highest[i], p[i][j]);
        }
      }
    const vec4 new_top = max(top, row_max(highest));
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const float shrink = exp_or_nan(top[i] - new_top[i]);
      sum[i] *= shrink;
      [[unroll]] for (uint j = 0; j < 4; ++j) {
        p[i][j] = (seen >> (4 * i + j) & 1) != 0 ? exp_or_nan(p[i][j] - new_top[i]) : 0.0;
        sum[i] += p[i][j];
      }
      [[unroll]] for (uint span = 0; span < kSpans; ++span) o[span][i] *= shrink;
    }
    top = new_top;
    write_p(p, seen);
    add_product_p(o, v, key0 + kTile - 1 > query0 || key0 < last_start);
  }

  sum = row_sum(sum);
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (my_query + i >= T) break;
    const uint at = ((b * T + my_query + i) * H + h) * kWidth;
    [[unroll]] for (uint span = 0; span < kSpans; ++span) write_vec4(args.attended, at, span * kTile + 4 * thread_n(), o[span][i] * (1.0 / sum[i]));
    if (thread_n() == 0) args.lse.at[(b * H + h) * T + my_query + i] = top[i] + log_or_nan(sum[i]);
  }
}
