#include "tools/common/conversation.h"

#include "engine/base/error.h"

namespace lapilli {

namespace {

constexpr std::string_view kStart = "<|im_start|>", kEnd = "<|im_end|>";
constexpr std::string_view kNextQuestion = "\nUser:";  // where a model without signs of its own ends its answer

std::optional<uint32_t> find_piece(const Tokenizer& tokenizer, std::string_view text) {
  for (uint32_t id = 0; id < tokenizer.vocab_size(); ++id)
    if (tokenizer.piece(id) == text) return id;
  return std::nullopt;
}

void append(std::vector<uint32_t>& ids, const std::vector<uint32_t>& more) { ids.insert(ids.end(), more.begin(), more.end()); }

}  // namespace

ChatTemplate chat_template_of(const Tokenizer& tokenizer) {
  return find_piece(tokenizer, kStart) && find_piece(tokenizer, kEnd) ? ChatTemplate::chatml : ChatTemplate::plain;
}

Conversation::Conversation(const Tokenizer& tokenizer, ChatTemplate form, const std::string& system) : tokenizer_(tokenizer), form_(form) {
  if (form == ChatTemplate::chatml) {
    const std::optional<uint32_t> start = find_piece(tokenizer, kStart), end = find_piece(tokenizer, kEnd);
    if (!start || !end) throw Error("the model's vocabulary lacks {} or {}: use --template plain", kStart, kEnd);
    start_ = *start;
    end_ = *end;
  }
  if (!system.empty()) append_message(system_, "system", system);
}

void Conversation::append_message(Ids& ids, const std::string& role, const std::string& text) const {
  if (form_ == ChatTemplate::plain) {
    append(ids, tokenizer_.encode((role == "user" ? "User: " : "") + text + "\n"));
    return;
  }
  ids.push_back(start_);
  append(ids, tokenizer_.encode(role + "\n" + text));
  ids.push_back(end_);
  append(ids, tokenizer_.encode("\n"));
}

void Conversation::begin_answer(Ids& ids) const {
  if (form_ == ChatTemplate::chatml) ids.push_back(start_);
  append(ids, tokenizer_.encode(form_ == ChatTemplate::chatml ? "assistant\n" : "Assistant:"));
}

std::vector<uint32_t> Conversation::ask(const std::string& text, uint32_t context, uint32_t answer_tokens) {
  Turn turn;
  append_message(turn.question, "user", text);
  begin_answer(turn.question);
  turns_.push_back(std::move(turn));
  const auto prompt = [&] {
    Ids ids = system_;
    for (const Turn& each : turns_) {
      append(ids, each.question);
      append(ids, each.answer);
    }
    return ids;
  };
  Ids ids = prompt();
  while (turns_.size() > 1 && ids.size() + answer_tokens > context) {
    turns_.pop_front();
    ++dropped_;
    ids = prompt();
  }
  return ids;
}

bool Conversation::ends(const Ids& answer) const {
  if (form_ == ChatTemplate::chatml) return !answer.empty() && answer.back() == end_;
  return tokenizer_.decode(answer).find(kNextQuestion) != std::string::npos;
}

std::string Conversation::text_of(const Ids& answer) const {
  std::string text = tokenizer_.decode(answer);  // signs of the template give nothing
  if (form_ == ChatTemplate::plain) text.resize(std::min(text.find(kNextQuestion), text.size()));
  return text;
}

void Conversation::answer(Ids tokens) {
  CHECK(!turns_.empty());
  if (form_ == ChatTemplate::chatml) {
    if (tokens.empty() || tokens.back() != end_) tokens.push_back(end_);
    append(tokens, tokenizer_.encode("\n"));
  } else {
    // The tokens as they were drawn, which need not be text, up to the sign.
    const size_t size = text_of(tokens).size();
    while (tokenizer_.decode(tokens).size() > size) tokens.pop_back();
    append(tokens, tokenizer_.encode("\n"));
  }
  turns_.back().answer = std::move(tokens);
}

}  // namespace lapilli
