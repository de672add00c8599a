// Shared by the two cooperative-matrix backward kernels. Declares the push constants; include after operands.glsl and
// attention.glsl. kQueries: queries of a tile.
#include "shaders/attention/args.h"

const uint kStreamedTiles = 2;
layout(push_constant, std430) uniform Push { AttentionBackwardArgs args; };
#include "shaders/attention/attention_coopmat.glsl"

Rows heads_of_gradient(uint position, uint head) {
  const uint token = first_token + min(position, args.context - 1);
  return Rows(args.d_attended, kGradientType, (token * args.heads + head) * kWidth, args.heads * kWidth,
              position < args.context ? args.context - position : 0);
}

// Rotates back elements e.. (E is even) of the gradient of q or k.
void rotate_vec8_back(uint position, uint e, inout vec4 low, inout vec4 high) {
  const uint at = position * kWidth + e;
  rotate_vec4_back(low, args.cos_sin_table, at, kWidth - e);
  if (e + 4 < kWidth) rotate_vec4_back(high, args.cos_sin_table, at + 4, kWidth - e - 4);
}

Rows from_row(Rows rows, uint row) {
  const uint count = rows.count > row ? rows.count - row : 0;
  return Rows(rows.memory, rows.type, rows.at + (count > 0 ? row : 0) * rows.stride, rows.stride, count);
}

// Loads the held rows of two tensors into fragments or shared memory; visible to all threads after the next barrier.
void load_resident(inout FragmentA first[kFragmentsM][kSteps], inout FragmentA second[kFragmentsM][kSteps], Rows first_rows, Rows second_rows) {
  Words words[kChunks], second_words[kChunks];
  [[dont_unroll]] for (uint part = 0; part < kRows / kCols; ++part) {
    Rows part_rows = from_row(first_rows, part * kCols), second_part_rows = from_row(second_rows, part * kCols);
    fetch(words, part_rows);
    fetch(second_words, second_part_rows);
    uvec4 chunks[kChunks], second_chunks[kChunks];
    take(chunks, words, part_rows);
    take(second_chunks, second_words, second_part_rows);
    if (kResidentShared != 0) {
      store_resident(chunks, 0, part);
      store_resident(second_chunks, 1, part);
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

// Statistics of the queries of a tile.
shared float lse_s[kQueries];  // base 2
shared float delta_s[kQueries];
shared uint start_s[kQueries];
struct Statistics {
  float lse, delta;
  uint start;  // as returned by read_start()
};
const uint kStatistics = (kQueries + kWorkgroup - 1) / kWorkgroup;  // per thread
void fetch(out Statistics statistics[kStatistics], uint head, uint first_query) {
  [[unroll]] for (uint i = 0; i < kStatistics; ++i) {
    const uint query = min(first_query + gl_LocalInvocationIndex + i * kWorkgroup, args.context - 1), at = statistic_at(head, query);
    statistics[i] = Statistics(args.lse.at[at], args.delta.at[at], read_start(query));
  }
}
void put(Statistics statistics[kStatistics]) {
  [[unroll]] for (uint i = 0; i < kStatistics; ++i) {
    const uint query = gl_LocalInvocationIndex + i * kWorkgroup;
    if (query >= kQueries) continue;
    lse_s[query] = statistics[i].lse * kLog2E;
    delta_s[query] = statistics[i].delta;
    start_s[query] = start_as_read(statistics[i].start);
  }
}

// Converts this subgroup's f32 scores to operands, in place in shared memory; masked scores become 0.
bool counts(uint row, uint col);  // whether an element of the tile of scores is not masked
void to_operands(FragmentSum s[kFragmentsM][kScoreFragments], bool masked) {
  put_scores(s);
  subgroupBarrier();
  [[dont_unroll]] for (uint pass = 0; pass < kPasses; ++pass) {
    const uint row = lane_row(pass), col = subgroup_n() * kScoreCols + lane_part() * kPartCols;
    vec4 p[kVec4s];
    take_lane(p, row);
    if (masked)
      [[unroll]] for (uint c = 0; c < kVec4s; ++c)
        [[unroll]] for (uint x = 0; x < 4; ++x)
          if (!counts(row, col + 4 * c + x)) p[c][x] = 0.0;
    subgroupBarrier();  // the row has been read
    put_lane(p, row);
  }
}
