// Rotary position embedding: rotates pairs (a, b) of adjacent elements 2i, 2i + 1 of a head by the angle with (cosine,
// sine) `cos_sin`.
vec2 rotate(vec2 pair, vec2 cos_sin) { return vec2(pair.x * cos_sin.x - pair.y * cos_sin.y, pair.x * cos_sin.y + pair.y * cos_sin.x); }
vec2 rotate_back(vec2 pair, vec2 cos_sin) { return rotate(pair, vec2(cos_sin.x, -cos_sin.y)); }
// (cosine, sine) of the pair that begins at element `at` of a cos/sin table.
vec2 load_cos_sin(InF32 cos_sin_table, uint at) { return vec2(cos_sin_table.at[at], cos_sin_table.at[at + 1]); }
// Two pairs, the first with element `at` of the table; `count` of the four elements are valid, at least 2.
void rotate_vec4_back(inout vec4 pairs, InF32 cos_sin_table, uint at, uint count) {
  pairs.xy = rotate_back(pairs.xy, load_cos_sin(cos_sin_table, at));
  if (count > 2) pairs.zw = rotate_back(pairs.zw, load_cos_sin(cos_sin_table, at + 2));
}
