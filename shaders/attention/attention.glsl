// Shared by all attention kernels. Include after common.glsl; `kWidth` is E.
#extension GL_KHR_shader_subgroup_vote : require

#include "shaders/common/rotary.glsl"

layout(constant_id = SPEC_HEAD_WIDTH) const uint kWidth = 64;
layout(constant_id = SPEC_ROTARY) const uint kRotaryBackward = 0;  // backward: 1: rotates d_q and d_k back when storing them

const float kLowest = -1.7e38;  // below every score; finite, so that a difference of two is never inf - inf

// Drivers may compute with the bits of an argument or clamp it, and so return a number for a NaN (SwiftShader:
// log(NaN) = 88.7).
float exp_or_nan(float x) { return isnan(x) ? x : exp(x); }
float log_or_nan(float x) { return isnan(x) ? x : log(x); }

// Element 0 of a head in a row of qkv: heads 0..H-1 are queries, H..H+G-1 keys, then values.
uint qkv_at(uint token, uint head, uint heads, uint kv_heads) { return (token * (heads + 2 * kv_heads) + head) * kWidth; }

// The first position, within its sequence, that a token may attend to; 0 without documents: then `other` is read, which
// has at least one word per token. In two steps, to issue the load early.
uint read_start(InU32 document_start, InReal other, uint token) { return pointer_or(InU32, document_start, other).at[token]; }
uint start_as_read(InU32 document_start, uint read) { return is_null(document_start) ? 0 : read; }
uint start_at(InU32 document_start, InReal other, uint token) { return start_as_read(document_start, read_start(document_start, other, token)); }
