#include "tools/perf/training_step_bench.h"

#include <filesystem>
#include <random>

#include "engine/tuning/kernel_tuner.h"
#include "model/io/config_schema.h"
#include "model/loss/loss_plan_tuning.h"
#include "tokenizer/data/dataset.h"

namespace lapilli {

namespace {

Batch random_batch(const Config& config, uint64_t index) {
  const uint32_t n = config.data.batch * config.model.context;
  Batch batch{.index = index, .batch = config.data.batch, .context = config.model.context};
  std::mt19937_64 random(index);
  const auto draw = [&] { return static_cast<uint32_t>(random() % config.model.vocab_size); };
  for (uint32_t i = 0; i < n; ++i) {
    batch.inputs.push_back(draw());
    batch.targets.push_back(draw());
  }
  batch.weights.assign(n, 1.0F);
  batch.document_start.assign(n, 0);
  batch.valid_targets = n;
  sort_by_token(batch);
  return batch;
}

}  // namespace

void set_vocab_size(Config& config, uint32_t vocab_size) {
  config.model.vocab_size = vocab_size;
  if (vocab_size == 0) {
    const std::vector<DataShare> sets = config.data.sets();
    const std::filesystem::path shard = sets.empty() ? std::filesystem::path() : std::filesystem::path(sets.front().dir) / kTrainShardName;
    if (!std::filesystem::exists(shard)) throw Error("the vocabulary size is unknown: give --vocab-size V, or a data set with --set data.dir=DIR");
    config.model.vocab_size = TokenShard(shard, TokenShard::Verify::kHeader).vocab_size();
  }
  validate_config(config);
  if (!config.teacher.empty()) config = with_teacher(config, load_teacher(config).config);
}

void resolve_by_measurement(Config& config, KernelLibrary& kernels, Tuner& tuner) {
  KernelTuner kernel_tuner(kernels, tuner);
  config.loss =
      tune_loss(kernel_tuner, config.loss, micro_batch_loss_shape(config), matmul_kernel(kernels.device().caps(), config.train.precision)).options;
}

TrainingStepBench::TrainingStepBench(Device& device, KernelLibrary& kernels, Tuner& tuner, const Config& config, bool profiled)
    : config_(config), table_(config.model), memory_(device, config_, table_) {
  memory_.commit(device);
  KernelTuner kernel_tuner(kernels, tuner);
  memory_.step->record(kernels, profiled, &kernel_tuner);
  memory_.weights->load(device, initial_values(table_, config.train.seed));
  memory_.step->load({});
  for (uint32_t m = 0; m < config.data.accumulate; ++m) batches_.push_back(random_batch(config, m));
}

double TrainingStepBench::run() {
  return wall_seconds([&] { memory_.step->run(batches_, ++step_, 0.0, config_.train.seed); });
}

std::vector<StepProfile> TrainingStepBench::profile(uint32_t steps) {
  std::vector<StepProfile> profiles;
  for (uint32_t i = 0; i < steps; ++i) {
    run();
    profiles.push_back(memory_.step->take_profile());
  }
  return profiles;
}

}  // namespace lapilli
