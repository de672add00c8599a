// lapilli corpus synth: text whose entropy is known exactly.

#include <fmt/format.h>

#include <cmath>

#include "tokenizer/synth/synth.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"

namespace lapilli {

namespace {

struct SynthOptions {
  uint64_t bytes = 0, seed = 1;
  std::string output;
};

void synthesize(const SynthOptions& options) {
  const SynthSummary made = write_synth_corpus(options.output, options.bytes, options.seed);
  print(fmt::format("{}: {} bytes, {} stories (documents), seed {}\n", options.output, group_digits(made.bytes), group_digits(made.stories),
                    made.seed));
  print(fmt::format("entropy of the source: {:.4f} nats per byte ({:.4f} bits), the lower bound for any model\n", made.nats_per_byte,
                    made.nats_per_byte / std::log(2.0)));
}

}  // namespace

void add_corpus_command(Command& program) {
  Command* corpus = program.add_subcommand("corpus", "Make text to train on");
  require_command(*corpus);
  Command* synth = corpus->add_subcommand("synth", "Small stories from a grammar whose entropy is known exactly");
  synth->footer(
      "Also writes F.json (the exact entropy) and F.nats (-ln p of every story), which `data build` reads.\n"
      "Example: lapilli corpus synth --bytes 8M --seed 1 -o stories.txt");
  const auto options = std::make_shared<SynthOptions>();
  synth->add_option("--bytes", options->bytes, "Size of the text; k, M, G are 1000, 1000^2, 1000^3")
      ->required()
      ->transform(as_size())
      ->type_name("N");
  synth->add_option("--seed", options->seed, "The same seed gives the same text")->check(not_negative())->type_name("S")->capture_default_str();
  synth->add_option("-o,--output", options->output, "Text file to write")->required()->type_name("F");
  synth->callback([options] { synthesize(*options); });
}

}  // namespace lapilli
