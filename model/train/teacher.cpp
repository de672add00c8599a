#include "model/train/teacher.h"

#include "model/io/config_schema.h"

namespace lapilli {

LoadedCheckpoint load_teacher(const Config& config) {
  LoadedCheckpoint checkpoint = load_checkpoint(config.teacher);
  const ModelConfig& teacher = checkpoint.config.model;
  if (teacher.vocab_size != config.model.vocab_size)
    throw Error("the teacher '{}' has a vocabulary of {} tokens, the data set one of {}; both must come from one tokenizer", config.teacher,
                teacher.vocab_size, config.model.vocab_size);
  if (teacher.context < config.model.context)
    throw Error("the teacher '{}' has a context of {} tokens; model.context = {} is longer", config.teacher, teacher.context, config.model.context);
  validate_micro_batch(teacher, config.data, config.model.context, "the teacher's ");
  return checkpoint;
}

Config with_teacher(Config student, const Config& teacher) {
  student.teacher_dim = teacher.model.dim;
  student.loss.teacher_softcap = teacher.loss.softcap;
  return student;
}

Teacher::Teacher(const DeviceCaps& caps, Arena& kept, Arena& scratch, const Config& config, LoadedCheckpoint checkpoint)
    : checkpoint_(std::move(checkpoint)),
      table_(checkpoint_.config.model),
      weights_(kept, checkpoint_.config.model, table_, config.train.precision),
      transformer_(scratch, caps, checkpoint_.config.model, config.data.batch, config.model.context, Purpose::evaluation, false,
                   config.train.precision) {}

void Teacher::load(Device& device) {
  weights_.load(device, checkpoint_.state.values);
  checkpoint_.state = {};  // from here on they are in device memory
}

}  // namespace lapilli
