#version 460
// Attention of one position over the keys and values in the cache, its own among them: out = sum_j softmax_j(q . k_j / sqrt(E)) v_j, f32.
//
// One workgroup per query head. It takes kBlock positions at a time: a lane computes the scores of whole positions, then a lane adds up elements
// of the head over all of the block's positions, or over every kParts-th where there are more lanes than elements.
// Accumulators: f32, positions in ascending order, then the parts in order.
//
// kernel attention_cached
// kernel attention_cached_cpu_load64: LOAD64
#include "shaders/common/form.glsl"
#include "shaders/common/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/attention/attention.glsl"
#ifdef LOAD64
#include "shaders/common/load64.glsl"
#else
#include "shaders/common/load64_vec2.glsl"
#endif
#include "shaders/common/reduce.glsl"

layout(constant_id = SPEC_ALIGNED) const uint kLoad64 = 0;  // 1: cache and qkv begin at 8 bytes, and E is even

layout(push_constant, std430) uniform Push { AttentionCachedArgs args; };

const uint kTogether = kLoad64 != 0 ? 2 : 1;
const uint kBlock = 256;                                  // positions
const uint kParts = kWorkgroup > kWidth ? kWorkgroup / kWidth : 1;
const uint kSpan = kWorkgroup > kWidth ? kWidth : kWorkgroup;             // elements of a head that the lanes of a part have at once
const uint kChunks = (kWidth + kSpan - 1) / kSpan;

shared float weights[kBlock];         // scores, then their exponentials
shared float sums[kParts * kWidth];

vec2 load_together(InF32 from, uint at) { return kTogether == 2 ? load_f32x2(InF32x2(uvec2(from)), at) : vec2(from.at[at], 0.0); }

void main() {
  const uint h = linear_group();
  if (h >= args.heads) return;
  const uint position = args.position.at[0], stride = 2 * args.kv_heads * kWidth;
  const uint key_at = h / (args.heads / args.kv_heads) * kWidth, value_at = key_at + args.kv_heads * kWidth;
  const uint lane = gl_LocalInvocationIndex, part = lane / kSpan, element = lane % kSpan;
  float top = kLowest, sum = 0.0, o[kChunks];
  [[unroll]] for (uint c = 0; c < kChunks; ++c) o[c] = 0.0;

  for (uint j0 = 0; j0 <= position; j0 += kBlock) {
    const uint count = min(kBlock, position + 1 - j0);
    barrier();  // the block before is read
    float block_top = kLowest;
    for (uint j = lane; j < count; j += kWorkgroup) {
      vec2 products = vec2(0.0);
      for (uint e = 0; e < kWidth; e += kTogether)
        products += load_together(args.qkv, h * kWidth + e) * load_together(args.cache, (j0 + j) * stride + key_at + e);
      weights[j] = args.scale * (products.x + products.y);
      block_top = max(block_top, weights[j]);
    }
    const float new_top = max(top, workgroup_max(block_top)), shrink = exp_or_nan(top - new_top);
    float block_sum = 0.0;
    for (uint j = lane; j < count; j += kWorkgroup) {
      weights[j] = exp_or_nan(weights[j] - new_top);
      block_sum += weights[j];
    }
    top = new_top;
    sum = shrink * sum + workgroup_sum(block_sum);
    barrier();
    [[unroll]] for (uint c = 0; c < kChunks; ++c) o[c] *= shrink;
    for (uint j = part; j < count && part < kParts; j += kParts) {
      const uint at = (j0 + j) * stride + value_at;
      [[unroll]] for (uint c = 0; c < kChunks; ++c) o[c] = fma(weights[j], args.cache.at[at + min(c * kSpan + element, kWidth - 1)], o[c]);
    }
  }

  [[unroll]] for (uint c = 0; c < kChunks; ++c)
    if (part < kParts && c * kSpan + element < kWidth) sums[part * kWidth + c * kSpan + element] = o[c];
  barrier();
  for (uint e = lane; e < kWidth; e += kWorkgroup) {
    float total = sums[e];
    for (uint p = 1; p < kParts; ++p) total += sums[p * kWidth + e];
    args.attended.at[h * kWidth + e] = total / sum;
  }
}
