#pragma once
// A checkpoint on a device, ready for evaluation or generation.

#include "engine/kernel/kernel.h"
#include "model/io/checkpoint.h"
#include "model/transformer/weights.h"
#include "tokenizer/text/tokenizer.h"

namespace lapilli {

class LoadedModel {
 public:
  // `path`: a run, a checkpoint or a checkpoints folder. Errors as load_checkpoint(). `precision`: of further copies of the
  // weights (ModelWeights).
  LoadedModel(const std::string& path, const DeviceOptions& device, Precision precision = Precision::f32);
  LoadedModel(const LoadedModel&) = delete;

  // Users of the weights reserve their memory here first ...
  Device& device() { return device_; }
  Arena& kept() { return kept_; }
  Arena& scratch() { return scratch_; }
  // ... then commit() allocates everything and writes the weights; call it once.
  void commit();

  KernelLibrary& kernels() { return kernels_; }
  const ModelWeights& weights() const { return weights_; }
  const Config& config() const { return checkpoint_.config; }
  const LoadedCheckpoint& checkpoint() const { return checkpoint_; }
  Tokenizer tokenizer() const;  // the checkpoint's copy

 private:
  LoadedCheckpoint checkpoint_;
  ParameterTable table_;
  Device device_;
  KernelLibrary kernels_;
  Arena kept_, scratch_;
  ModelWeights weights_;
};

}  // namespace lapilli
