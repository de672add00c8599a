#version 460
#include "shaders/common/common.glsl"
#include "shaders/ops/args.h"
#include "shaders/common/real.glsl"
#include "shaders/common/elements.glsl"
#include "shaders/common/philox.glsl"
// y = keep ? x * scale : 0, + addend, f32, y rounded to its type, keep = random word >= drop_below.
//
// [count]. With Q = ceil(count / 4), word j of Philox(counter (i, stream, state[2], state[3]), key (state[0], state[1]))
// decides element j * Q + i: one lane computes the four words of block i and uses them all, and adjacent lanes access
// adjacent elements. Blocks are partitioned by elements.glsl, kStep at once; then Q is a multiple of kStep. Forward and
// backward both use this kernel.

layout(push_constant, std430) uniform Push { DropoutArgs args; };

void main() {
  const uint blocks = (args.count + 3) / 4;
  const uvec4 state = uvec4(args.random_state.at[0], args.random_state.at[1], args.random_state.at[2], args.random_state.at[3]);
  const bool has_addend = !is_null(args.addend);
  for (uint step = first_element(); step < end_element(blocks / kStep); step += kWorkgroup) {
    const uint block = kStep * step;
    uvec4 words[kStep];
    [[unroll]] for (uint s = 0; s < kStep; ++s) words[s] = philox4x32(uvec4(block + s, args.stream, state.zw), state.xy);
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      const uint i = j * blocks + block;
      if (i < args.count) {
        vec2 y = vec2(0.0);
        [[unroll]] for (uint s = 0; s < kStep; ++s) {
          const float kept = words[s][j] >= args.drop_below ? args.x.at[i + s] * args.scale : 0.0;
          y[s] = has_addend ? kept + args.addend.at[i + s] : kept;
        }
        store_reals(args.y, i, y);
      }
    }
  }
}
