#pragma once
// Predicts the duration of a configuration's step on this device without building the whole model.

#include <string>
#include <vector>

#include "engine/kernel/kernel.h"
#include "engine/tuning/tuner.h"
#include "model/transformer/config.h"

namespace lapilli {

struct PredictedPart {
  std::string name;  // kind of kernels: "matmul", "attention", "loss", ...
  double seconds = 0, flops = 0, bytes = 0;
};

struct StepPrediction {
  double seconds = 0;                // host time plus all parts
  std::vector<PredictedPart> parts;  // the longest first; empty on a device without timestamps
};

// Tunes the kernels and runs some steps of the model reduced to two layers: all its shapes, little of its memory. Then
// scales each scope of the program by the work that the whole model declares for it, which grows linearly with the
// layers. Takes a second or two. Throws Error when not even two layers fit. REQUIRES: config.model.vocab_size set.
StepPrediction predict_step(KernelLibrary& kernels, Tuner& tuner, const Config& config);

}  // namespace lapilli
