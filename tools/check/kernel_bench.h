#pragma once
// The memory and the one program of a check or a test: inputs, poisoned outputs, a recorded operation, its results; and the
// search for kernels that write where they must not.
//
// Before the first run all memory holds a pattern, also between tensors and where operations keep their own scratch. Kernels
// declare what they write (Out and InOut of their argument structs). After a run every other byte must be the same: inputs, and
// the canary words between tensors.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/ops/ops.h"
#include "tools/check/values.h"

namespace lapilli::check {

class KernelBench {
 public:
  explicit KernelBench(KernelLibrary& kernels) : kernels_(kernels), arena_(kernels.device().caps(), "check") {}

  // Before the first record(). Scratch of operations may be reserved in arena() too.
  Tensor input(Shape shape, const std::vector<float>& values, DType dtype = DType::f32);  // f16, bf16: rounded to nearest even
  Tensor input(Shape shape, const std::vector<uint32_t>& values);
  Tensor output(Shape shape, DType dtype = DType::f32);  // poisoned with NaN (all bits set)
  Arena& arena() { return arena_; }

  // Allocates and writes the tensors (the first time), and records. Kernels are compiled in the background.
  void record(const std::function<void(Ops&)>& record);
  // Runs what was recorded. Returns a sentence about memory that changed though no kernel declares to write it; empty: none did.
  std::string run();

  std::vector<float> read(const ConstTensor& tensor) const;  // 16-bit elements are widened
  std::vector<uint32_t> read_words(const ConstTensor& tensor) const;

  KernelLibrary& library() const { return kernels_; }
  const DeviceCaps& caps() const { return kernels_.device().caps(); }

 private:
  struct Placed {
    Tensor tensor;
    bool is_output;
    std::vector<std::byte> bytes;  // until written
  };
  Tensor place(Shape shape, DType dtype, bool is_output, std::vector<std::byte> bytes);
  void commit();
  std::string describe(const Slice& block, uint64_t changed_byte) const;

  KernelLibrary& kernels_;
  Arena arena_;
  std::vector<Placed> placed_;
  std::unique_ptr<Program> program_;
};

}  // namespace lapilli::check
