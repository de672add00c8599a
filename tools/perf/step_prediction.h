#pragma once
// How long a step of a configuration will take on this device, told without making the whole model.

#include <string>
#include <vector>

#include "engine/kernel/kernel.h"
#include "engine/tuning/tuner.h"
#include "model/transformer/config.h"

namespace lapilli {

struct PredictedPart {
  std::string name;  // what the kernels do: "matmul", "attention", "loss", ...
  double seconds = 0, flops = 0, bytes = 0;
};

struct StepPrediction {
  double seconds = 0;                // the host's part and the parts together
  std::vector<PredictedPart> parts;  // the longest first; empty on a device without timestamps
};

// Has the tuner choose kernels, and runs some steps of the model cut down to two layers: all its shapes, little of its memory. Each scope of the program is
// then scaled by the work that the whole model declares for it, which grows by the same with every layer. Takes a second
// or two. Throws Error when not even two layers fit. REQUIRES: config.model.vocab_size set.
StepPrediction predict_step(KernelLibrary& kernels, Tuner& tuner, const Config& config);

}  // namespace lapilli
