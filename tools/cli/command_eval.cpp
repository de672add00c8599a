// lapilli eval: exact loss, perplexity and bits per byte of a checkpoint on tokens or text.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/base/staged_folder.h"
#include "model/train/evaluation.h"
#include "shaders/embedded_shaders.h"
#include "tokenizer/data/corpus_encoder.h"
#include "tokenizer/data/dataset.h"
#include "tools/check/check_memory.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/loaded_model.h"
#include "tools/common/text_warnings.h"

namespace lapilli {

namespace {

struct EvalOptions {
  std::string checkpoint, data, split = "val", device;
  std::optional<KernelClass> kernels;
  uint32_t context = 0, batch = 0;  // 0: the run's, or what the text needs
  uint32_t stride = 0;              // 0: the context
  bool as_json = false;
};

bool is_shard(const std::filesystem::path& path) {
  char magic[8] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::memcmp(magic, "LAPSHRD\n", sizeof magic) == 0;
}

// What is scored, and how much of its text the tokens lose: known only for a text, which is tokenized here as by `data build`.
struct EvalData {
  TokenShard shard;
  uint64_t lost_bytes = 0;
};

EvalData tokenize_text(const std::filesystem::path& text, const Tokenizer& tokenizer, const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "text.bin";
  TokenShardWriter writer(path, shard_options(tokenizer));
  const EncodedCorpus encoded = encode_corpus(writer, tokenizer, {&text, 1});
  const uint64_t lost_bytes = encoded.text_bytes(0, writer.token_count()).lost;
  writer.finish();
  return {TokenShard(path, TokenShard::Verify::kAll, text.string()), lost_bytes};
}

EvalData open_data(const EvalOptions& options, const LoadedModel& model, std::optional<StagedFolder>& temporary) {
  const std::filesystem::path data = options.data;
  if (!std::filesystem::exists(data)) throw Error("'{}' does not exist", options.data);
  if (!std::filesystem::is_directory(data)) {
    if (is_shard(data)) return {TokenShard(data)};
    temporary.emplace(std::filesystem::temp_directory_path() / "lapilli-eval");
    return tokenize_text(data, model.tokenizer(), temporary->path());
  }
  const std::filesystem::path shard = data / (options.split == "train" ? kTrainShardName : kValShardName);
  if (!std::filesystem::exists(shard))
    throw Error("'{}' does not exist; --data takes a folder made by `lapilli data build`, a token shard or a text file", shard.string());
  return {TokenShard(shard)};
}

// The pass's shape: a short text does not pay for the run's batch and context.
struct Windows {
  uint32_t context, batch, stride;
};

Windows choose_windows(const EvalOptions& options, const Config& config, uint64_t tokens) {
  const uint32_t most = options.context > 0 ? options.context : config.model.context;
  if (most > config.model.context)
    throw UsageError("--context", fmt::format("{} is more than the model's context of {}", most, config.model.context));
  if (options.stride > most) throw UsageError("--stride", fmt::format("{} is more than the context of {}", options.stride, most));
  Windows windows{};
  windows.context = options.context > 0 ? most : static_cast<uint32_t>(std::min<uint64_t>(most, tokens - 1));
  windows.stride = options.stride > 0 ? std::min(options.stride, windows.context) : windows.context;
  const uint64_t needed = (tokens - 1 + windows.stride - 1) / windows.stride;
  windows.batch = options.batch > 0 ? options.batch : static_cast<uint32_t>(std::min<uint64_t>(config.data.batch, needed));
  return windows;
}

nlohmann::ordered_json to_json(const EvaluationResult& result, const LoadedModel& model, const EvalData& data, const Windows& windows) {
  const TokenShard& shard = data.shard;
  nlohmann::ordered_json json{{"checkpoint", model.checkpoint().folder.string()},
                              {"step", model.checkpoint().state.step},
                              {"data", shard.name()},
                              {"context", windows.context},
                              {"stride", windows.stride},
                              {"tokens", result.tokens},
                              {"loss", result.loss},
                              {"perplexity", result.perplexity},
                              {"bits_per_byte", std::isfinite(result.bits_per_byte) ? nlohmann::ordered_json(result.bits_per_byte) : nullptr},
                              {"top1", result.top1},
                              {"stderr", result.standard_error}};
  if (data.lost_bytes > 0) json["lost_bytes"] = data.lost_bytes;
  if (const double nats = shard.source_entropy_nats(); std::isfinite(nats)) json["source_entropy"] = nats / static_cast<double>(shard.token_count());
  return json;
}

// The precision of the training run if this device supports it; else f32.
Precision scoring_precision(const DeviceCaps& caps, Precision trained) {
  try {
    matmul_kernel(caps, trained);
    return trained;
  } catch (const Error& error) {
    log_warning("scored in f32: {}", error.what());
    return Precision::f32;
  }
}

void evaluate(const EvalOptions& options) {
  LoadedModel model(options.checkpoint, {.selector = options.device, .kernel_class = options.kernels});
  const Config& config = model.config();
  std::optional<StagedFolder> temporary;
  const EvalData data = open_data(options, model, temporary);
  const TokenShard& shard = data.shard;
  if (shard.token_count() < 2) throw Error("'{}' has {} token(s): evaluation needs at least 2", shard.name(), shard.token_count());
  shard.require_tokenizer(model.checkpoint().state.tokenizer_hash, "the checkpoint");

  const Windows windows = choose_windows(options, config, shard.token_count());
  const Precision precision = scoring_precision(model.device().caps(), config.train.precision);
  check::require_right_kernels(model.device().caps(), embedded_shaders_hash(), precision);
  EvaluationPass pass(model.device(), model.kept(), model.scratch(), config.model, config.loss, precision, windows.batch, windows.context,
                      config.data.document_mask);
  model.commit();
  pass.record(model.kernels(), model.weights());
  warn_of_lost_text(shard.name(), data.lost_bytes, shard.text_bytes());
  const EvaluationResult result = pass.run(shard, UINT64_MAX, windows.stride);
  if (options.as_json) return print(json_text(to_json(result, model, data, windows), 2) + "\n");
  print(fmt::format("checkpoint     {} (step {})\n", model.checkpoint().folder.string(), model.checkpoint().state.step));
  print(fmt::format("data           {}: {} tokens scored, context {}, stride {}\n", options.data, group_digits(result.tokens), windows.context,
                    windows.stride));
  print(fmt::format("loss           {:.4f} +- {:.4f} nats per token\n", result.loss, result.standard_error));
  if (const double nats = shard.source_entropy_nats(); std::isfinite(nats))
    print(fmt::format("source entropy {:.4f} nats per token: the lower bound for any model\n", nats / static_cast<double>(shard.token_count())));
  print(fmt::format("perplexity     {:.3f}\n", result.perplexity));
  if (std::isfinite(result.bits_per_byte)) print(fmt::format("bits per byte  {:.4f}\n", result.bits_per_byte));
  print(fmt::format("top-1          {:.1f} %\n", 100 * result.top1));
}

}  // namespace

void add_eval_command(Command& program) {
  Command* command = program.add_subcommand("eval", "Exact loss and perplexity of a checkpoint");
  command->footer(
      "Predicts every token but the first once, from the tokens before it in its window. --stride S slides the "
      "window,\nso that each token has at least context - S tokens before it: lower loss, more work.\n"
      "Example: lapilli eval runs/first --data stories");
  const auto options = std::make_shared<EvalOptions>();
  add_checkpoint_argument(*command, options->checkpoint);
  command->add_option("--data", options->data, "Folder made by `data build`, a token shard, or a text file")->required()->type_name("DIR|FILE");
  command->add_option("--split", options->split, "Which part of a folder: train or val")->check(one_of({"train", "val"}))->capture_default_str();
  command->add_option("--context", options->context, "Tokens of a window, at most the model's (default)")->check(positive())->type_name("T");
  command->add_option("--batch", options->batch, "Windows at a time (default: the run's data.batch)")->check(positive())->type_name("B");
  command->add_option("--stride", options->stride, "Tokens from window to window (default: the context)")->check(positive())->type_name("S");
  add_device_option(*command, options->device);
  add_kernels_option(*command, options->kernels);
  command->add_flag("--json", options->as_json, "Print a JSON object instead of text");
  command->callback([options] { evaluate(*options); });
}

}  // namespace lapilli
