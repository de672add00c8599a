#include "model/train/batch_inputs.h"

#include <cstring>

namespace lapilli {

BatchInputs::BatchInputs(Device& device, Arena& arena, uint32_t slots, uint32_t tokens, bool document_mask)
    : tokens_(tokens),
      document_mask_(document_mask),
      region_(device, arena, slots * slot_words() * sizeof(uint32_t), "batches", Direction::to_device) {}

void BatchInputs::write(uint32_t slot, const Batch& batch) {
  CHECK_EQ(batch.inputs.size(), size_t{tokens_});
  std::byte* to = region_.host().data() + slot * slot_words() * sizeof(uint32_t);
  const auto put = [&](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  };
  put(batch.inputs);
  put(batch.targets);
  put(batch.weights);
  put(batch.document_start);
  put(batch.order);
  put(batch.segment_start);
  put(std::vector<uint32_t>{batch.segment_count});
}

BatchTensors BatchInputs::tensors(uint32_t slot) const {
  uint64_t at = slot * slot_words() * sizeof(uint32_t);
  const auto take = [&](uint32_t words, DType dtype) {
    const ConstTensor tensor(region_.device_slice().sub(at, words * sizeof(uint32_t)), {words}, dtype);
    at += words * sizeof(uint32_t);
    return tensor;
  };
  BatchTensors tensors;
  tensors.tokens = take(tokens_, DType::u32);
  tensors.targets = take(tokens_, DType::u32);
  tensors.weights = take(tokens_, DType::f32);
  tensors.document_start = take(tokens_, DType::u32);
  if (!document_mask_) tensors.document_start = {};
  tensors.order = take(tokens_, DType::u32);
  tensors.segment_start = take(tokens_ + 1, DType::u32);
  tensors.segment_count = take(1, DType::u32);
  return tensors;
}

}  // namespace lapilli
