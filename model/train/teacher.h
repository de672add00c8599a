#pragma once
// Distillation: the teacher model. Its weights are constant; its forward pass runs over every micro-batch, and the loss
// computes its logits chunk by chunk (model/loss/linear_cross_entropy.h).

#include "model/io/checkpoint.h"
#include "model/transformer/transformer.h"

namespace lapilli {

// Reads the run or checkpoint config.teacher. Throws Error, naming both sides, when the teacher has another vocabulary or
// a shorter context. REQUIRES: config.teacher set, config.model.vocab_size set.
LoadedCheckpoint load_teacher(const Config& config);
// A student's configuration with what depends on the teacher's: teacher_dim and loss.teacher_softcap.
Config with_teacher(Config student, const Config& teacher);

class Teacher {
 public:
  // Reserves weights in `kept`, activations in `scratch`. `config` is the student's.
  Teacher(const DeviceCaps& caps, Arena& kept, Arena& scratch, const Config& config, LoadedCheckpoint checkpoint);

  void load(Device& device);  // writes the weights; call once, after the arenas are committed

  Transformer& transformer() { return transformer_; }  // its forward pass, for batches of the student's size
  const ModelWeights& weights() const { return weights_; }

 private:
  LoadedCheckpoint checkpoint_;
  ParameterTable table_;
  ModelWeights weights_;
  Transformer transformer_;
};

}  // namespace lapilli
