#include "model/train/teacher.h"

namespace lapilli {

LoadedCheckpoint load_teacher(Config& config) {
  LoadedCheckpoint checkpoint = load_checkpoint(config.teacher);
  const ModelConfig& teacher = checkpoint.config.model;
  if (teacher.vocab_size != config.model.vocab_size)
    throw Error("the teacher '{}' has a vocabulary of {} tokens, the data set one of {}; both must come from one tokenizer",
                config.teacher, teacher.vocab_size, config.model.vocab_size);
  if (teacher.context < config.model.context)
    throw Error("the teacher '{}' has a context of {} tokens; model.context = {} is longer", config.teacher, teacher.context,
                config.model.context);
  config.teacher_dim = teacher.dim;
  config.loss.teacher_softcap = checkpoint.config.loss.softcap;
  return checkpoint;
}

Teacher::Teacher(const DeviceCaps& caps, Arena& kept, Arena& scratch, const Config& config, LoadedCheckpoint checkpoint)
    : checkpoint_(std::move(checkpoint)),
      table_(checkpoint_.config.model),
      precision_(config.train.precision),
      weights_(kept, checkpoint_.config.model, table_, precision_),
      transformer_(scratch, caps, checkpoint_.config.model, config.data.batch, config.model.context, Purpose::evaluation, false, precision_) {}

void Teacher::load(Device& device) {
  weights_.load(device, checkpoint_.state.values);
  checkpoint_.state = {};  // from here on they are in device memory
}

void Teacher::forward(Ops& ops, const BatchTensors& batch) { transformer_.forward(ops, weights_, batch, {}, 0); }

}  // namespace lapilli
