// workgroup_matrix.glsl in plain GLSL, for tests on devices without VK_NV_cooperative_matrix2. It follows the
// extension's text on layouts, slices and views. Undefined behaviour gives NaN in all sums of the tile, or in its first
// stored element. Not optimized for speed.
//
// A matrix is distributed over the threads of its workgroup element by element, row by row. Shared memory: 4 bytes for
// each element of the parts of a and b. Declared before the include: uint pack_operands(vec2) and vec2
// unpack_operands(uint). (Arrays sized by specialization constants cannot be copied: these have the length for the
// largest tile, 128 x 256 with 256
// threads, in stages of 16 or 32.)
const uint kStages = 2;
struct PartOfA { float at[32]; };
struct PartOfB { float at[32]; };
struct Sums { float at[128]; };
struct RoundedSums { float at[128]; };
const uint kElementsA = kRows * kDepth / kWorkgroup, kElementsB = kDepth * kCols / kWorkgroup, kElements = kRows * kCols / kWorkgroup;

layout(buffer_reference, std430, buffer_reference_align = 2) readonly buffer OperandBuffer { uint16_t at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer OutSums { float at[]; };
layout(buffer_reference, std430, buffer_reference_align = 2) writeonly buffer OutRoundedSums { uint16_t at[]; };

// Outer dimension first.
struct Layout {
  uvec2 size, stride, offset, span;
  bool clamps;
};
#define EdgeLayout Layout
#define NEW_LAYOUT Layout(uvec2(0), uvec2(0), uvec2(0), uvec2(0), false)
#define NEW_EDGE_LAYOUT Layout(uvec2(0), uvec2(0), uvec2(0), uvec2(0), true)
Layout setTensorLayoutDimensionNV(Layout t, uint outer, uint inner) {
  return Layout(uvec2(outer, inner), uvec2(inner, 1), uvec2(0), uvec2(outer, inner), t.clamps);
}
Layout setTensorLayoutStrideNV(Layout t, uint outer, uint inner) { return Layout(t.size, uvec2(outer, inner), t.offset, t.span, t.clamps); }
Layout sliceTensorLayoutNV(Layout t, uint outer, uint outer_span, uint inner, uint inner_span) {
  return Layout(t.size, t.stride, t.offset + uvec2(outer, inner), uvec2(outer_span, inner_span), t.clamps);
}

const uint kNothing = 0xFFFFFFFF, kUndefined = 0xFFFFFFFE;
// Place in memory of element `index` of a slice.
uint place_in(Layout t, uint index) {
  const uvec2 place = t.offset + uvec2(index / t.span.y % t.span.x, index % t.span.y);
  const bool outside = any(greaterThanEqual(place, t.size));
  if (t.stride.x < t.stride.y * t.size.y || outside && !t.clamps) return kUndefined;
  return outside ? kNothing : place.x * t.stride.x + place.y * t.stride.y;
}
// The view <2, false, 1, 0>: index in the slice of element `index` of a matrix.
uint transposed_index(Layout t, uint index) { return index % t.span.x * t.span.y + index / t.span.x % t.span.y; }

#define NOT_A_NUMBER uintBitsToFloat(0x7FC00000)
shared bool undefined_access;  // by any thread; set to false by new_sums()
float load_operand(OperandBuffer from, uint place) {
  if (place == kUndefined || (uvec2(from).x & 15) != 0) undefined_access = true;
  return place >= kUndefined ? 0.0 : unpack_operands(uint(from.at[place])).x;
}
uint element_of(uint i) { return i * kWorkgroup + gl_LocalInvocationIndex; }
void load_matrix(out PartOfA part, OperandBuffer from, Layout t, bool transposed) {
  [[dont_unroll]] for (uint i = 0; i < kElementsA; ++i) part.at[i] = load_operand(from, place_in(t, transposed ? transposed_index(t, element_of(i)) : element_of(i)));
}
void load_matrix(out PartOfB part, OperandBuffer from, Layout t, bool transposed) {
  [[dont_unroll]] for (uint i = 0; i < kElementsB; ++i) part.at[i] = load_operand(from, place_in(t, transposed ? transposed_index(t, element_of(i)) : element_of(i)));
}
#define LOAD(matrix, from, slice) load_matrix(matrix, from, slice, false)
#define LOAD_TRANSPOSED(matrix, from, slice) load_matrix(matrix, from, slice, true)

// Whether element i of this thread is stored, to `place`.
bool is_stored(Layout t, uvec2 address, uint i, out uint place) {
  place = place_in(t, element_of(i));
  if (place == kUndefined || (address.x & 15) != 0) undefined_access = true;
  return place < kUndefined;
}
bool stores_nan_first() {
  barrier();
  return undefined_access && gl_LocalInvocationIndex == 0;
}
void store_matrix(Sums sums, OutSums to, Layout t) {
  uint place;
  [[dont_unroll]] for (uint i = 0; i < kElements; ++i)
    if (is_stored(t, uvec2(to), i, place)) to.at[place] = sums.at[i];
  if (stores_nan_first()) to.at[t.offset.x * t.stride.x + t.offset.y] = NOT_A_NUMBER;
}
void store_matrix(RoundedSums sums, OutRoundedSums to, Layout t) {
  uint place;
  [[dont_unroll]] for (uint i = 0; i < kElements; ++i)
    if (is_stored(t, uvec2(to), i, place)) to.at[place] = uint16_t(pack_operands(vec2(sums.at[i], 0.0)));
  if (stores_nan_first()) to.at[t.offset.x * t.stride.x + t.offset.y] = uint16_t(pack_operands(vec2(NOT_A_NUMBER)));
}
#define STORE(matrix, to, slice) store_matrix(matrix, to, slice)

Sums new_sums(float value) {
  undefined_access = false;
  barrier();
  Sums sums;
  [[dont_unroll]] for (uint i = 0; i < kElements; ++i) sums.at[i] = value;
  return sums;
}
RoundedSums rounded(Sums sums) {
  RoundedSums result;
  [[dont_unroll]] for (uint i = 0; i < kElements; ++i) result.at[i] = unpack_operands(pack_operands(vec2(sums.at[i], 0.0))).x;
  return result;
}
#define NEW_SUMS(value) new_sums(value)
#define ROUNDED(sums) rounded(sums)

shared float shared_a[kRows * kDepth], shared_b[kDepth * kCols];
Sums coopMatMulAdd(PartOfA a, PartOfB b, Sums sums) {
  barrier();
  [[dont_unroll]] for (uint i = 0; i < kElementsA; ++i) shared_a[element_of(i)] = a.at[i];
  [[dont_unroll]] for (uint i = 0; i < kElementsB; ++i) shared_b[element_of(i)] = b.at[i];
  barrier();
  [[dont_unroll]] for (uint i = 0; i < kElements; ++i) {
    const uint row = element_of(i) / kCols, col = element_of(i) % kCols;
    if (undefined_access) sums.at[i] = NOT_A_NUMBER;
    [[dont_unroll]] for (uint k = 0; k < kDepth; ++k) sums.at[i] += shared_a[row * kDepth + k] * shared_b[k * kCols + col];
  }
  return sums;
}

// With two further arguments. Calls the operation twice per element, as a driver may, and uses the second result.
#define coopMatPerElementNV(result, matrix, operation, x, y)                                         \
  [[dont_unroll]] for (uint i = 0; i < 2 * kElements; ++i) {                                         \
    const uint e = i % kElements;                                                                    \
    const float value = operation(element_of(e) / kCols, element_of(e) % kCols, matrix.at[e], x, y); \
    if (i >= kElements) result.at[e] = value;                                                        \
  }
