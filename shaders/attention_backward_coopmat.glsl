// What the two backward kernels of cooperative matrices share. Declares the push constants; include after factors_*.glsl and
// attention.glsl.
const uint kMetTiles = 2;
layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };
#include "shaders/attention_coopmat.glsl"

uint query0, key0;  // of the tile at hand

Rows heads_of_gradient(uint position, uint head) {
  return Rows(args.d_attended, kGradientType, ((first_token + position) * args.heads + head) * kWidth, args.heads * kWidth,
              position < args.context ? args.context - position : 0);
}

shared uint start_s[kStarts];  // of the queries of a tile
bool counts(uint row, uint col);  // whether an element of the tile of scores is not masked

// This subgroup's part of `scores`, f32, becomes factors in place, those of a masked tile that do not count 0.
void to_factors(bool masked) {
  [[dont_unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
    const uint row = lane_row(pass), col = lane_part() * kPartCols;
    vec4 p[kPartCols / 4];
    [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c) p[c] = uintBitsToFloat(scores[score_at(row) + col / 4 + c]);
    if (masked)
      [[unroll]] for (uint c = 0; c < kPartCols / 4; ++c)
        [[unroll]] for (uint x = 0; x < 4; ++x)
          if (!counts(row, sub_across() * kScoreCols + col + 4 * c + x)) p[c][x] = 0.0;
    subgroupBarrier();  // the row has been read
    [[unroll]] for (uint c = 0; c < kPartCols / 8; ++c)
      scores[score_at(row) + col / 8 + c] = uvec4(pack_factors(p[2 * c].xy), pack_factors(p[2 * c].zw), pack_factors(p[2 * c + 1].xy),
                                                  pack_factors(p[2 * c + 1].zw));
  }
}
