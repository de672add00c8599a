// multiply() reading two neighbouring floats with one 64-bit load: half the scattered reads of matmul_scalar_words.glsl, which
// are what it waits for. Lane l has columns 2l and 2l+1 of the tile (kCols is 2); a block is 2 * kSubgroup steps of K.
//
// Include after a constant kLayout: 0 is NN, 1 is NT, 2 is TN. Needs 64-bit integers; a and b 8-byte aligned; an even number
// of elements between rows of a and of b. A pair may reach one element beyond an odd number of rows (TN) or columns (NN, TN):
// there the stride must be larger than that number.
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#include "shaders/matmul_scalar.glsl"

const uint kNN = 0, kNT = 1, kTN = 2;
const uint kBlock = 2 * kSubgroup;

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InPairs { uint64_t at[]; };
vec2 pair(InPairs values, uint index) { return uintBitsToFloat(unpack32(values.at[index / 2])); }
uint even(uint index) { return index & ~1u; }

vec2 sum[kRows];

uint lane_column(uint j) { return 2 * gl_SubgroupInvocationID + j; }
uint lane_of(uint column) { return column / 2; }

void multiply(Operands o, uint row0, uint col0) {
  const uint lane = gl_SubgroupInvocationID;
  InPairs a_pairs = InPairs(o.a), b_pairs = InPairs(o.b);
  // Rows and columns beyond the edge read the last ones; nobody uses their sums.
  uint a_at[kRows];
  [[unroll]] for (uint i = 0; i < kRows; ++i)
    a_at[i] = kLayout == kTN ? a_row_start(min(even(row0 + i), even(o.rows - 1))) : a_row_start(min(row0 + i, o.rows - 1));
  const uint first = col0 + 2 * lane;
  const uint b_at0 = kLayout == kNT ? min(first, o.cols - 1) * o.b_col : min(first, even(o.cols - 1));
  const uint b_at1 = kLayout == kNT ? min(first + 1, o.cols - 1) * o.b_col : b_at0 + 1;
  [[unroll]] for (uint i = 0; i < kRows; ++i) sum[i] = vec2(0.0);

  const uint whole = o.depth / kBlock * kBlock;
  for (uint k0 = 0; k0 < whole; k0 += kBlock) {
    vec2 b[kBlock];  // of both columns
    [[unroll]] for (uint k = 0; k < kBlock; k += 2) {
      if (kLayout == kNT) {
        const vec2 left = pair(b_pairs, b_at0 + k0 + k), right = pair(b_pairs, b_at1 + k0 + k);
        b[k] = vec2(left.x, right.x);
        b[k + 1] = vec2(left.y, right.y);
      } else {
        b[k] = pair(b_pairs, (k0 + k) * o.b_depth + b_at0);
        b[k + 1] = pair(b_pairs, (k0 + k + 1) * o.b_depth + b_at0);
      }
    }
    if (kLayout == kTN) {
      // Lane l has steps l and l + kSubgroup of two neighbouring rows.
      [[unroll]] for (uint i = 0; i < kRows; i += 2) {
        [[unroll]] for (uint half_block = 0; half_block < kBlock; half_block += kSubgroup) {
          const vec2 a = pair(a_pairs, (k0 + half_block + lane) * o.a_depth + a_at[i]);
          [[unroll]] for (uint k = 0; k < kSubgroup; ++k) {
            sum[i] += subgroupBroadcast(a.x, k) * b[half_block + k];
            sum[i + 1] += subgroupBroadcast(a.y, k) * b[half_block + k];
          }
        }
      }
    } else {
      // Lane l has steps 2l and 2l+1 of a row.
      [[unroll]] for (uint i = 0; i < kRows; ++i) {
        const vec2 a = pair(a_pairs, a_at[i] + k0 + 2 * lane);
        [[unroll]] for (uint k = 0; k < kSubgroup; ++k) {
          sum[i] += subgroupBroadcast(a.x, k) * b[2 * k];
          sum[i] += subgroupBroadcast(a.y, k) * b[2 * k + 1];
        }
      }
    }
  }
  for (uint k = whole; k < o.depth; ++k) {
    const vec2 b = vec2(o.b.at[k * o.b_depth + b_at0], o.b.at[k * o.b_depth + b_at1]);
    [[unroll]] for (uint i = 0; i < kRows; ++i) sum[i] += o.a.at[a_at[i] + (kLayout == kTN ? i & 1 : 0) + k * o.a_depth] * b;
  }
}
