#pragma once
// Device copies of a step's micro-batches, with one transfer for all of them.

#include "engine/program/transfer.h"
#include "model/transformer/batch_tensors.h"
#include "tokenizer/data/batch_stream.h"

namespace lapilli {

constexpr uint64_t kWordBytes = 4;  // of what host and device exchange: u32 and f32

class BatchInputs {
 public:
  // Room for `slots` micro-batches of N = batch * context tokens. Without `document_mask`, tensors(i).document_start is empty.
  BatchInputs(Device& device, Arena& arena, uint32_t slots, uint32_t tokens, bool document_mask);

  // REQUIRES: the arena is committed; no program that reads the slot is running.
  void write(uint32_t slot, const Batch& batch);
  BatchTensors tensors(uint32_t slot) const;
  void record(Program& program) const { region_.record(program); }

 private:
  // Words of a slot: tokens N, targets N, weights N, document_start N, order N, segment_start N+1, segment_count 1.
  uint64_t slot_words() const { return 6 * uint64_t{tokens_} + 2; }

  uint32_t tokens_;
  bool document_mask_;
  TransferRegion region_;
};

}  // namespace lapilli
