// Shared by the attention kernels for CPU drivers. A workgroup is one subgroup; lane l holds rows l, l + kSubgroup, ...
// of a tile (queries, or keys in d_kv), on the stack and in the L1 and L2 caches. Rows of the other side are streamed a
// few at a time: each is read once, spread over the lanes, and shared by broadcasts from constant lanes. A CPU driver
// implements a load as one gather over all lanes, which costs more than the multiplications of a whole register: 64-bit
// loads of two floats (load64.glsl) halve that cost, and more held rows share it.
//
// Include after attention.glsl and load64.glsl or load64_vec2.glsl.
layout(constant_id = SPEC_TILE_ROWS) const uint kBlockM = 1;  // rows of a lane
layout(constant_id = SPEC_TILE_COLS) const uint kBlockN = 4;    // streamed rows at a time
layout(constant_id = SPEC_ALIGNED) const uint kLoad64 = 0;  // 1: every head of every tensor starts at 8 bytes, and E is even

const uint kTogether = kLoad64 != 0 ? 2 : 1;
const uint kSpan = kTogether * kSubgroup;
const uint kChunks = (kWidth + kSpan - 1) / kSpan;

// Elements e.. of a row that starts at `at`, kTogether of them.
vec2 load_together(InReal from, uint at, uint e) {
  return kLoad64 != 0 ? load_f32x2(InF32x2(uvec2(from)), at + e) : vec2(InF32(uvec2(from)).at[at + e], 0.0);
}
void store_together(OutReal to, uint at, uint e, vec2 values) {
  if (kLoad64 != 0) store_f32x2(OutF32x2(uvec2(to)), at + e, values);
  else OutF32(uvec2(to)).at[at + e] = values.x;
}

// A row held by the lane, times `factor`.
void load_resident_row(out float row[kWidth], InReal from, uint at, float factor) {
  [[unroll]] for (uint e = 0; e < kWidth; e += kTogether) {
    const vec2 values = load_together(from, at, e) * factor;
    row[e] = values.x;
    if (kTogether == 2) row[e + 1] = values.y;
  }
}
void store_resident_row(OutReal to, uint at, float row[kWidth], float factor) {
  [[unroll]] for (uint e = 0; e < kWidth; e += kTogether) store_together(to, at, e, vec2(row[e], row[e + kTogether - 1]) * factor);
}
// Stores the gradient of q or k at a position; rotates it back if they were rotated (E is even then).
void store_rotated_back(OutReal to, uint at, float row[kWidth], float factor, InF32 cos_sin_table, uint position) {
  if (kRotaryBackward == 0) {
    store_resident_row(to, at, row, factor);
    return;
  }
  [[unroll]] for (uint e = 0; e + 1 < kWidth; e += 2) {
    const uint cos_sin_at = position * kWidth + e;
    const vec2 cos_sin = kLoad64 != 0 ? load_f32x2(InF32x2(uvec2(cos_sin_table)), cos_sin_at) : load_cos_sin(cos_sin_table, cos_sin_at);
    const vec2 values = rotate_back(vec2(row[e], row[e + 1]) * factor, cos_sin);
    store_together(to, at, e, values);
    if (kTogether == 1) store_together(to, at, e + 1, values.yx);
  }
}

// Streamed rows, spread over the lanes: element e of row j is in lane e % kSpan / kTogether of streamed[streamed_at(j, e)].
const uint kStreamedFloats = kBlockN * kChunks * kTogether;
uint streamed_at(uint j, uint e) { return (j * kChunks + e / kSpan) * kTogether + e % kTogether; }
#define element(streamed, j, e) subgroupBroadcast(streamed[streamed_at(j, e)], (e) % kSpan / kTogether)
// Row j, which starts at `at`. Lanes beyond E read the last elements, which are not used.
void load_streamed(inout float streamed[kStreamedFloats], uint j, InReal from, uint at) {
  [[unroll]] for (uint c = 0; c < kChunks; ++c) {
    const vec2 values = load_together(from, at, min(c * kSpan + kTogether * gl_SubgroupInvocationID, kWidth - kTogether));
    streamed[streamed_at(j, c * kSpan)] = values.x;
    if (kTogether == 2) streamed[streamed_at(j, c * kSpan) + 1] = values.y;
  }
}
// Called for loaded rows in backward, where it saves a seventh of the time; in forward, which alternates K and V rows,
// it would cost as much.
#define leave_streamed_in_memory(streamed) leave_in_memory(streamed, args.context == 0, args.batch)

// Sums computed at a time: these, a value of the other side and a product fit into the registers: 16 with AVX, 32 at 16
// lanes.
const uint kSums = kSubgroup > 8 ? 16 : 8;
const uint kStreamedAtOnce = kBlockM >= kSums ? 1 : kSums / kBlockM < kBlockN ? kSums / kBlockM : kBlockN;

// s = held rows times streamed rows. REQUIRES: kBlockM and kBlockN are powers of two.
void multiply_rows(out float s[kBlockM][kBlockN], float held[kBlockM][kWidth], float streamed[kStreamedFloats]) {
  [[unroll]] for (uint r = 0; r < kBlockM; ++r)
    [[unroll]] for (uint j = 0; j < kBlockN; ++j) s[r][j] = 0.0;
  [[unroll]] for (uint j0 = 0; j0 < kBlockN; j0 += kStreamedAtOnce)
    [[unroll]] for (uint e = 0; e < kWidth; ++e)
      [[unroll]] for (uint j = 0; j < kStreamedAtOnce; ++j) {
        const float value = element(streamed, j0 + j, e);
        [[unroll]] for (uint r = 0; r < kBlockM; ++r) s[r][j0 + j] += held[r][e] * value;
      }
}
// sum += factor times streamed rows.
void add_weighted_rows(inout float sum[kBlockM][kWidth], float factor[kBlockM][kBlockN], float streamed[kStreamedFloats]) {
  [[unroll]] for (uint e = 0; e < kWidth; ++e)
    [[unroll]] for (uint j = 0; j < kBlockN; ++j) {
      const float value = element(streamed, j, e);
      [[unroll]] for (uint r = 0; r < kBlockM; ++r) sum[r][e] += factor[r][j] * value;
    }
}
// The same with a mask: 0 * NaN is NaN, so masked rows are skipped, not multiplied by zero.
void add_weighted_seen_rows(inout float sum[kBlockM][kWidth], float factor[kBlockM][kBlockN], bool seen[kBlockM][kBlockN], float streamed[kStreamedFloats]) {
  [[unroll]] for (uint e = 0; e < kWidth; ++e)
    [[unroll]] for (uint j = 0; j < kBlockN; ++j) {
      const float value = element(streamed, j, e);
      [[unroll]] for (uint r = 0; r < kBlockM; ++r) sum[r][e] += seen[r][j] ? factor[r][j] * value : 0.0;
    }
}
