#include "tools/common/loaded_model.h"

#include "shaders/embedded_shaders.h"

namespace lapilli {

LoadedModel::LoadedModel(const std::string& path, const DeviceOptions& device, Precision precision)
    : checkpoint_(load_checkpoint(path)),
      table_(checkpoint_.config.model),
      device_(device),
      kernels_(device_, embedded_shaders()),
      kept_(device_.caps(), "the model"),
      scratch_(device_.caps(), "activations"),
      weights_(kept_, checkpoint_.config.model, table_, precision) {}

void LoadedModel::commit() {
  Arena::commit_all(device_, {&kept_, &scratch_});
  weights_.load(device_, checkpoint_.state.values);
}

Tokenizer LoadedModel::tokenizer() const { return Tokenizer(tokenizer_in(checkpoint_.folder)); }

}  // namespace lapilli
