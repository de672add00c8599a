// Rotary position embedding: rotates pairs (a, b) of adjacent elements 2i, 2i + 1 of a head by the angle with (cosine,
// sine) `turn`.
vec2 turned(vec2 pair, vec2 turn) { return vec2(pair.x * turn.x - pair.y * turn.y, pair.x * turn.y + pair.y * turn.x); }
vec2 turned_back(vec2 pair, vec2 turn) { return turned(pair, vec2(turn.x, -turn.y)); }
// (cosine, sine) of the pair that begins at element `at` of a cos/sin table.
vec2 load_turn(InF32 turns, uint at) { return vec2(turns.at[at], turns.at[at + 1]); }
// Two pairs, the first with element `at` of the table; `count` of the four elements are valid, at least 2.
void turn_four_back(inout vec4 pairs, InF32 turns, uint at, uint count) {
  pairs.xy = turned_back(pairs.xy, load_turn(turns, at));
  if (count > 2) pairs.zw = turned_back(pairs.zw, load_turn(turns, at + 2));
}
