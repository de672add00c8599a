#version 460
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#include "shaders/common.glsl"
#include "shaders/matmul_scalar.glsl"
// c = alpha * op(a) op(b) + bias + addend on drivers that run on a processor, f32, reading two neighbouring floats with one
// 64-bit load: half the scattered reads of matmul_scalar.comp, which are what it waits for.
// Lane l has columns 2l and 2l+1 of the tile (kCols is 2); a block is 2 * kSubgroup steps of K.
// kLayout 0 is NN, 1 is NT, 2 is TN. Needs 64-bit integers; a and b 8-byte aligned; even strides between rows of a and of b,
// and so even K (NN, NT), columns (NN, TN) and rows (TN).

layout(constant_id = SPEC_VARIANT) const uint kLayout = 0;
const uint kNN = 0, kNT = 1, kTN = 2;
const uint kBlock = 2 * kSubgroup;

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InPairs { uint64_t at[]; };

vec2 pair(InPairs values, uint index) { return uintBitsToFloat(unpack32(values.at[index / 2])); }

void main() {
  const uint lane = gl_SubgroupInvocationID;
  const uint tiles_across = (args.cols + kBlock - 1) / kBlock;
  const uint tile = linear_group();
  const uint row0 = (tile / tiles_across) * kRows;
  const uint col0 = (tile % tiles_across) * kBlock + 2 * lane;
  const uint rows = live_extent().x, depth = live_extent().y;
  if (row0 >= rows) return;
  InPairs a_pairs = InPairs(args.a), b_pairs = InPairs(args.b);

  // Columns beyond the edge read the last ones and are not stored.
  const uint b_at0 = kLayout == kNT ? min(col0, args.cols - 1) * args.b_col : min(col0, args.cols - 2);
  const uint b_at1 = kLayout == kNT ? min(col0 + 1, args.cols - 1) * args.b_col : b_at0 + 1;

  vec2 sum[kRows];
  [[unroll]] for (uint i = 0; i < kRows; ++i) sum[i] = vec2(0.0);

  const uint whole = depth / kBlock * kBlock;
  for (uint k0 = 0; k0 < whole; k0 += kBlock) {
    vec2 b[kBlock];  // of both columns
    [[unroll]] for (uint k = 0; k < kBlock; k += 2) {
      if (kLayout == kNT) {
        const vec2 first = pair(b_pairs, b_at0 + k0 + k), second = pair(b_pairs, b_at1 + k0 + k);
        b[k] = vec2(first.x, second.x);
        b[k + 1] = vec2(first.y, second.y);
      } else {
        b[k] = pair(b_pairs, (k0 + k) * args.b_depth + b_at0);
        b[k + 1] = pair(b_pairs, (k0 + k + 1) * args.b_depth + b_at0);
      }
    }
    if (kLayout == kTN) {
      // Lane l has steps l and l + kSubgroup of two neighbouring rows.
      [[unroll]] for (uint i = 0; i < kRows; i += 2) {
        const uint row = min(row0 + i, rows - 2);
        [[unroll]] for (uint half_block = 0; half_block < kBlock; half_block += kSubgroup) {
          const vec2 a = pair(a_pairs, (k0 + half_block + lane) * args.a_depth + row);
          [[unroll]] for (uint k = 0; k < kSubgroup; ++k) {
            sum[i] += subgroupBroadcast(a.x, k) * b[half_block + k];
            sum[i + 1] += subgroupBroadcast(a.y, k) * b[half_block + k];
          }
        }
      }
    } else {
      // Lane l has steps 2l and 2l+1 of a row.
      [[unroll]] for (uint i = 0; i < kRows; ++i) {
        const vec2 a = pair(a_pairs, min(row0 + i, rows - 1) * args.a_row + k0 + 2 * lane);
        [[unroll]] for (uint k = 0; k < kSubgroup; ++k) {
          sum[i] += subgroupBroadcast(a.x, k) * b[2 * k];
          sum[i] += subgroupBroadcast(a.y, k) * b[2 * k + 1];
        }
      }
    }
  }
  const uint last_row = kLayout == kTN ? rows - 2 : rows - 1;
  for (uint k = whole; k < depth; ++k) {
    const vec2 b = vec2(args.b.at[k * args.b_depth + b_at0], args.b.at[k * args.b_depth + b_at1]);
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      const uint row = kLayout == kTN ? min(row0 + (i & ~1u), last_row) + (i & 1) : min(row0 + i, last_row);
      sum[i] += args.a.at[row * args.a_row + k * args.a_depth] * b;
    }
  }

  [[unroll]] for (uint j = 0; j < 2; ++j) {
    if (col0 + j >= args.cols) break;
    [[unroll]] for (uint i = 0; i < kRows; ++i) {
      if (row0 + i >= rows) break;
      store(row0 + i, col0 + j, sum[i][j]);
    }
  }
}
