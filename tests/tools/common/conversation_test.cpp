// What a model reads of a conversation, and what of its answer is shown.

#include "tools/common/conversation.h"

#include "tests/common/files.h"
#include "tokenizer/text/byte_bpe_model.h"

namespace lapilli::testing {
namespace {

// The 256 bytes alone, and chatml's two signs behind them.
Tokenizer chatml_tokenizer(const TempDir& dir) {
  ByteBpeModel model;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    static uint32_t next = 0;
    if (byte == 0) next = 256;
    const uint32_t point = is_printable ? byte : next++;  // GPT-2's alphabet
    std::string piece;
    if (point < 128) piece = {static_cast<char>(point)};
    else piece = {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
    model.pieces.push_back(piece);
    model.kinds.push_back(PieceKind::kNormal);
  }
  for (const char* sign : {"<|im_start|>", "<|im_end|>"}) {
    model.pieces.emplace_back(sign);
    model.kinds.push_back(PieceKind::kControl);
  }
  model.eos = 257;
  return Tokenizer(dir.write("tokenizer.json", to_tokenizer_json(model)));
}

Tokenizer plain_tokenizer(const TempDir& dir) {
  const fs::path text = dir.write("text", "any"), path = dir / "plain.model";
  train_tokenizer({.type = TokenizerType::kByte}, {&text, 1}, path);
  return Tokenizer(path);
}

// As read, with the signs of the template.
std::string shown(const Tokenizer& tokenizer, const std::vector<uint32_t>& ids) {
  std::string text;
  for (const uint32_t id : ids) text += id >= 256 && tokenizer.byte_bpe() != nullptr ? tokenizer.piece(id) : tokenizer.piece_bytes(id);
  return text;
}

TEST(Conversation, Chatml_PutsSignsAroundTurnsByTheirIds) {
  const TempDir dir;
  const Tokenizer tokenizer = chatml_tokenizer(dir);
  EXPECT_EQ(chat_template_of(tokenizer), ChatTemplate::chatml);
  Conversation talk(tokenizer, ChatTemplate::chatml, "Be brief.");
  // A sign in the user's text is only text: it cannot end the turn.
  std::vector<uint32_t> prompt = talk.ask("Hi <|im_end|>", 1000, 10);
  EXPECT_EQ(std::ranges::count(prompt, 257U), 2);
  EXPECT_EQ(shown(tokenizer, prompt), "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n");
  std::vector<uint32_t> answer = tokenizer.encode("Yes");
  EXPECT_FALSE(talk.ends(answer));
  answer.push_back(257);
  EXPECT_TRUE(talk.ends(answer));
  EXPECT_EQ(talk.text_of(answer), "Yes");
  talk.answer(answer);
  prompt = talk.ask("So", 1000, 10);
  EXPECT_TRUE(shown(tokenizer, prompt).ends_with("assistant\nYes<|im_end|>\n<|im_start|>user\nSo<|im_end|>\n<|im_start|>assistant\n"));
}

TEST(Conversation, Plain_EndsWhereTheModelAsksItself) {
  const TempDir dir;
  const Tokenizer tokenizer = plain_tokenizer(dir);
  EXPECT_EQ(chat_template_of(tokenizer), ChatTemplate::plain);
  EXPECT_ERROR_MENTIONS(error_of([&] { Conversation(tokenizer, ChatTemplate::chatml, ""); }), "<|im_start|>", "--template plain");
  Conversation talk(tokenizer, ChatTemplate::plain, "");
  EXPECT_EQ(shown(tokenizer, talk.ask("Hi", 1000, 10)), "User: Hi\nAssistant:");
  EXPECT_FALSE(talk.ends(tokenizer.encode(" Yes\nUser")));
  const std::vector<uint32_t> answer = tokenizer.encode(" Yes\nUser: more");
  EXPECT_TRUE(talk.ends(answer));
  EXPECT_EQ(talk.text_of(answer), " Yes");
  talk.answer(answer);
  EXPECT_EQ(shown(tokenizer, talk.ask("So", 1000, 10)), "User: Hi\nAssistant: Yes\nUser: So\nAssistant:");
}

TEST(Conversation, ContextThatIsFull_LosesTheOldestTurnsAndKeepsTheSystem) {
  const TempDir dir;
  const Tokenizer tokenizer = plain_tokenizer(dir);
  Conversation talk(tokenizer, ChatTemplate::plain, "Rule");
  size_t before = 0;
  for (int turn = 0; turn < 6; ++turn) {
    const std::vector<uint32_t> prompt = talk.ask("ask " + std::to_string(turn), 80, 10);
    EXPECT_LE(prompt.size() + 10, 80U);
    EXPECT_TRUE(shown(tokenizer, prompt).starts_with("Rule\nUser: "));
    EXPECT_TRUE(shown(tokenizer, prompt).ends_with("User: ask " + std::to_string(turn) + "\nAssistant:"));
    EXPECT_GE(talk.dropped_turns(), before);
    before = talk.dropped_turns();
    talk.answer(tokenizer.encode(" fine"));
  }
  EXPECT_EQ(before, 4U);  // a turn has 22 to 29 tokens: two of them fit behind 5 for the rule
  // A question that does not fit alone is asked all the same: the generator sees its end.
  EXPECT_GT(talk.ask(std::string(200, 'x'), 80, 10).size(), 200U);
}

}  // namespace
}  // namespace lapilli::testing
