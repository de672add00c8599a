// c = f(alpha * op(a) op(b) + bias + addend) with cooperative matrices of whole workgroups (VK_NV_cooperative_matrix2): a and b of
// 16 bits in memory, sums in f32, c of f32 or of the factors' type.
//
// A workgroup holds its tile kRows x kCols as one matrix of sums and takes kDepth steps of K at a time straight from memory: the
// driver stages through shared memory of its own and places the barriers. A layout is a matrix as it lies in memory, a slice of it
// what is loaded: NN, NT and TN differ in which dimension is the outer one, and the slice is turned where that is K for a, or the
// columns for b. Tiles inside the matrices are loaded without bounds; at the edges, and for the last steps of K, what lies outside
// is 0, and neither read nor written.
//
//   tile        threads  sums per thread  a and b of a stage (kDepth 64)  global memory, FLOPs per byte  MFLOP a stage
//   64 x 64        128          32                   16 KB                           32                       0.5
//   128 x 128      256          64                   32 KB                           64                       2.1
//   128 x 256      256         128                   48 KB                           85                       4.2
//   256 x 128      256         128                   48 KB                           85                       4.2
// Sums are registers of a thread; fragments of a and b come on top of them (64 at most where 255 are to be enough). Shared memory is
// the driver's affair: none here, and it says how much it keeps (DeviceCaps::matrix_shared_bytes).
//
// The epilogue reads bias and addend where it computes an element: a second matrix of the tile's size would not fit into registers.
//
// Declared before this is included: FACTOR, the type of a and b; uint pack_factors(vec2) and vec2 unpack_factors(uint), f32 to two of
// it and back; STORES_ROUNDED where the device has matrices of sums of that type; EMULATED to run without the extension (tests).
#include "shaders/matmul.glsl"
#include "shaders/matmul_store.glsl"

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 128;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 128;
layout(constant_id = SPEC_TILE_DEPTH) const uint kDepth = 64;
layout(constant_id = SPEC_VARIANT) const uint kContiguous = 0;  // bit 0: a is contiguous along K (else along rows), bit 1: b (else columns)
layout(constant_id = SPEC_ALIGNED) const uint kAligned = 0;  // bit 0: each row of a in memory starts at 16 bytes, bit 1: of b; bit 2: c does
layout(constant_id = SPEC_C_TYPE) const uint kCType = kF32;  // not kF32: FACTOR's

#ifdef EMULATED
#include "shaders/workgroup_matrix_emulated.glsl"
#else
#include "shaders/workgroup_matrix.glsl"
#endif

const bool kAAlongDepth = (kContiguous & 1) != 0, kBAlongDepth = (kContiguous & 2) != 0;

layout(buffer_reference, std430, buffer_reference_align = 2) buffer InOutHalves { uint16_t at[]; };

// Elements from one row in memory to the next, told to be a multiple of 8 where it is. Layouts want at least a row's length, which
// a single row need not have.
uint outer_stride(uint stride, uint length, bool aligned) { return aligned ? stride & ~7u : max(stride, length); }

const uint kAtOnce = 1;
vec4 load_like_c(InReal from, uint at, uint count) {
  return vec4(kCType == kF32 ? InF32(from).at[at] : unpack_factors(uint(InOutHalves(from).at[at])).x, 0.0, 0.0, 0.0);
}
void store_like_c(uvec2 to, uint at, vec4 values, uint count) {
  if (kCType == kF32) InOutF32(to).at[at] = values.x;
  else InOutHalves(to).at[at] = uint16_t(pack_factors(values.xy));
}
vec4 stored_like_c(vec4 values) { return kCType == kF32 ? values : vec4(unpack_factors(pack_factors(values.xy)).x, 0.0, 0.0, 0.0); }
#include "shaders/matmul_finish.glsl"

// Elements of the tile on their way to c. Either may run more than once for an element, in any order: what one reads, only the other
// writes.
float finish_element(const in uint row, const in uint col, const in float sum, const in uvec2 start, const in uvec2 end) {
  const uvec2 place = start + uvec2(row, col);
  float value = args.alpha * sum;
  if (any(greaterThanEqual(place, end))) return value;
  const uint at = place.x * args.c_stride + place.y;
  if (!is_null(args.bias)) value += args.bias.at[place.y];
  if (!is_null(args.addend)) value += load_like_c(args.addend, at, 1).x;
  return through(at, vec4(value, 0.0, 0.0, 0.0), 1).x;
}
float write(const in uint row, const in uint col, const in float value, const in uvec2 start, const in uvec2 end) {
  const uvec2 place = start + uvec2(row, col);
  if (any(greaterThanEqual(place, end))) return value;
  store_like_c(uvec2(args.c), place.x * args.c_stride + place.y, vec4(value, 0.0, 0.0, 0.0), 1);
  return value;
}

