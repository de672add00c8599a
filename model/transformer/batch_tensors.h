#pragma once

#include "engine/memory/tensor.h"

namespace lapilli {

// Device copies of one micro-batch (fields as in tokenizer/data/batch_stream.h).
struct BatchTensors {
  ConstTensor tokens;          // u32 [N]
  ConstTensor targets;         // u32 [N]
  ConstTensor weights;         // [N]
  ConstTensor document_start;  // u32 [N], or empty: no document mask
  ConstTensor order;           // u32 [N]
  ConstTensor segment_start;   // u32 [N+1]
  ConstTensor segment_count;   // u32 [1]
};

}  // namespace lapilli
