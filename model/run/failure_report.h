#pragma once
// What is written when training stops because losses or gradients are not finite, for whoever looks for the cause.

#include <filesystem>
#include <span>
#include <string>

#include "model/train/training_step.h"
#include "tokenizer/data/batch_stream.h"

namespace lapilli {

// RUN/failed-step-XXXXXXXX.json: the step, what was not finite, for each parameter the largest value and gradient and how many are not finite,
// and the tokens of the batches. `values`, `gradients`: flat, in the order of the table. Returns the file's path. Throws Error.
std::filesystem::path write_failure_report(const std::filesystem::path& run, uint64_t step, const StepResult& result, const ParameterTable& table,
                                           std::span<const float> values, std::span<const float> gradients, std::span<const Batch> batches);

}  // namespace lapilli
