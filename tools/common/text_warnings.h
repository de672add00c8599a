#pragma once
// What data build, eval and generate say about a text that its tokens do not give back whole.

#include <cstdint>
#include <string_view>

namespace lapilli {

// A warning on stderr if a tokenizer made elsewhere loses `lost_bytes` of the `text_bytes` of `text`, the name of a file or a data set.
void warn_of_lost_text(std::string_view text, uint64_t lost_bytes, uint64_t text_bytes);

}  // namespace lapilli
