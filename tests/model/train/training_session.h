#pragma once
// A small model in training, for tests of the training step as a whole.

#include "model/train/training_memory.h"
#include "tests/common/support.h"

namespace lapilli::test {

inline Config small_config() {
  Config config;
  config.model = {.layers = 2,
                  .heads = 4,
                  .kv_heads = 2,
                  .dim = 24,
                  .ffn_dim = 40,
                  .context = 16,
                  .norm = NormKind::rmsnorm,
                  .mlp = MlpKind::swiglu,
                  .position = PositionKind::rope,
                  .bias = false,
                  .tie_embeddings = false,
                  .vocab_size = 61};
  config.data = {.batch = 4, .accumulate = 2};
  config.optim = {.lr = 3e-3, .weight_decay = 0.1, .clip = 1.0};
  config.loss = {.strategy = LossStrategy::full};
  return config;
}

// A repeatable "text": token t+1 is a function of token t most of the time, so that a model can learn it.
inline Batch make_batch(const Config& config, uint64_t index) {
  std::mt19937 generator(static_cast<uint32_t>(index) + 7);
  Batch batch{.index = index, .batch = config.data.batch, .context = config.model.context};
  const uint32_t n = batch.batch * batch.context, vocab = config.model.vocab_size;
  for (uint32_t i = 0; i < n; ++i) {
    const bool fresh = i % batch.context == 0 || generator() % 8 == 0;
    batch.inputs.push_back(fresh ? static_cast<uint32_t>(generator() % vocab) : batch.targets.back());
    batch.targets.push_back((batch.inputs.back() * 7 + 3) % vocab);
    batch.weights.push_back(generator() % 5 == 0 ? 0.0F : 1.0F);
  }
  batch.document_start.assign(n, 0);
  sort_by_token(batch);
  return batch;
}

struct Session {
  explicit Session(const Config& of, bool record = true) : Session(of, test::device(), record ? &kernels() : nullptr) {}
  // `library` null: nothing is recorded or loaded.
  Session(const Config& of, Device& on, KernelLibrary* library) : config(of), device(on), table(config.model), memory(device, config, table) {
    memory.commit(device);
    if (library == nullptr) return;
    memory.record(*library, false);
    load();
  }
  void load() {
    memory.weights->load(device, initial_values(table, 5));
    memory.step->load({});
  }
  StepResult step(uint64_t number) { return step(number, number); }
  StepResult step(uint64_t number, uint64_t first_batch) {
    std::vector<Batch> batches;
    for (uint32_t m = 0; m < config.data.accumulate; ++m) batches.push_back(make_batch(config, first_batch * config.data.accumulate + m));
    return memory.step->run(batches, number, config.optim.lr, 9);
  }
  Config config;
  Device& device;
  ParameterTable table;
  TrainingMemory memory;
};

}  // namespace lapilli::test
