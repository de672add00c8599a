// multiply() with cooperative matrices (VK_KHR_cooperative_matrix): 16-bit operands, f32 accumulators. In memory each
// operand is f32 or 16-bit (SPEC_A_TYPE, SPEC_B_TYPE).
//
// A workgroup computes its tile kDepth steps of K at a time. Operands are fetched as 8-wide vectors and staged in
// shared memory in the order they have in memory (the layout of coopMatLoad transposes), rows padded by 16 bytes; or,
// with SPEC_TRANSPOSES, always along K: a thread then loads four adjacent elements of two or four steps, and stores
// them as that many steps of four rows. NVIDIA's loads transpose in hardware; AMD's load operands that are not
// contiguous along K 16 bits at a time: 256 loads instead of 32 for a stage of 128 x 128. The subgroups form a grid
// with kSubgroupsM rows; each holds its part of the tile as fragments of the device's matrix shape. The next stage
// is fetched into registers after the barrier that publishes this one, and overlaps with the math: one stage of shared
// memory is enough. For that, no instruction may use a fetched value before the math is done, not even a select with 0,
// or a copy at the end of a branch, for which AMD's compiler waits. So fetches are unconditional, from valid addresses;
// the store to shared memory converts f32 to operands and zeroes elements beyond an edge. At the end the fragments pass
// through shared memory into the blocks of matmul_blocks.glsl, a quarter of the largest tile at a time, followed by any
// epilogue for blocks.
//
//   tile        threads  per subgroup (of 32)  accumulators  shared (kDepth 32)   fragment loads per multiply (16 x 16 x 16)
//   32 x 32        64        32 x 16                16            5.1 KB                  3 for 2
//   64 x 64       256        32 x 16                16           10.2 KB                  3 for 2
//   128 x 128     256        64 x 32                64           20.5 KB                  6 for 8
// Accumulators are registers per thread; A fragments of one step (4 in the largest tile) are held, B is streamed. A
// wave of 64 holds twice the tile per subgroup and the same per thread.
//   registers per thread, 128 x 128: 64 sums, 16 + 4 fragments, 16 staging, some 20 addresses: ~120 (f32: 16 more)
//                         64 x 64:   16 sums,  8 + 4 fragments,  8 staging, some 20 addresses: ~56
// So 2 and 4 workgroups fit an SM with 65,536 registers: 16 and 32 subgroups of 32, with 41 KB of shared
// memory. RDNA 3 stores each operand twice: 156 to 192 registers in waves of 64 (lapilli bench kernels).
//   global memory      a stage of 128 x 128, a thread     FLOPs per byte, tile of 64    of 128
//   a and b f32        8 reads of 16 bytes, 16 roundings          16                      32
//   one of 16 bits     6 reads, 8 roundings                       21                      43
//   both               4 reads, none                              32                      64
//
// Declared before the include: OPERAND_TYPE, the operand type; uint pack_operands(vec2), which rounds two values to it; and
// kContiguous (matmul_blocks.glsl).
#extension GL_EXT_shader_16bit_storage : require
#define OPERAND InReal
#include "shaders/matmul/matmul_blocks.glsl"

