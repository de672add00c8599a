// Shared by the cooperative-matrix attention kernels. Include after operands.glsl, attention.glsl and the push
// constants.
//
// A workgroup holds kRows rows (queries, or keys in d_kv) of one head and streams rows of the other side kCols at a
// time. Its subgroups form a grid kSubgroupsM x kSubgroupsN: subgroup (m, n) computes rows kSubgroupRows * m.. and columns
// kScoreCols * n.. of a tile of scores, and of a result [kRows, E] the same rows and columns kOutCols * n...
// The held rows are fragments. Where these are many and shared memory is large enough, the rows stay in shared memory
// instead (kResidentShared): RDNA 3 stores each operand twice in registers, and has too few; NVIDIA's 48 KB are too small.
//
// Shared memory, in units of 16 bytes, rows padded by one: `streamed`, kStreamedTiles tiles of streamed rows as operands, E
// padded to whole fragments with zeros; `scores`, f32 scores passed from fragments to lanes, where they are masked,
// rounded and written back as operands in place, into the first half of the subgroup's part of the row.
//
// A wave of 64 spreads a fragment over twice as many lanes. A lane then needs half the registers that the tables of the
// kernels list for fragments, in twice as many threads: the same total per workgroup. Fetched chunks halve likewise.
// Workgroups per SM with 65,536 registers, with some 30 address registers per thread: forward 4 and 2 (E =
// 64, 128), d_kv and d_q 2 and 1, so 16 and 8, or 8, subgroups of 32; their shared memory is 108 KB at most.
// f32 memory is fetched as f32, with twice the registers in flight; d_kv with k and v in fragments then exceeds
// NVIDIA's 255. In training this happens only for head widths that are not a multiple of 4.
//
// A masked score becomes an operand of exactly 0. 0 * NaN is NaN, so infinities and NaNs in the rows that a masked tile
// multiplies are staged as 0, and at the end NaN is written to the rows that see one of them (nan_mask). Tiles without
// a mask use the values unchanged.
#extension GL_KHR_shader_subgroup_shuffle : require

layout(constant_id = SPEC_TILE_ROWS) const uint kRows = 64;
layout(constant_id = SPEC_TILE_COLS) const uint kCols = 64;
layout(constant_id = SPEC_SUBGROUPS_M) const uint kSubgroupsM = 4;
layout(constant_id = SPEC_FRAGMENT_ROWS) const uint kFragmentRows = 16;
layout(constant_id = SPEC_FRAGMENT_COLS) const uint kFragmentCols = 16;
layout(constant_id = SPEC_FRAGMENT_DEPTH) const uint kFragmentDepth = 16;
layout(constant_id = SPEC_VARIANT) const uint kResidentShared = 0;  // 1: the held rows stay in shared memory; 0: in fragments
layout(constant_id = SPEC_ALIGNED) const uint kAligned = 0;  // 1: every head of every tensor starts at 16 bytes, and E is a multiple of 8
layout(constant_id = SPEC_A_TYPE) const uint kQkvType = kF32;
layout(constant_id = SPEC_B_TYPE) const uint kGradientType = kF32;  // of d_attended
layout(constant_id = SPEC_C_TYPE) const uint kResultType = kF32;

layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF32x4 { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutF32x4 { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InU32x4 { uvec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutU32x4 { uvec4 at[]; };

#define FragmentA coopmat<OPERAND_TYPE, gl_ScopeSubgroup, kFragmentRows, kFragmentDepth, gl_MatrixUseA>
#define FragmentB coopmat<OPERAND_TYPE, gl_ScopeSubgroup, kFragmentDepth, kFragmentCols, gl_MatrixUseB>
#define FragmentSum coopmat<float, gl_ScopeSubgroup, kFragmentRows, kFragmentCols, gl_MatrixUseAccumulator>

const uint kSubgroupsN = kWorkgroup / kSubgroup / kSubgroupsM;
const uint kSubgroupRows = kRows / kSubgroupsM;
const uint kFragmentsM = kSubgroupRows / kFragmentRows;
const uint kGrain = kFragmentDepth > kFragmentCols * kSubgroupsN ? kFragmentDepth : kFragmentCols * kSubgroupsN;
const uint kWide = (kWidth + kGrain - 1) / kGrain * kGrain;  // E in shared memory
const uint kSteps = kWide / kFragmentDepth;
const uint kOutCols = kWide / kSubgroupsN;
const uint kOutFragments = kOutCols / kFragmentCols;
const uint kScoreCols = kCols / kSubgroupsN;
const uint kScoreFragments = kScoreCols / kFragmentCols;
const uint kBlocks = (kOutFragments + kScoreFragments - 1) / kScoreFragments;  // blocks of a result, as wide as the scores

const uint kStreamedStride = kWide / 8 + 1;
const uint kScoreStride = kCols / 4 + 1;
shared uvec4 streamed[kStreamedTiles * kCols * kStreamedStride];
shared uvec4 scores[kRows * kScoreStride];
shared uvec4 resident[kResidentShared != 0 ? kStreamedTiles * kRows * kStreamedStride : 1];
shared uint found_s[kWorkgroup / kSubgroup];

// Mapping of lanes to a subgroup's part of the scores: kParts lanes per row, kPartCols adjacent columns each, kPasses
// times.
const uint kLaneRows = kSubgroup < kSubgroupRows ? kSubgroup : kSubgroupRows;
const uint kPasses = kSubgroupRows / kLaneRows;
const uint kParts = kSubgroup / kLaneRows;
const uint kPartCols = kScoreCols / kParts;
const uint kVec4s = kPartCols / 4;

uint sub_row() { return gl_SubgroupID % kSubgroupsM * kSubgroupRows; }
uint subgroup_n() { return gl_SubgroupID / kSubgroupsM; }
uint lane_row(uint pass) { return sub_row() + pass * kLaneRows + gl_SubgroupInvocationID % kLaneRows; }
uint lane_part() { return gl_SubgroupInvocationID / kLaneRows; }
// Start of this subgroup's part of a row in `scores`; and the place of a step of depth of the operands in that row.
uint score_at(uint row) { return row * kScoreStride + subgroup_n() * (kScoreCols / 4); }
uint operand_at(uint row, uint depth) { return row * kScoreStride + depth / kScoreCols * (kScoreCols / 4) + depth % kScoreCols / 8; }

float exp2_or_nan(float x) { return isnan(x) ? x : exp2(x); }
float log2_or_nan(float x) { return isnan(x) ? x : log2(x); }
const float kLog2E = 1.44269504, kLn2 = 0.69314718;

uint query0, key0;  // of the current tile
uint first_token;   // of the sequence
// The first position that a query sees; queries beyond the edge use the last query's.
uint read_start(uint query) { return read_start(args.document_start, args.qkv, first_token + min(query, args.context - 1)); }
uint start_as_read(uint read) { return start_as_read(args.document_start, read); }
uint start_of(uint query) { return start_as_read(read_start(query)); }

// Rows of memory, E wide: row r, element e at `at + r * stride + e`. The first `count` rows are valid, others read as
// 0. `at` points to valid memory even when count is 0.
struct Rows {
  InReal memory;
  uint type, at, stride, count;
};
Rows heads_of_qkv(uint position, uint head) {
  const uint token = first_token + min(position, args.context - 1);
  return Rows(args.qkv, kQkvType, qkv_at(token, head, args.heads, args.kv_heads), (args.heads + 2 * args.kv_heads) * kWidth,
              position < args.context ? args.context - position : 0);
}
// Index of a query in lse and delta.
uint statistic_at(uint head, uint query) { return first_token * args.heads + head * args.context + query; }

// Elements e.. (a multiple of 8) of a row as loaded: an f32 or a pair of operands per word. To overlap with the math, a
// load must not be used before it (matmul_coopmat.glsl). So all loads are unconditional, from valid addresses, and
// operands_of() later converts them to operands and zeroes elements beyond an edge.
struct Words {
  uvec4 low, high;  // high: of f32 only
};
Words read_vec8(Rows rows, uint row, uint e) {
  const uint at = rows.at + min(row, max(rows.count, 1) - 1) * rows.stride;
  if (kAligned != 0) {
    const uint vec8 = (at + min(e, kWidth - 8)) / 8;
    if (rows.type != kF32) return Words(InU32x4(rows.memory).at[vec8], uvec4(0));
    return Words(InU32x4(rows.memory).at[2 * vec8], InU32x4(rows.memory).at[2 * vec8 + 1]);
  }
  Words words = Words(uvec4(0), uvec4(0));
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if (rows.type != kF32) {  // E is even, and so is `at`
      words.low[i] = InU32(uvec2(rows.memory)).at[(at + min(e + 2 * i, kWidth - 2)) / 2];
    } else {
      words.low[i] = InU32(uvec2(rows.memory)).at[at + min(e + i, kWidth - 1)];
      words.high[i] = InU32(uvec2(rows.memory)).at[at + min(e + 4 + i, kWidth - 1)];
    }
  }
  return words;
}
uvec4 operands_of(Words words, Rows rows, uint row, uint e) {
  uvec4 vec8 = words.low;
  if (rows.type == kF32) {
    const vec4 low = uintBitsToFloat(words.low), high = uintBitsToFloat(words.high);
    vec8 = uvec4(pack_operands(low.xy), pack_operands(low.zw), pack_operands(high.xy), pack_operands(high.zw));
  }
  if (row >= rows.count) return uvec4(0);
  if (kWide != kWidth)
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      if (e + 2 * i >= kWidth) vec8[i] = 0;
      if (e + 2 * i + 1 == kWidth) vec8[i] &= 0xFFFFu;
    }
  return vec8;
}
uvec4 read_operands(Rows rows, uint row, uint e) { return operands_of(read_vec8(rows, row, e), rows, row, e); }

// Mask with 1 bits for the operands of a pair that are infinite or NaN.
uint non_finite(uint pair) {
  return ((pair & kOperandExponentMask) == kOperandExponentMask ? 0xFFFFu : 0u) |
         ((pair & kOperandExponentMask << 16) == kOperandExponentMask << 16 ? 0xFFFF0000u : 0u);
}
uvec4 non_finite(uvec4 vec8) { return uvec4(non_finite(vec8.x), non_finite(vec8.y), non_finite(vec8.z), non_finite(vec8.w)); }

// A thread's part of a tile of streamed rows, staged in shared memory: its i-th chunk of 8 elements, and the place in
// the tile. Chunks beyond the tile are fetched too, but not stored.
const uint kChunksOfRow = kWide / 8;
const uint kChunks = (kCols * kChunksOfRow + kWorkgroup - 1) / kWorkgroup;
uint chunk(uint i) { return gl_LocalInvocationIndex + i * kWorkgroup; }
bool in_tile(uint chunk) { return chunk < kCols * kChunksOfRow; }
uint chunk_slot(uint chunk) { return chunk / kChunksOfRow * kStreamedStride + chunk % kChunksOfRow; }
uint chunk_row(uint i) { return chunk(i) / kChunksOfRow; }
uint chunk_element(uint i) { return 8 * (chunk(i) % kChunksOfRow); }
void fetch(out Words words[kChunks], Rows rows) {
  [[unroll]] for (uint i = 0; i < kChunks; ++i) words[i] = read_vec8(rows, chunk_row(i), chunk_element(i));
}
void take(out uvec4 chunks[kChunks], Words words[kChunks], Rows rows) {
  [[unroll]] for (uint i = 0; i < kChunks; ++i) chunks[i] = operands_of(words[i], rows, chunk_row(i), chunk_element(i));
}
void put(uvec4 chunks[kChunks], uint tile) {
  [[unroll]] for (uint i = 0; i < kChunks; ++i)
    if (in_tile(chunk(i))) streamed[tile * kCols * kStreamedStride + chunk_slot(chunk(i))] = chunks[i];
}
// The same for `part`, kCols rows, of the held rows.
void store_resident(uvec4 chunks[kChunks], uint tile, uint part) {
  [[unroll]] for (uint i = 0; i < kChunks; ++i)
    if (in_tile(chunk(i))) resident[(tile * kRows + part * kCols) * kStreamedStride + chunk_slot(chunk(i))] = chunks[i];
}
// After the next barrier, any_found() tells all threads whether one of them called publish_found(true). The caller needs a
// barrier between any_found() and the next publish_found().
bool has_non_finite(uvec4 chunks[kChunks]) {
  uvec4 found = uvec4(0);
  [[unroll]] for (uint i = 0; i < kChunks; ++i)
    if (in_tile(chunk(i))) found |= non_finite(chunks[i]);
  return found != uvec4(0);
}
void publish_found(bool found) {
  const bool any = subgroupAny(found);
  if (gl_SubgroupInvocationID == 0) found_s[gl_SubgroupID] = any ? 1 : 0;
}
bool any_found() {
  uint any = 0;
  for (uint i = 0; i < kWorkgroup / kSubgroup; ++i) any |= found_s[i];
  return any != 0;
}
// Sets infinities and NaNs of a tile to 0. Call between barriers.
void clear_non_finite(uint tile) {
  for (uint at = gl_LocalInvocationIndex; in_tile(at); at += kWorkgroup) {
    const uint slot = tile * kCols * kStreamedStride + chunk_slot(at);
    streamed[slot] &= ~non_finite(streamed[slot]);
  }
}

// If one was found, clears the non-finite values of the first `tiles` tiles of streamed rows and returns true.
bool clear_found(uint tiles) {
  if (!any_found()) return false;
  for (uint tile = 0; tile < tiles; ++tile) clear_non_finite(tile);
  barrier();
  return true;
}

// ---- fragments ----

// Loads the subgroup's held rows into fragments, if they are in `part`, which is in a tile of streamed rows.
void hold(inout FragmentA held[kFragmentsM][kSteps], uint tile, uint part) {
  if (sub_row() / kCols == part)
    [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
      [[unroll]] for (uint e = 0; e < kSteps; ++e)
        coopMatLoad(held[i][e], streamed, (tile * kCols + sub_row() % kCols + i * kFragmentRows) * kStreamedStride + e * kFragmentDepth / 8, kStreamedStride,
                    gl_CooperativeMatrixLayoutRowMajor);
}
// s += held rows times streamed rows, both of `tile`. `held` is used when the held rows are fragments.
void multiply_rows(inout FragmentSum s[kFragmentsM][kScoreFragments], FragmentA held[kFragmentsM][kSteps], uint tile) {
  [[unroll]] for (uint e = 0; e < kSteps; ++e) {
    FragmentA a[kFragmentsM];
    [[unroll]] for (uint i = 0; i < kFragmentsM; ++i) {
      const uint at = (tile * kRows + sub_row() + i * kFragmentRows) * kStreamedStride + e * kFragmentDepth / 8;
      if (kResidentShared != 0) coopMatLoad(a[i], resident, at, kStreamedStride, gl_CooperativeMatrixLayoutRowMajor);
      else a[i] = held[i][e];
    }
    [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) {
      FragmentB b;
      coopMatLoad(b, streamed, (tile * kCols + subgroup_n() * kScoreCols + j * kFragmentCols) * kStreamedStride + e * kFragmentDepth / 8, kStreamedStride,
                  gl_CooperativeMatrixLayoutColumnMajor);
      [[unroll]] for (uint i = 0; i < kFragmentsM; ++i) s[i][j] = coopMatMulAdd(a[i], b, s[i][j]);
    }
  }
}
// result += the operands in `scores` times streamed rows of `tile`.
void multiply_scores(inout FragmentSum result[kFragmentsM][kOutFragments], uint tile) {
  for (uint step = 0; step < kCols; step += kFragmentDepth) {
    FragmentA a[kFragmentsM];
    [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
      coopMatLoad(a[i], scores, operand_at(sub_row() + i * kFragmentRows, step), kScoreStride, gl_CooperativeMatrixLayoutRowMajor);
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n) {
      FragmentB b;
      coopMatLoad(b, streamed, (tile * kCols + step) * kStreamedStride + (subgroup_n() * kOutCols + n * kFragmentCols) / 8, kStreamedStride,
                  gl_CooperativeMatrixLayoutRowMajor);
      [[unroll]] for (uint i = 0; i < kFragmentsM; ++i) result[i][n] = coopMatMulAdd(a[i], b, result[i][n]);
    }
  }
}
// Stores a fragment in the subgroup's part of `scores`, as its column j.
void put_fragment(FragmentSum fragment, uint i, uint j) {
  coopMatStore(fragment, scores, score_at(sub_row() + i * kFragmentRows) + j * kFragmentCols / 4, kScoreStride, gl_CooperativeMatrixLayoutRowMajor);
}
void put_scores(FragmentSum s[kFragmentsM][kScoreFragments]) {
  [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
    [[unroll]] for (uint j = 0; j < kScoreFragments; ++j) put_fragment(s[i][j], i, j);
}
// Stores columns block * kScoreCols.. of a result in `scores`.
void put_block(FragmentSum result[kFragmentsM][kOutFragments], uint block) {
  [[unroll]] for (uint i = 0; i < kFragmentsM; ++i)
    [[unroll]] for (uint n = 0; n < kOutFragments; ++n)
      if (n / kScoreFragments == block) put_fragment(result[i][n], i, n % kScoreFragments);
}
// Loads a lane's columns of a row of `scores` as f32; stores them as operands in place. Needs a subgroupBarrier()
// between.
void take_lane(out vec4 p[kVec4s], uint row) {
  [[unroll]] for (uint c = 0; c < kVec4s; ++c) p[c] = uintBitsToFloat(scores[score_at(row) + lane_part() * kPartCols / 4 + c]);
}
void put_lane(vec4 p[kVec4s], uint row) {
  [[unroll]] for (uint c = 0; c < kPartCols / 8; ++c)
    scores[score_at(row) + lane_part() * kPartCols / 8 + c] =
        uvec4(pack_operands(p[2 * c].xy), pack_operands(p[2 * c].zw), pack_operands(p[2 * c + 1].xy), pack_operands(p[2 * c + 1].zw));
}

// ---- results ----

// Defined by each kernel: mask with 1 bits for those of elements e.. of a held row that a non-finite streamed row
// reaches.
uvec4 nan_mask(uint result, uint row, uint e);
// Defined by each kernel: transforms elements e.. of a held row before they are stored.
void transform_vec8(uint result, uint row, uint e, inout vec4 low, inout vec4 high);

void put_nan(inout vec4 low, inout vec4 high, uvec4 nan) {
  [[unroll]] for (uint i = 0; i < 4; ++i) {
    if ((nan[i / 2] >> 16 * (i % 2) & 1) != 0) low[i] = uintBitsToFloat(0x7FC00000);
    if ((nan[2 + i / 2] >> 16 * (i % 2) & 1) != 0) high[i] = uintBitsToFloat(0x7FC00000);
  }
}

// Stores eight f32 results as elements e.. of a row.
void write_vec8(OutReal to, uint at, uint e, vec4 low, vec4 high) {
  if (kResultType != kF32) {
    const uvec4 words = uvec4(pack_operands(low.xy), pack_operands(low.zw), pack_operands(high.xy), pack_operands(high.zw));
    if (kAligned != 0) OutU32x4(to).at[at / 8] = words;
    else
      [[unroll]] for (uint i = 0; i < 4; ++i)
        if (e + 2 * i < kWidth) OutU32(to).at[at / 2 + i] = words[i];
  } else if (kAligned != 0) {
    OutF32x4(to).at[at / 4] = low;
    OutF32x4(to).at[at / 4 + 1] = high;
  } else {
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      if (e + i < kWidth) OutF32(to).at[at + i] = low[i];
      if (e + i + 4 < kWidth) OutF32(to).at[at + i + 4] = high[i];
    }
  }
}

// Writes columns first.. (kScoreCols of them) of this subgroup's part of a result, f32 in its part of `scores`, times
// `factor`. Row r of the tile goes to element `at + r * stride` of memory; `count` rows exist. `found`: apply
// nan_mask().
void write_columns(OutReal to, uint at, uint stride, uint count, uint first, float factor, uint result, bool found) {
  [[dont_unroll]] for (uint i = gl_SubgroupInvocationID; i < kSubgroupRows * (kScoreCols / 8); i += kSubgroup) {
    const uint row = sub_row() + i / (kScoreCols / 8), col = 8 * (i % (kScoreCols / 8));
    const uint e = subgroup_n() * kOutCols + first + col;
    if (row >= count || first + col >= kOutCols || e >= kWidth) continue;
    const uint slot = score_at(row) + col / 4;
    vec4 low = uintBitsToFloat(scores[slot]) * factor, high = uintBitsToFloat(scores[slot + 1]) * factor;
    if (found) put_nan(low, high, nan_mask(result, row, e));
    transform_vec8(result, row, e, low, high);
    write_vec8(to, at + row * stride + e, e, low, high);
  }
}
