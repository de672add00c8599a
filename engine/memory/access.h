#pragma once
// How a kernel uses a piece of memory: the pointer types of the argument structs in the args.h files of shaders/. On the device each is
// a 64-bit address; here it is a slice, so that the recorder knows the range and the direction.
// T is the element type the shader sees.

#include "engine/memory/memory.h"

namespace lapilli {

// Stands for T where the shader is told the element type: f32, f16 or bf16.
struct Real {};

template <typename T>
struct In {
  Slice slice;  // only read; an empty slice is a null pointer (an optional argument)
};

template <typename T>
struct Out {
  Slice slice;  // only written, and written whole
};

template <typename T>
struct InOut {
  Slice slice;  // read and written
};

}  // namespace lapilli