layout(constant_id = SPEC_TILE_DEPTH) const uint kDepth = 32;
layout(constant_id = SPEC_ALIGNED) const uint kAligned = 0;  // bit 0: each row of a in memory starts at 16 bytes, bit 1: of b
layout(constant_id = SPEC_A_TYPE) const uint kAType = kF32;  // not kF32: OPERAND_TYPE's
layout(constant_id = SPEC_B_TYPE) const uint kBType = kF32;
layout(constant_id = SPEC_FRAGMENT_ROWS) const uint kFragmentRows = 16;
layout(constant_id = SPEC_FRAGMENT_COLS) const uint kFragmentCols = 16;
layout(constant_id = SPEC_FRAGMENT_DEPTH) const uint kFragmentDepth = 16;
layout(constant_id = SPEC_SUBGROUPS_M) const uint kSubgroupsM = 1;
layout(constant_id = SPEC_TRANSPOSES) const uint kTransposes = 0;

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF32x4 { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InU32x4 { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer InU32x2 { uvec2 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 2) readonly buffer InHalves { uint16_t at[]; };

const uint kSubgroupRows = kRows / kSubgroupsM;
const uint kSubgroupCols = kCols / (kWorkgroup / kSubgroup / kSubgroupsM);
const uint kFragmentsM = kSubgroupRows / kFragmentRows;
const uint kFragmentsN = kSubgroupCols / kFragmentCols;

// Shared memory in 16-byte units (8 operands, 4 sums): fragment loads require rows aligned to 16 bytes. A row is kDepth
// operands, or one step of K if the operand is staged the other way.
const bool kAStagedAlong = kAAlongDepth || kTransposes != 0, kBStagedAlong = kBAlongDepth || kTransposes != 0;
const uint kStrideA = (kAStagedAlong ? kDepth : kRows) / 8 + 1;
const uint kStrideB = (kBStagedAlong ? kDepth : kCols) / 8 + 1;
const uint kStageA = (kAStagedAlong ? kRows : kDepth) * kStrideA;
const uint kStageB = (kBStagedAlong ? kCols : kDepth) * kStrideB;
// The sums of one block of each thread, passed from fragments to threads.
const uint kPartRows = kRows / kBlocksR, kPartCols = kCols / kBlocksC;
const uint kStridePart = kPartCols / 4 + 1;
const uint kPart = kPartRows * kStridePart;
shared uvec4 stage[kStageA + kStageB > kPart ? kStageA + kStageB : kPart];

const uint kChunksA = kRows * kDepth / 8 / kWorkgroup;  // 8-wide vectors of operands that a thread stages
const uint kChunksB = kCols * kDepth / 8 / kWorkgroup;

// Loads an operand into its part of the stage, which begins at `base`.
struct OperandLoader {
  uint width;        // rows or columns of the tile
  bool along_depth;  // in memory
  bool transposes;
  uint chunks;       // 8-wide vectors per thread
  uint base, stride;
  uint type;
  bool aligned;
};
OperandLoader loader_of_a() { return OperandLoader(kRows, kAAlongDepth, kAAlongDepth != kAStagedAlong, kChunksA, 0, kStrideA, kAType, (kAligned & 1) != 0); }
OperandLoader loader_of_b() { return OperandLoader(kCols, kBAlongDepth, kBAlongDepth != kBStagedAlong, kChunksB, kStageA, kStrideB, kBType, (kAligned & 2) != 0); }

// Start of a thread's i-th 8-wide vector of an operand: x = row or column of the tile, y = step of K. When transposing,
// it is four adjacent elements of two steps; a thread has consecutive steps, and adjacent threads have the rest of a
// row.
uvec2 chunk_place(uint i, OperandLoader loader) {
  if (loader.transposes) {
    const uint steps = 2 * loader.chunks, patches = kDepth / steps;
    return uvec2(4 * (gl_LocalInvocationIndex / patches), steps * (gl_LocalInvocationIndex % patches) + 2 * i);
  }
  const uint at = gl_LocalInvocationIndex + i * kWorkgroup, vec8s = (loader.along_depth ? kDepth : loader.width) / 8;
  return loader.along_depth ? uvec2(at / vec8s, 8 * (at % vec8s)) : uvec2(8 * (at % vec8s), at / vec8s);
}
void stage_chunk(uint i, OperandLoader loader, uvec4 vec8) {
  const uvec2 place = chunk_place(i, loader);
  if (!loader.transposes) {
    stage[loader.base + (loader.along_depth ? place.x * loader.stride + place.y / 8 : place.y * loader.stride + place.x / 8)] = vec8;
    return;
  }
  const uint steps[4] = {bitfieldInsert(vec8.x, vec8.z, 16, 16), bitfieldInsert(vec8.z, vec8.x >> 16, 0, 16),
                         bitfieldInsert(vec8.y, vec8.w, 16, 16), bitfieldInsert(vec8.w, vec8.y >> 16, 0, 16)};
  [[unroll]] for (uint x = 0; x < 4; ++x) stage[loader.base + (place.x + x) * loader.stride + place.y / 8][place.y % 8 / 2] = steps[x];
}

// Adjacent elements per load, limited by the alignment of rows.
uint unit(OperandLoader loader) { return !loader.aligned ? 1 : (loader.type == kF32 || loader.transposes ? 4 : 8); }
// Start of the last unit of `extent` elements. Fetches beyond an edge read it instead.
uint last_unit(uint extent, uint unit) { return (max(extent, 1) - 1) / unit * unit; }
// Distance of the addresses of elements `from` and `from` + i, clamped to the last.
uint apart(uint i, uint from, uint last) { return min(from + i, last) - min(from, last); }

// An 8-wide vector as loaded: in `low` if it was one unit, else in two halves, with one element per word, or two if
// aligned 16-bit operands.
struct Words {
  uvec4 low, high;
};
// `from` is an index along the contiguous dimension, `last` that of the last unit.
uvec4 fetch_quad(InReal memory, OperandLoader loader, uint at, uint from, uint last) {
  if (loader.aligned) return loader.type == kF32 ? InU32x4(memory).at[at / 4] : uvec4(InU32x2(memory).at[at / 4], 0, 0);
  uvec4 quad;
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    const uint element = at + apart(i, from, last);
    quad[i] = loader.type == kF32 ? floatBitsToUint(InF32(memory).at[element]) : uint(InHalves(memory).at[element]);
  }
  return quad;
}
// `at`: start of the 8-wide vector; `step`: stride between steps of K.
Words fetch(InReal memory, OperandLoader loader, uint at, uint step, uint from, uint last, bool next_step) {
  if (unit(loader) == 8) return Words(InU32x4(memory).at[at / 8], uvec4(0));
  const uint second = loader.transposes ? (next_step ? step : 0) : apart(4, from, last);
  return Words(fetch_quad(memory, loader, at, from, last), fetch_quad(memory, loader, at + second, loader.transposes ? from : from + 4, last));
}
uvec2 operands_of_quad(uvec4 quad, OperandLoader loader) {
  if (loader.type == kF32) return uvec2(pack_operands(uintBitsToFloat(quad.xy)), pack_operands(uintBitsToFloat(quad.zw)));
  return loader.aligned ? quad.xy : uvec2(quad.x | quad.y << 16, quad.z | quad.w << 16);
}
uvec4 operands_of(Words words, OperandLoader loader) {
  return unit(loader) == 8 ? words.low : uvec4(operands_of_quad(words.low, loader), operands_of_quad(words.high, loader));
}

uint left(uint all, uint from) { return all > from ? all - from : 0; }
// The first `count` of four operands, the others zero.
uvec2 first_of_quad(uvec2 quad, uint count) {
  const uvec2 pairs = uvec2(min(count, 2), min(left(count, 2), 2));
  return quad & uvec2(bitfieldInsert(0u, ~0u, 0, int(16 * pairs.x)), bitfieldInsert(0u, ~0u, 0, int(16 * pairs.y)));
}
// Zeroes the elements of a thread's 8-wide vector beyond an edge; `extent` rows or columns and `depth` steps are left.
uvec4 within_edges(uvec4 vec8, OperandLoader loader, uint extent, uint depth) {
  if (loader.transposes) return uvec4(first_of_quad(vec8.xy, depth > 0 ? extent : 0), first_of_quad(vec8.zw, depth > 1 ? extent : 0));
  const uint count = loader.along_depth ? (extent > 0 ? depth : 0) : (depth > 0 ? extent : 0);
  return uvec4(first_of_quad(vec8.xy, count), first_of_quad(vec8.zw, left(count, 4)));
}

// All threads of the workgroup call it.
void multiply(Operands o, uint row0, uint col0) {
  coopmat<float, gl_ScopeSubgroup, kFragmentRows, kFragmentCols, gl_MatrixUseAccumulator> sums[kFragmentsM][kFragmentsN];
  [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
    [[unroll]] for (uint j = 0; j < kFragmentsN; ++j)
      sums[i][j] = coopmat<float, gl_ScopeSubgroup, kFragmentRows, kFragmentCols, gl_MatrixUseAccumulator>(0.0);

  const uint subgroup_m = gl_SubgroupID % kSubgroupsM, subgroup_n = gl_SubgroupID / kSubgroupsM;
  const uint sub_row = subgroup_m * kSubgroupRows, sub_col = subgroup_n * kSubgroupCols;
  const OperandLoader loader_a = loader_of_a(), loader_b = loader_of_b();
  // Last units of rows, columns and steps of K of the two operands.
  const uint last_row = last_unit(o.rows, loader_a.along_depth ? 1 : unit(loader_a)), last_col = last_unit(o.cols, loader_b.along_depth ? 1 : unit(loader_b));
  const uint last_a = last_unit(o.depth, loader_a.along_depth ? unit(loader_a) : 1), last_b = last_unit(o.depth, loader_b.along_depth ? unit(loader_b) : 1);
  uint a_at[kChunksA], b_at[kChunksB];
  [[unroll]] for (uint i = 0; i < kChunksA; ++i) a_at[i] = a_row_start(min(row0 + chunk_place(i, loader_a).x, last_row));
  [[unroll]] for (uint i = 0; i < kChunksB; ++i) b_at[i] = min(col0 + chunk_place(i, loader_b).x, last_col) * o.b_col;

  Words next_a[kChunksA], next_b[kChunksB];
#define FETCH(from)                                                                                                                       \
  [[unroll]] for (uint i = 0; i < kChunksA; ++i) {                                                                                        \
    const uvec2 place = uvec2(row0, from) + chunk_place(i, loader_a);                                                                        \
    next_a[i] = fetch(o.a, loader_a, a_at[i] + min(place.y, last_a) * o.a_depth, o.a_depth, loader_a.along_depth ? place.y : place.x,          \
                      loader_a.along_depth ? last_a : last_row, place.y < last_a);                                                           \
  }                                                                                                                                       \
  [[unroll]] for (uint i = 0; i < kChunksB; ++i) {                                                                                        \
    const uvec2 place = uvec2(col0, from) + chunk_place(i, loader_b);                                                                        \
    next_b[i] = fetch(o.b, loader_b, b_at[i] + min(place.y, last_b) * o.b_depth, o.b_depth, loader_b.along_depth ? place.y : place.x,          \
                      loader_b.along_depth ? last_b : last_col, place.y < last_b);                                                           \
  }

  FETCH(0)
  [[dont_unroll]] for (uint k0 = 0; k0 < o.depth; k0 += kDepth) {
    barrier();  // the last stage has been read
    uvec4 vec8s_a[kChunksA], vec8s_b[kChunksB];
    [[unroll]] for (uint i = 0; i < kChunksA; ++i) vec8s_a[i] = operands_of(next_a[i], loader_a);
    [[unroll]] for (uint i = 0; i < kChunksB; ++i) vec8s_b[i] = operands_of(next_b[i], loader_b);
    if (row0 + kRows > o.rows || col0 + kCols > o.cols || k0 + kDepth > o.depth) {
      [[unroll]] for (uint i = 0; i < kChunksA; ++i) {
        const uvec2 place = uvec2(row0, k0) + chunk_place(i, loader_a);
        vec8s_a[i] = within_edges(vec8s_a[i], loader_a, left(o.rows, place.x), left(o.depth, place.y));
      }
      [[unroll]] for (uint i = 0; i < kChunksB; ++i) {
        const uvec2 place = uvec2(col0, k0) + chunk_place(i, loader_b);
        vec8s_b[i] = within_edges(vec8s_b[i], loader_b, left(o.cols, place.x), left(o.depth, place.y));
      }
    }
    [[unroll]] for (uint i = 0; i < kChunksA; ++i) stage_chunk(i, loader_a, vec8s_a[i]);
    [[unroll]] for (uint i = 0; i < kChunksB; ++i) stage_chunk(i, loader_b, vec8s_b[i]);
    barrier();
    FETCH(k0 + kDepth)  // after the last stage: from valid addresses, not used
    [[unroll]] for (uint k = 0; k < kDepth; k += kFragmentDepth) {
      coopmat<OPERAND_TYPE, gl_ScopeSubgroup, kFragmentRows, kFragmentDepth, gl_MatrixUseA> a[kFragmentsM];
      [[unroll]] for (uint i = 0; i < kFragmentsM; ++i) {
        const uint row = sub_row + i * kFragmentRows;
        if (kAStagedAlong)
          coopMatLoad(a[i], stage, row * kStrideA + k / 8, kStrideA, gl_CooperativeMatrixLayoutRowMajor);
        else
          coopMatLoad(a[i], stage, k * kStrideA + row / 8, kStrideA, gl_CooperativeMatrixLayoutColumnMajor);
      }
      [[unroll]] for (uint j = 0; j < kFragmentsN; ++j) {
        coopmat<OPERAND_TYPE, gl_ScopeSubgroup, kFragmentDepth, kFragmentCols, gl_MatrixUseB> b;
        const uint col = sub_col + j * kFragmentCols;
        if (kBStagedAlong)
          coopMatLoad(b, stage, kStageA + col * kStrideB + k / 8, kStrideB, gl_CooperativeMatrixLayoutColumnMajor);
        else
          coopMatLoad(b, stage, kStageA + k * kStrideB + col / 8, kStrideB, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint i = 0; i < kFragmentsM; ++i) sums[i][j] = coopMatMulAdd(a[i], b, sums[i][j]);
      }
    }
  }
#undef FETCH

  [[unroll]] for (uint block_r = 0; block_r < kBlocksR; ++block_r)
    [[unroll]] for (uint block_c = 0; block_c < kBlocksC; ++block_c) {
      barrier();  // the last stage, or part, has been read
      [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
        [[unroll]] for (uint j = 0; j < kFragmentsN; ++j) {
          const uint row = sub_row + i * kFragmentRows, col = sub_col + j * kFragmentCols;
          if (row / kPartRows == block_r && col / kPartCols == block_c)
            coopMatStore(sums[i][j], stage, row % kPartRows * kStridePart + col % kPartCols / 4, kStridePart,
                         gl_CooperativeMatrixLayoutRowMajor);
        }
      barrier();
      [[unroll]] for (uint i = 0; i < 4; ++i)
        sum[block_r * 4 + i][block_c] = uintBitsToFloat(stage[block_row(0) * kStridePart + i * kStridePart + thread_n()]);
    }
  barrier();  // an epilogue may use shared memory again
}
