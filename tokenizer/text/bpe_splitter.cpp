// The expressions are those of the tokenizer.json files of GPT-2, Llama 3 and SmolLM. Their \s is Unicode's White_Space, and PCRE2's has
// U+180E besides, so it is spelled out. Which characters are letters and numbers depends on the library's version of Unicode: newly assigned ones
// may be split otherwise.

#include "tokenizer/text/bpe_splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdint>
#include <string>

#include "engine/base/error.h"

namespace lapilli {

const std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

constexpr std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// SmolLM cuts out each digit first and applies GPT-2's expression to what is between, which a digit ends as the end of the text does.
constexpr std::string_view kSmollmPattern = R"(\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+)";

constexpr std::string_view kWhiteSpace = R"(\x09-\x0d\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

std::string_view pattern_of(BpeSplitter splitter) {
  switch (splitter) {
    case BpeSplitter::gpt2: return kGpt2Pattern;
    case BpeSplitter::llama3: return kLlama3Pattern;
    case BpeSplitter::smollm: return kSmollmPattern;
  }
  return {};
}

// With \s and \S spelled out, inside brackets and outside of them.
std::string with_white_space(std::string_view pattern) {
  std::string spelled;
  bool in_brackets = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '[') in_brackets = true;
    if (pattern[i] == ']') in_brackets = false;
    const bool is_space = pattern.substr(i).starts_with("\\s");
    if (!is_space && !pattern.substr(i).starts_with("\\S")) {
      spelled += pattern[i];
      continue;
    }
    ++i;
    if (in_brackets) spelled += kWhiteSpace;
    else spelled += fmt::format("[{}{}]", is_space ? "" : "^", kWhiteSpace);
  }
  return spelled;
}

struct Free {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

struct WordSplitter::Impl {
  explicit Impl(BpeSplitter splitter) {
    const std::string pattern = with_white_space(pattern_of(splitter));
    int error = 0;
    PCRE2_SIZE at = 0;
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &at,
                             nullptr));
    CHECK(code != nullptr, "PCRE2 error {} at {} of {}", error, at, pattern);
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);  // where it cannot, matching is slower
    data.reset(pcre2_match_data_create(1, nullptr));
    context.reset(pcre2_match_context_create(nullptr));
    CHECK(data != nullptr && context != nullptr);
    pcre2_set_match_limit(context.get(), UINT32_MAX);  // its default would refuse millions of spaces in a row
  }

  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_data, Free> data;
  std::unique_ptr<pcre2_match_context, Free> context;
};

WordSplitter::WordSplitter(BpeSplitter splitter) : impl_(std::make_unique<Impl>(splitter)) {}
WordSplitter::~WordSplitter() = default;
WordSplitter::WordSplitter(WordSplitter&&) noexcept = default;
WordSplitter& WordSplitter::operator=(WordSplitter&&) noexcept = default;

size_t WordSplitter::first_word(std::string_view text, bool is_end) {
  const uint32_t options = PCRE2_NO_UTF_CHECK | (is_end ? 0U : PCRE2_PARTIAL_HARD);  // hard: the end was looked at before there was a match
  const int matches =
      pcre2_match(impl_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, options, impl_->data.get(), impl_->context.get());
  if (matches == PCRE2_ERROR_PARTIAL) return 0;
  if (matches < 0) throw Error("the regular expression of the tokenizer fails on this text: PCRE2 error {}", matches);
  const size_t end = pcre2_get_ovector_pointer(impl_->data.get())[1];
  CHECK(end > 0, "an empty word");  // the expressions match every character, and at least one
  return end;
}

}  // namespace lapilli
