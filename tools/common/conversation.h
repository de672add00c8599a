#pragma once
// A conversation as a model's tokens: turns in a template, the oldest dropped when the context is full.
//
//   chatml   <|im_start|>user\n ... <|im_end|>\n<|im_start|>assistant\n ... <|im_end|>\n, where the vocabulary has both pieces
//   plain    User: ...\nAssistant: ...\n, for any model

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/text/tokenizer.h"

namespace lapilli {

enum class ChatTemplate { plain, chatml };
constexpr const char* kChatTemplateNames[] = {"plain", "chatml"};

// chatml where the vocabulary has its pieces, else plain.
ChatTemplate chat_template_of(const Tokenizer& tokenizer);

class Conversation {
 public:
  // `system`: what the model is told before all turns, never dropped; empty: nothing. Throws Error when the vocabulary lacks the template's
  // pieces. `tokenizer` must outlive it.
  Conversation(const Tokenizer& tokenizer, ChatTemplate form, const std::string& system);

  // The tokens to continue with the answer: all turns and a new one by the user. Drops the oldest turns while prompt and `answer_tokens` exceed
  // `context`; dropped_turns() says how many.
  std::vector<uint32_t> ask(const std::string& text, uint32_t context, uint32_t answer_tokens);
  size_t dropped_turns() const { return dropped_; }

  // Whether the answer, as tokens so far, has come to its end; the last token may then be a sign that belongs to the template.
  bool ends(const std::vector<uint32_t>& answer) const;
  // The answer's text without what belongs to the template.
  std::string text_of(const std::vector<uint32_t>& answer) const;
  // Adds the answer to the turns.
  void answer(std::vector<uint32_t> tokens);

 private:
  using Ids = std::vector<uint32_t>;
  struct Turn {
    Ids question, answer;  // with what surrounds them
  };
  void append_message(Ids& ids, const std::string& role, const std::string& text) const;
  void begin_answer(Ids& ids) const;

  const Tokenizer& tokenizer_;
  ChatTemplate form_;
  uint32_t start_ = 0, end_ = 0;  // of chatml
  Ids system_;
  std::deque<Turn> turns_;
  size_t dropped_ = 0;
};

}  // namespace lapilli
