// What the attention kernels for CPU drivers share. One subgroup is a workgroup; lane l owns rows l, l + kSubgroup, ... of a tile (queries,
// or keys in d_kv) whole, on the stack and in the nearest caches. Rows of the other side are met a few at a time: each is read once, spread over the lanes, and handed
// round by broadcasts from constant lanes. Such a driver reads as many addresses at once as there are lanes, which costs more than the
// products of a whole register: reading two neighbours at a time (pairs.glsl) halves that, more owned rows share it.
//
// Include after attention.glsl and pairs.glsl or pairs_vec2.glsl.
layout(constant_id = SPEC_TILE_ROWS) const uint kOwned = 1;  // rows of a lane
layout(constant_id = SPEC_TILE_COLS) const uint kMet = 4;    // rows met at a time
layout(constant_id = SPEC_ALIGNED) const uint kPairs = 0;  // 1: every head of every tensor starts at 8 bytes, and E is even

const uint kTogether = kPairs != 0 ? 2 : 1;
const uint kSpan = kTogether * kSubgroup;
const uint kChunks = (kWidth + kSpan - 1) / kSpan;

// Elements e.. of a row that starts at `at`, kTogether of them.
vec2 load_together(InReal from, uint at, uint e) {
  return kPairs != 0 ? pair(InPairs(uvec2(from)), at + e) : vec2(InF32(uvec2(from)).at[at + e], 0.0);
}
void store_together(OutReal to, uint at, uint e, vec2 values) {
  if (kPairs != 0) write_pair(OutPairs(uvec2(to)), at + e, values);
  else OutF32(uvec2(to)).at[at + e] = values.x;
}

// A row that the lane owns, times `factor`.
void load_own(out float row[kWidth], InReal from, uint at, float factor) {
  [[unroll]] for (uint e = 0; e < kWidth; e += kTogether) {
    const vec2 values = load_together(from, at, e) * factor;
    row[e] = values.x;
    if (kTogether == 2) row[e + 1] = values.y;
  }
}
void store_own(OutReal to, uint at, float row[kWidth], float factor) {
  [[unroll]] for (uint e = 0; e < kWidth; e += kTogether) store_together(to, at, e, vec2(row[e], row[e + kTogether - 1]) * factor);
}
// The gradient of q or k at a position; where those are turned (E is even then), it turns back.
void store_turned_back(OutReal to, uint at, float row[kWidth], float factor, InF32 turns, uint position) {
  if (kTurned == 0) {
    store_own(to, at, row, factor);
    return;
  }
  [[unroll]] for (uint e = 0; e + 1 < kWidth; e += 2) {
    const uint turn_at = position * kWidth + e;
    const vec2 turn = kPairs != 0 ? pair(InPairs(uvec2(turns)), turn_at) : load_turn(turns, turn_at);
    const vec2 values = turned_back(vec2(row[e], row[e + 1]) * factor, turn);
    store_together(to, at, e, values);
    if (kTogether == 1) store_together(to, at, e + 1, values.yx);
  }
}

// Rows that are met, spread over the lanes: element e of row j is in lane e % kSpan / kTogether of met[met_at(j, e)].
const uint kMetFloats = kMet * kChunks * kTogether;
uint met_at(uint j, uint e) { return (j * kChunks + e / kSpan) * kTogether + e % kTogether; }
#define element(met, j, e) subgroupBroadcast(met[met_at(j, e)], (e) % kSpan / kTogether)
// Row j, which starts at `at`. Beyond E it reads those of the end, which nobody uses.
void load_met(inout float met[kMetFloats], uint j, InReal from, uint at) {
  [[unroll]] for (uint c = 0; c < kChunks; ++c) {
    const vec2 values = load_together(from, at, min(c * kSpan + kTogether * gl_SubgroupInvocationID, kWidth - kTogether));
    met[met_at(j, c * kSpan)] = values.x;
    if (kTogether == 2) met[met_at(j, c * kSpan) + 1] = values.y;
  }
}
// Said of rows when they have been loaded, in backward: it gains a seventh there, and costs forward, whose rows take turns, as much.
#define leave_met_in_memory(met) leave_in_memory(met, args.context == 0, args.batch)

// Sums at a time: so many, a value of the other side, and a product fit into the registers, 16 with AVX, 32 at 16 lanes.
const uint kSums = kSubgroup > 8 ? 16 : 8;
const uint kMetAtOnce = kOwned >= kSums ? 1 : kSums / kOwned < kMet ? kSums / kOwned : kMet;

// s = own rows times met rows. REQUIRES: kOwned and kMet are powers of two.
void multiply_rows(out float s[kOwned][kMet], float own[kOwned][kWidth], float met[kMetFloats]) {
  [[unroll]] for (uint r = 0; r < kOwned; ++r)
    [[unroll]] for (uint j = 0; j < kMet; ++j) s[r][j] = 0.0;
  [[unroll]] for (uint j0 = 0; j0 < kMet; j0 += kMetAtOnce)
    [[unroll]] for (uint e = 0; e < kWidth; ++e)
      [[unroll]] for (uint j = 0; j < kMetAtOnce; ++j) {
        const float value = element(met, j0 + j, e);
        [[unroll]] for (uint r = 0; r < kOwned; ++r) s[r][j0 + j] += own[r][e] * value;
      }
}
// sum += factors times met rows.
void add_factors(inout float sum[kOwned][kWidth], float factor[kOwned][kMet], float met[kMetFloats]) {
  [[unroll]] for (uint e = 0; e < kWidth; ++e)
    [[unroll]] for (uint j = 0; j < kMet; ++j) {
      const float value = element(met, j, e);
      [[unroll]] for (uint r = 0; r < kOwned; ++r) sum[r][e] += factor[r][j] * value;
    }
}
// The same, where not all factors count: 0 * NaN is NaN, so that those are left out, not multiplied by zero.
void add_seen_factors(inout float sum[kOwned][kWidth], float factor[kOwned][kMet], bool seen[kOwned][kMet], float met[kMetFloats]) {
  [[unroll]] for (uint e = 0; e < kWidth; ++e)
    [[unroll]] for (uint j = 0; j < kMet; ++j) {
      const float value = element(met, j, e);
      [[unroll]] for (uint r = 0; r < kOwned; ++r) sum[r][e] += seen[r][j] ? factor[r][j] * value : 0.0;
    }
}
