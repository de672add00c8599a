// Arguments of attention. See shaders/common/args.h.
#ifndef LAPILLI_SHADERS_ATTENTION_ARGS_H
#define LAPILLI_SHADERS_ATTENTION_ARGS_H

#include "shaders/common/args.h"

ARGS_BEGIN

// ---- attention_cpu.comp, attention_tiled.comp (f32 memory), attention_coopmat.comp ----
// SPEC_A_TYPE: qkv, SPEC_B_TYPE: d_attended, SPEC_C_TYPE: what is written. attention_delta.comp: A d_attended, B attended.
// qkv [N, (H + 2G)E]: a row holds the H query heads, then G key heads, then G value heads.
struct AttentionArgs {
  OutReal attended;        // [N, H*E]
  OutF32 lse;              // [B, H, T] log of the sum of exp(scores), nats
  InReal qkv;              // [N, (H + 2G)E]
  InU32 document_start;    // [N] first position, within the sequence, that a query may see; or null
  uint batch, context;     // B, T
  uint heads, kv_heads;    // H, G
  float scale;             // 1 / sqrt(E)
};

// ---- attention_delta.comp ----
struct AttentionDeltaArgs {
  OutF32 delta;            // [B, H, T] sum over E of d_attended * attended
  InReal d_attended, attended;  // [N, H*E]
  uint batch, context;
  uint heads;
};

// ---- attention_d_kv_*.comp (the key and value heads of d_qkv), attention_d_q_*.comp (its query heads) ----
struct AttentionBackwardArgs {
  OutReal d_qkv;           // [N, (H + 2G)E]: the columns of d_q, or those of d_k and d_v
  InReal qkv, d_attended;  // [N, (H + 2G)E], [N, H*E]
  InF32 lse, delta;        // [B, H, T]
  InU32 document_start;    // as in AttentionArgs
  InF32 cos_sin_table;             // RopeArgs::cos_sin_table to rotate d_q and d_k back (SPEC_ROTARY); or null
  uint batch, context;
  uint heads, kv_heads;
  float scale;
};

// ---- cache_append.comp, attention_cached.comp ----
// The keys and values of a layer: cache [T, 2, G*E], of each position its G key heads, then its G value heads.
struct CacheAppendArgs {
  OutF32 cache;
  InReal qkv;        // [rows, (H + 2G)E], of SPEC_A_TYPE
  InU32 position;    // [1] where the first row goes
  uint rows, context;
  uint query_width, kv_width;  // H*E, G*E
};
struct AttentionCachedArgs {
  OutF32 attended;  // [H*E]
  InF32 qkv;        // [(H + 2G)E] of the newest position: its queries
  InF32 cache;
  InU32 position;   // [1] the newest: it sees the cache's positions from 0 to itself
  uint heads, kv_heads;
  float scale;      // 1 / sqrt(E)
};

ARGS_END

#endif
