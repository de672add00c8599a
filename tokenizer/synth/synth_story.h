#pragma once
// The grammar of our little stories; see synth_grammar.h for how to read and extend it.

#include "tokenizer/synth/synth_grammar.h"

namespace lapilli {

const Grammar& story_grammar();

}  // namespace lapilli