// sums += the slices of a and b that begin at step k.
#define MULTIPLY(a_layout, b_layout)                                                                 \
  {                                                                                                  \
    PartOfA part_a;                                                                                  \
    PartOfB part_b;                                                                                  \
    if (kAAlongDepth) LOAD(part_a, a, sliceTensorLayoutNV(a_layout, start.x, kRows, k, kDepth));     \
    else LOAD_TURNED(part_a, a, sliceTensorLayoutNV(a_layout, k, kDepth, start.x, kRows));           \
    if (kBAlongDepth) LOAD_TURNED(part_b, b, sliceTensorLayoutNV(b_layout, start.y, kCols, k, kDepth)); \
    else LOAD(part_b, b, sliceTensorLayoutNV(b_layout, k, kDepth, start.y, kCols));                  \
    sums = coopMatMulAdd(part_a, part_b, sums);                                                      \
  }

void main() {
  Operands o = operands();
  const uvec2 start = tile_start(uvec2(kRows, kCols)), end = uvec2(o.rows, o.cols);
  if (start.x >= end.x || adds_nothing(o)) return;
  const bool inside = all(lessThanEqual(start + uvec2(kRows, kCols), end));

  Factors a = Factors(args.a), b = Factors(args.b);
  const uvec2 a_size = kAAlongDepth ? uvec2(o.rows, o.depth) : uvec2(o.depth, o.rows);
  const uvec2 b_size = kBAlongDepth ? uvec2(o.cols, o.depth) : uvec2(o.depth, o.cols);
  const uint a_stride = outer_stride(kAAlongDepth ? args.a_row : args.a_depth, a_size.y, (kAligned & 1) != 0);
  const uint b_stride = outer_stride(kBAlongDepth ? args.b_col : args.b_depth, b_size.y, (kAligned & 2) != 0);
  Layout a_inside = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_LAYOUT, a_size.x, a_size.y), a_stride, 1);
  Layout b_inside = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_LAYOUT, b_size.x, b_size.y), b_stride, 1);
  EdgeLayout a_edge = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_EDGE_LAYOUT, a_size.x, a_size.y), a_stride, 1);
  EdgeLayout b_edge = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_EDGE_LAYOUT, b_size.x, b_size.y), b_stride, 1);

  Sums sums = NEW_SUMS(0.0);
  uint k = 0;
  if (inside) {
    [[dont_unroll]] for (; k + kStages * kDepth <= o.depth;)
      [[unroll]] for (uint i = 0; i < kStages; ++i, k += kDepth) MULTIPLY(a_inside, b_inside)
    [[dont_unroll]] for (; k + kDepth <= o.depth; k += kDepth) MULTIPLY(a_inside, b_inside)
  }
  [[dont_unroll]] for (; k < o.depth; k += kDepth) MULTIPLY(a_edge, b_edge)

  if (args.alpha != 1.0 || !is_null(args.bias) || !is_null(args.addend) || kNonlinearity != kLinear)
    coopMatPerElementNV(sums, sums, finish_element, start, end);
  // The addend may be c: all of the tile has been read before any of it is written.
  controlBarrier(gl_ScopeWorkgroup, gl_ScopeWorkgroup, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);

  const uint c_stride = outer_stride(args.c_stride, end.y, false);
  Layout c_inside = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_LAYOUT, end.x, end.y), c_stride, 1);
  EdgeLayout c_edge = setTensorLayoutStrideNV(setTensorLayoutDimensionNV(NEW_EDGE_LAYOUT, end.x, end.y), c_stride, 1);
  c_inside = sliceTensorLayoutNV(c_inside, start.x, kRows, start.y, kCols);
  c_edge = sliceTensorLayoutNV(c_edge, start.x, kRows, start.y, kCols);
  if (kCType == kF32 && (kAligned & 4) != 0) {
    if (inside) STORE(sums, OutSums(args.c), c_inside);
    else STORE(sums, OutSums(args.c), c_edge);
    return;
  }
#ifdef STORES_ROUNDED
  if ((kAligned & 4) != 0) {
    const RoundedSums result = ROUNDED(sums);
    if (inside) STORE(result, OutRoundedSums(args.c), c_inside);
    else STORE(result, OutRoundedSums(args.c), c_edge);
    return;
  }
#endif
  coopMatPerElementNV(sums, sums, write, start, end);
}
