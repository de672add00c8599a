// lapilli chat: a conversation with a model.

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "engine/base/log.h"
#include "tools/cli/text_generation.h"
#include "tools/common/console.h"
#include "tools/common/conversation.h"

namespace lapilli {

namespace {

struct ChatOptions : TextGenerationOptions {
  std::string form, system;
};

volatile std::sig_atomic_t interrupted = 0;

// While it lives, Ctrl-C ends the answer and not the program.
class InterruptsAnswer {
 public:
  InterruptsAnswer() {
    interrupted = 0;
    std::signal(SIGINT, [](int) { interrupted = 1; });
  }
  ~InterruptsAnswer() { std::signal(SIGINT, SIG_DFL); }
  InterruptsAnswer(const InterruptsAnswer&) = delete;
};

// False at the end of the input, or when the user wants to leave.
bool read_question(std::string& question, bool asks) {
  do {
    if (asks) print("> ");
    flush_output();
    if (!std::getline(std::cin, question)) {
      if (asks) print("\n");
      return false;
    }
    if (question == "/exit" || question == "/quit") return false;
  } while (question.empty());
  return true;
}

// Prints what of the answer's text has not been printed and cannot become part of the template any more.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(const Conversation& conversation) : conversation_(conversation) {}

  void print_new(const std::vector<uint32_t>& answer, bool is_end) {
    const std::string text = conversation_.text_of(answer);
    const size_t held = is_end ? 0 : text.size() - std::min(text.rfind('\n'), text.size());  // a new line may begin the next question
    if (text.size() - held <= printed_) return;
    stream_.print(text.substr(printed_, text.size() - held - printed_));
    printed_ = text.size() - held;
  }

 private:
  const Conversation& conversation_;
  TextStream stream_;
  size_t printed_ = 0;
};

void chat(const ChatOptions& options) {
  TextGenerator generator(options);
  const ChatTemplate form = options.form.empty()       ? chat_template_of(generator.tokenizer())
                            : options.form == "chatml" ? ChatTemplate::chatml
                                                       : ChatTemplate::plain;
  Conversation conversation(generator.tokenizer(), form, options.system);
  const bool asks = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  if (asks)
    print(fmt::format("template {}, context of {} tokens; an empty line is ignored, Ctrl-C ends an answer, Ctrl-D or /exit the conversation\n",
                      kChatTemplateNames[static_cast<size_t>(form)], generator.context()));
  std::string question;
  for (uint32_t turn = 0; read_question(question, asks); ++turn) {
    const size_t dropped_before = conversation.dropped_turns();
    const std::vector<uint32_t> prompt = conversation.ask(question, generator.context(), options.sampling.tokens);
    if (const size_t dropped = conversation.dropped_turns() - dropped_before; dropped > 0)
      log_warning("the context is full: the model no longer sees the {} oldest turns", conversation.dropped_turns());
    AnswerPrinter printer(conversation);
    std::vector<uint32_t> answer;
    const InterruptsAnswer interrupts;
    generator.generate(
        prompt, options.sampling,
        [&](uint32_t token) {
          answer.push_back(token);
          const bool ends = conversation.ends(answer) || interrupted != 0;
          printer.print_new(answer, ends);
          return !ends;
        },
        Generator::Cache::kept, turn);
    printer.print_new(answer, true);
    print("\n");
    conversation.answer(std::move(answer));
  }
}

}  // namespace

void add_chat_command(Command& program) {
  Command* command = program.add_subcommand("chat", "Talk with a model");
  command->footer(
      "Reads a question a line, and answers. The template: chatml where the vocabulary has <|im_start|> and <|im_end|>, else plain\n"
      "(\"User: ...\", \"Assistant: ...\"). What the model has read stays in its key/value cache; when the context is full, the oldest turns are\n"
      "dropped. From a pipe it reads all lines, and prints the answers alone.\n"
      "Example: lapilli import SmolLM2-135M-Instruct.gguf -o runs/smol && lapilli chat runs/smol");
  const auto options = std::make_shared<ChatOptions>();
  command->add_option("--template", options->form, "How turns are written (default: by the vocabulary)")
      ->check(one_of({"plain", "chatml"}))
      ->type_name("NAME");
  command->add_option("--system", options->system, "What the model is told before the first turn")->type_name("TEXT");
  add_text_generation_options(*command, *options);
  command->callback([options] { chat(*options); });
}

}  // namespace lapilli
