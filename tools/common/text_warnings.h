#pragma once
// What data build, eval and tokenizer say about a text that its tokens do not give back whole.

#include <cstdint>
#include <string_view>

namespace lapilli {

// A warning on stderr if a tokenizer made elsewhere loses `lost_bytes` of the `text_bytes` of `text`, a file name or several.
void warn_of_lost_text(std::string_view text, uint64_t lost_bytes, uint64_t text_bytes);

}  // namespace lapilli
