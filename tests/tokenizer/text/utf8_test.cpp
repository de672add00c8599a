// engine/base/utf8.h, here because these tests need no device.

#include "engine/base/utf8.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace lapilli::testing {
namespace {

TEST(FindInvalidUtf8, EveryCodePointAndEveryShortSequence_MatchesTheDefinition) {
  // By the definition: decode by bit patterns, then reject overlong forms, surrogates and values above U+10FFFF.
  const auto is_valid = [](const std::string& s) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
    const size_t length = byte(0) < 0x80 ? 1 : byte(0) >> 5 == 6 ? 2 : byte(0) >> 4 == 14 ? 3 : byte(0) >> 3 == 30 ? 4 : 0;
    if (length != s.size()) return false;
    uint32_t c = length == 1 ? byte(0) : byte(0) & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
      if (byte(i) >> 6 != 2) return false;
      c = c << 6 | (byte(i) & 63u);
    }
    constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    return c >= kLeast[length] && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
  };
  const std::string tails[] = {"\x80", "\x8F", "\x90", "\x9F", "\xA0", "\xBF", "a", "\xC3"};
  for (int lead = 1; lead < 256; ++lead) {
    const std::string one(1, static_cast<char>(lead));
    for (const std::string& a : tails) {
      EXPECT_EQ(find_invalid_utf8(one) == std::string_view::npos, is_valid(one));
      if (lead < 0xC0 || a == "a") continue;
      EXPECT_EQ(find_invalid_utf8(one + a) == std::string_view::npos, is_valid(one + a)) << lead;
      for (const std::string& b : tails) {
        if (lead < 0xE0) continue;
        EXPECT_EQ(find_invalid_utf8(one + a + b) == std::string_view::npos, is_valid(one + a + b)) << lead;
        if (lead < 0xF0) continue;
        const std::string four = one + a + b + "\x80";
        EXPECT_EQ(find_invalid_utf8(four) == std::string_view::npos, is_valid(four)) << lead;
      }
    }
  }
}

TEST(UnfinishedUtf8Bytes, EveryCutOfACharacter_IsCountedOnlyWhereItMayGoOn) {
  for (const std::string& character : {std::string("\xC3\xA9"), std::string("\xE6\xBC\xA2"), std::string("\xF0\x9F\x8C\xB1")}) {
    for (size_t cut = 0; cut <= character.size(); ++cut) {
      const size_t expected = cut == character.size() ? 0 : cut;
      EXPECT_EQ(unfinished_utf8_bytes(character.substr(0, cut)), expected);
      EXPECT_EQ(unfinished_utf8_bytes("text\xC3\xA9" + character.substr(0, cut)), expected);
    }
  }
  for (const std::string text : {"\x80", "a\xBF", "\xC3\xC3\xA9", "\xE0\x80", "\xED\xA0", "\xF4\x90", "\xFF", "\x80\x80\x80\x80"})
    EXPECT_EQ(unfinished_utf8_bytes(text), 0U) << "no character begins with these bytes";
}

TEST(Printable, ControlAndBrokenBytes_AreEscaped_AndTheRestStays) {
  const std::string plain = "two\tlines\n\\ of caf\xC3\xA9 \xE6\xBC\xA2 \xF0\x9F\x8C\xB1\xC2\xA0";
  EXPECT_EQ(printable(plain), plain);
  EXPECT_EQ(printable("\x1B[31mred\r\x7F"), "\\x1B[31mred\\x0D\\x7F");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\xC2\\x9B31m");  // U+009B begins a terminal's command, as ESC [ does
  EXPECT_EQ(printable("\xE6\xBC"), "\\xE6\\xBC");
  EXPECT_EQ(printable("\xE6\xC3\xA9\x80"), "\\xE6\xC3\xA9\\x80");
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xED\\xA0\\x80");
}

TEST(Printable, AnyTwoBytes_BecomeUtf8WithoutControls) {
  for (uint32_t a = 0; a < 256; ++a) {
    for (uint32_t b = 0; b < 256; ++b) {
      const std::string shown = printable(std::string{static_cast<char>(a), static_cast<char>(b)});
      EXPECT_EQ(find_invalid_utf8(shown), std::string_view::npos);
      for (const char c : shown) EXPECT_TRUE((static_cast<uint8_t>(c) >= 0x20 && c != 0x7F) || c == '\n' || c == '\t');
    }
  }
}

}  // namespace
}  // namespace lapilli::testing
