#pragma once
// A file of tests/torch/goldens: the configuration of its model, and its micro-batches.

#include <memory>

#include "model/io/safetensors.h"
#include "model/transformer/parameters.h"
#include "tokenizer/data/batch_stream.h"

namespace lapilli::test {

struct GoldenModel {
  explicit GoldenModel(const std::string& name)
      : file_(std::filesystem::path(LAPILLI_SOURCE_DIR) / "tests/torch/goldens" / fmt::format("{}.safetensors", name)) {
    const auto number = [&](const char* key) { return std::stod(file_.metadata().at(key)); };
    const auto whole = [&](const char* key) { return static_cast<uint32_t>(number(key)); };
    const bool llama = file_.metadata().at("arch") == "llama";
    config_.model = {.arch = llama ? Arch::llama : Arch::gpt2,
                     .layers = whole("layers"),
                     .heads = whole("heads"),
                     .kv_heads = whole("kv_heads"),
                     .dim = whole("dim"),
                     .ffn_dim = whole("ffn"),
                     .context = whole("context"),
                     .norm = llama ? NormKind::rmsnorm : NormKind::layernorm,
                     .mlp = llama ? MlpKind::swiglu : MlpKind::gelu,
                     .position = llama ? PositionKind::rope : PositionKind::learned,
                     .bias = !llama,
                     .tie_embeddings = file_.metadata().at("tied") == "true",
                     .vocab_size = whole("vocab")};
    config_.data = {.batch = whole("batch"), .accumulate = whole("micro_batches")};
    config_.optim = {.lr = number("lr"),
                     .weight_decay = number("weight_decay"),
                     .beta1 = number("beta1"),
                     .beta2 = number("beta2"),
                     .eps = number("adam_eps"),
                     .clip = number("clip")};
    if (file_.metadata().contains("dropout")) config_.model.dropout = static_cast<float>(number("dropout"));
    config_.data.document_mask = file_.contains("document_start/0");
    table_ = std::make_unique<ParameterTable>(config_.model);
    for (uint32_t m = 0; m < config_.data.accumulate; ++m) batches_.push_back(read_batch(m));
  }

  Batch read_batch(uint32_t m) const {
    const auto integers = [&](const std::string& name) {
      const std::vector<int32_t> values = file_.read<int32_t>(fmt::format("{}/{}", name, m));
      return std::vector<uint32_t>(values.begin(), values.end());  // -1, no target, becomes kIgnoreIndex
    };
    Batch batch{.index = m, .batch = config_.data.batch, .context = config_.model.context};
    batch.inputs = integers("input");
    batch.targets = integers("target");
    batch.weights = file_.read<float>(fmt::format("weight/{}", m));
    batch.document_start = config_.data.document_mask ? integers("document_start") : std::vector<uint32_t>(batch.inputs.size());
    sort_by_token(batch);
    return batch;
  }

  SafetensorsFile file_;
  Config config_;
  std::unique_ptr<ParameterTable> table_;
  std::vector<Batch> batches_;
};

}  // namespace lapilli::test
