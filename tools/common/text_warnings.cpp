#include "tools/common/text_warnings.h"

#include "engine/base/log.h"
#include "tools/common/console.h"

namespace lapilli {

void warn_of_lost_text(std::string_view text, uint64_t lost_bytes, uint64_t text_bytes) {
  if (lost_bytes == 0) return;
  log_warning(
      "{}: {} of {} bytes of text ({:.2g} %) are lost: the tokenizer has no tokens for them, or changes them; one of `lapilli tokenizer train` does "
      "not",
      text, group_digits(lost_bytes), group_digits(text_bytes), 100 * static_cast<double>(lost_bytes) / static_cast<double>(text_bytes));
}

}  // namespace lapilli
