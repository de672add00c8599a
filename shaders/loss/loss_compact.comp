#version 460
#include "shaders/common/common.glsl"
#include "shaders/loss/args.h"
#include "shaders/common/reduce.glsl"
// Finds the valid rows of a batch: weight not 0 and target not kIgnoreIndex. The target of a row of weight 0 is not
// read. One workgroup; each lane counts the valid ones of consecutive rows, gets its output offset from a scan, and
// writes.

layout(push_constant, std430) uniform Push { LossCompactArgs args; };

bool is_valid(uint n) { return args.weights.at[n] != 0.0 && args.targets.at[n] != kIgnoreIndex; }

void main() {
  if (linear_group() != 0) return;
  const uint stretch = (args.tokens + kWorkgroup - 1) / kWorkgroup;
  const uint begin = min(gl_LocalInvocationIndex * stretch, args.tokens), end = min(begin + stretch, args.tokens);

  uint count = 0, bad = 0, bad_row = kNoRow;
  for (uint n = begin; n < end; ++n) {
    if (!is_valid(n)) continue;
    ++count;
    if (args.targets.at[n] >= args.vocab) {
      ++bad;
      bad_row = min(bad_row, n);
    }
  }
  uint total;
  uint at = workgroup_exclusive_sum(count, total);
  for (uint n = begin; n < end; ++n) {
    if (is_valid(n)) {
      args.token_of_row.at[at] = n;
      args.row_of_token.at[n] = at;
      ++at;
    } else {
      args.row_of_token.at[n] = kNoRow;
    }
  }
  uint bad_total;
  workgroup_exclusive_sum(bad, bad_total);
  bad_row = workgroup_min(bad_row);
  const uint row_chunks = (args.tokens + args.row_chunk - 1) / args.row_chunk;
  for (uint i = gl_LocalInvocationIndex; i < row_chunks; i += kWorkgroup)
    args.num_valid.at[1 + i] = min(max(total, i * args.row_chunk) - i * args.row_chunk, args.row_chunk);
  if (gl_LocalInvocationIndex == 0) {
    args.num_valid.at[0] = total;
    args.status.at[kStatusBadTargets] = bad_total;
    args.status.at[kStatusBadRow] = bad_row;
    args.status.at[kStatusBadId] = bad_row == kNoRow ? kNoRow : args.targets.at[bad_row];
    args.status.at[kStatusNonFiniteRow] = kNoRow;
  }
}
