#pragma once
// How a kernel uses a range of memory: the pointer types of the argument structs in the args.h files of shaders/. On
// the device each is a 64-bit address; on the host it is a slice, so that the recorder has the range and the
// direction. T is the element type the shader sees.

#include "engine/memory/memory.h"

namespace lapilli {

// T of a kernel whose element type is a specialization constant: f32, f16 or bf16.
struct Real {};

template <typename T>
struct In {
  Slice slice;  // read only; an empty slice is a null pointer (an optional argument)
};

template <typename T>
struct Out {
  Slice slice;  // written only: all of it, or what the kernel says
};

template <typename T>
struct InOut {
  Slice slice;  // read and written
};

}  // namespace lapilli
