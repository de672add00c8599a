// A matmul op(a) op(b) with workgroup-scope cooperative matrices (VK_NV_cooperative_matrix2): a and b are 16-bit in
// memory, rows of a have a constant stride, accumulators are f32. tile_sums() returns the tile that begins at `start`
// as one matrix; the epilogues are in matmul_coopmat2.comp and loss_*_coopmat2.comp.
//
// A workgroup holds its tile kRows x kCols as one matrix of sums and loads kDepth steps of K at a time directly from
// memory: the driver stages them in its own shared memory and places the barriers. A tensor layout describes a matrix
// in memory, a slice of it the part to load: NN, NT and TN differ in which dimension is the outer one, and the slice is
// transposed where that is K for a, or the columns for b. Tiles inside the matrices are loaded without bounds checks;
// at the edges, and for the last steps of K, elements outside read as 0 and are not written.
//
//   tile        threads  sums per thread  a and b of a stage (kDepth 64)  global memory, FLOPs per byte  MFLOP a stage
//   64 x 64        128          32                   16 KB                           32                       0.5
//   128 x 128      256          64                   32 KB                           64                       2.1
//   128 x 256      256         128                   48 KB                           85                       4.2
//   256 x 128      256         128                   48 KB                           85                       4.2
// Sums are registers per thread; fragments of a and b come on top (at most 64, to stay within 255). The driver manages
// shared memory: none is declared here, and it reports how much it reserves (DeviceCaps::matrix_shared_bytes). With
// some 30 address registers, an SM with 65,536 registers has room for 5 workgroups of the smallest tile (20
// subgroups of 32) and for one of each larger tile (8): there the driver's staging must hide the latency. So far only
// drivers with subgroups of 32 have the extension.
//
// Declared before the include: OPERAND_TYPE, the type of a and b; uint pack_operands(vec2) and vec2 unpack_operands(uint),
// between f32 and that type; STORES_ROUNDED if the device has accumulator matrices of that type; EMULATED to run
// without the extension (tests); kContiguous: bit 0: a is contiguous along K (else along rows), bit 1: b (else
// columns).
#define BAND_ROWS 8
#include "shaders/matmul/matmul.glsl"

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 128;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 128;
layout(constant_id = SPEC_TILE_DEPTH) const uint kDepth = 64;
layout(constant_id = SPEC_ALIGNED) const uint kAligned = 0;  // bit 0: each row of a in memory starts at 16 bytes, bit 1: of b; bit 2: c does

#ifdef EMULATED
#include "shaders/matmul/workgroup_matrix_emulated.glsl"
#else
#include "shaders/matmul/workgroup_matrix.glsl"
#endif

const bool kAAlongDepth = (kContiguous & 1) != 0, kBAlongDepth = (kContiguous & 2) != 0;

layout(buffer_reference, std430, buffer_reference_align = 2) buffer InOutHalves { uint16_t at[]; };

// Row stride in elements, marked as a multiple of 8 if `aligned`. Tensor layouts require a stride of at least a row's
// length, which the stride of a single row need not have.
uint outer_stride(uint stride, uint length, bool aligned) { return aligned ? stride & ~7u : max(stride, length); }

// sums += the slices of a and b that begin at step k.
#define MULTIPLY(a_layout, b_layout)                                                                 \
  {                                                                                                  \
    PartOfA part_a;                                                                                  \
    PartOfB part_b;                                                                                  \
    if (kAAlongDepth) LOAD(part_a, a, sliceTensorLayoutNV(a_layout, start.x, kRows, k, kDepth));     \
    else LOAD_TRANSPOSED(part_a, a, sliceTensorLayoutNV(a_layout, k, kDepth, start.x, kRows));           \
    if (kBAlongDepth) LOAD_TRANSPOSED(part_b, b, sliceTensorLayoutNV(b_layout, start.y, kCols, k, kDepth)); \
    else LOAD(part_b, b, sliceTensorLayoutNV(b_layout, k, kDepth, start.y, kCols));                  \
    sums = coopMatMulAdd(part_a, part_b, sums);                                                      \
  }

// Whether the tile is inside a result of size `end`.
bool is_inside(uvec2 start, uvec2 end) { return all(lessThanEqual(start + uvec2(kRows, kCols), end)); }

Sums tile_sums(Operands o, uvec2 start) {
  OperandBuffer a = OperandBuffer(uvec2(o.a)), b = OperandBuffer(uvec2(o.b));
  const uvec2 a_size = kAAlongDepth ? uvec2(o.rows, o.depth) : uvec2(o.depth, o.rows);
  const uvec2 b_size = kBAlongDepth ? uvec2(o.cols, o.depth) : uvec2(o.depth, o.cols);
  const uint a_stride = outer_stride(kAAlongDepth ? a_row_start(1) : o.a_depth, a_size.y, (kAligned & 1) != 0);
  const uint b_stride = outer_stride(kBAlongDepth ? o.b_col : o.b_depth, b_size.y, (kAligned & 2) != 0);
  Layout a_inside = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_LAYOUT, a_size.x, a_size.y), a_stride, 1);
  Layout b_inside = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_LAYOUT, b_size.x, b_size.y), b_stride, 1);
  EdgeLayout a_edge = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_EDGE_LAYOUT, a_size.x, a_size.y), a_stride, 1);
  EdgeLayout b_edge = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_EDGE_LAYOUT, b_size.x, b_size.y), b_stride, 1);

  Sums sums = NEW_SUMS(0.0);
  uint k = 0;
  if (is_inside(start, uvec2(o.rows, o.cols))) {
    [[dont_unroll]] for (; k + kStages * kDepth <= o.depth;)
      [[unroll]] for (uint i = 0; i < kStages; ++i, k += kDepth) MULTIPLY(a_inside, b_inside)
    [[dont_unroll]] for (; k + kDepth <= o.depth; k += kDepth) MULTIPLY(a_inside, b_inside)
  }
  [[dont_unroll]] for (; k < o.depth; k += kDepth) MULTIPLY(a_edge, b_edge)
  return sums;
}

// Stores the tile in a matrix [end] of f32 or the operand type with row stride `stride`. REQUIRES: 16-byte alignment.
#define STORE_TILE(matrix, to, start, end, stride)                                                                                        \
  {                                                                                                                                       \
    Layout tile_inside = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_LAYOUT, end.x, end.y), stride, 1);                        \
    EdgeLayout tile_edge = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_EDGE_LAYOUT, end.x, end.y), stride, 1);                 \
    if (is_inside(start, end)) STORE(matrix, to, sliceTensorLayoutNV(tile_inside, start.x, kRows, start.y, kCols));                       \
    else STORE(matrix, to, sliceTensorLayoutNV(tile_edge, start.x, kRows, start.y, kCols));                                               \
  }
