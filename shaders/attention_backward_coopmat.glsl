// What the two backward kernels of cooperative matrices share. Declares the push constants; include after factors_*.glsl and
// attention.glsl. kQueries: of a tile.
const uint kMetTiles = 2;
layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };
#include "shaders/attention_coopmat.glsl"

Rows heads_of_gradient(uint position, uint head) {
  return Rows(args.d_attended, kGradientType, ((first_token + position) * args.heads + head) * kWidth, args.heads * kWidth,
              position < args.context ? args.context - position : 0);
}

// Elements e.. (E is even) of the gradient of a turned q or k.
void turn_eight_back(uint position, uint e, inout vec4 low, inout vec4 high) {
  const uint at = position * kWidth + e;
  turn_four_back(low, args.turns, at, kWidth - e);
  if (e + 4 < kWidth) turn_four_back(high, args.turns, at + 4, kWidth - e - 4);
}

Rows from_row(Rows rows, uint row) {
  return Rows(rows.memory, rows.type, rows.at + row * rows.stride, rows.stride, rows.count > row ? rows.count - row : 0);
}

// What is owned of two tensors, into fragments or shared memory; all threads have it after the next barrier.
void hold_owned(inout FragmentA first[kFragmentsDown][kSteps], inout FragmentA second[kFragmentsDown][kSteps], Rows first_rows, Rows second_rows) {
  uvec4 chunks[kChunks], second_chunks[kChunks];
  [[dont_unroll]] for (uint part = 0; part < kRows / kCols; ++part) {
    fetch(chunks, from_row(first_rows, part * kCols));
    fetch(second_chunks, from_row(second_rows, part * kCols));
    if (kOwnedShared != 0) {
      put_owned(chunks, 0, part);
      put_owned(second_chunks, 1, part);
      continue;
    }
    barrier();
    put(chunks, 0);
    put(second_chunks, 1);
    barrier();
    hold(first, 0, part);
    hold(second, 1, part);
  }
}

// Of the queries of a tile.
shared float lse_s[kQueries];  // base 2
shared float delta_s[kQueries];
shared uint start_s[kQueries];
void put_statistics(uint head) {
  for (uint i = gl_LocalInvocationIndex; i < kQueries; i += kWorkgroup) {
    const uint at = statistic_at(head, min(query0 + i, args.context - 1));
    lse_s[i] = args.lse.at[at] * kLog2E;
    delta_s[i] = args.delta.at[at];
    start_s[i] = start_of(query0 + i);
  }
}

// This subgroup's scores, f32, through shared memory become factors in place, those of a masked tile that do not count 0.
bool counts(uint row, uint col);  // whether an element of the tile of scores is not masked
void to_factors(FragmentSum s[kFragmentsDown][kScoreFragments], bool masked) {
  put_scores(s);
  subgroupBarrier();
  [[dont_unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
    const uint row = lane_row(pass), col = sub_across() * kScoreCols + lane_part() * kPartCols;
    vec4 p[kFours];
    take_lane(p, row);
    if (masked)
      [[unroll]] for (uint c = 0; c < kFours; ++c)
        [[unroll]] for (uint x = 0; x < 4; ++x)
          if (!counts(row, col + 4 * c + x)) p[c][x] = 0.0;
    subgroupBarrier();  // the row has been read
    put_lane(p, row);
  }
}
