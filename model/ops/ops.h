#pragma once
// The context that every operation records into, and helpers shared by operations. One header per family: matmul.h,
// norm.h, ...
//
// Argument order everywhere: context, outputs, inputs, scalars. An operation records dispatches; nothing runs before the
// program is submitted.

#include "engine/base/integer_math.h"
#include "engine/kernel/kernel.h"
#include "engine/memory/dtype.h"
#include "engine/memory/tensor.h"
#include "engine/program/program.h"
#include "shaders/common/args.h"

namespace lapilli {

class KernelTuner;

struct Ops {
  Program& program;
  KernelLibrary& kernels;
  // Not 0: row kernels use this many subgroups per row, and flat kernels one element per lane, as on GPUs (for tests).
  uint32_t row_subgroups = 0;
  Precision precision = Precision::f32;
  Tensor workspace = {};           // f32 [any]: partial results of split-K matmuls; empty: no splitting
  bool quick = false;              // matmuls use fast-compiling kernels with the same bits (quick_matmul_kernel())
  KernelTuner* tuner = nullptr;  // chooses each matmul's kernel by measurement; null: by device and shape

  const DeviceCaps& caps() const { return kernels.device().caps(); }

  // Workgroup size of kernels with one row per workgroup: a single subgroup on CPU drivers, where barriers are
  // expensive.
  uint32_t row_workgroup() const {
    if (row_subgroups != 0) return row_subgroups * caps().subgroup_size;
    return caps().kernel_class == KernelClass::cpu ? caps().subgroup_size : std::max(256U, caps().subgroup_size);
  }
  // The kernel of shaders/<name>.comp with the device's subgroup size and this workgroup.
  const Kernel& kernel(std::string_view name, uint32_t workgroup, const SpecConstants& more = {}) const {
    SpecConstants constants{{args::SPEC_WORKGROUP, workgroup}, {args::SPEC_SUBGROUP, caps().subgroup_size}};
    constants.insert(constants.end(), more.begin(), more.end());
    return kernels.get(name, constants, caps().subgroup_size);
  }
};

// Specialization constant `id` with the element type of a Real pointer or of a tensor; an empty tensor counts as f32.
inline SpecConstant type_constant(uint32_t id, DType dtype) {
  CHECK(dtype != DType::u32, "integers for constant {}", id);
  return {id, dtype == DType::f32 ? args::kF32 : dtype == DType::f16 ? args::kF16 : args::kBF16};
}
inline SpecConstant type_constant(uint32_t id, const ConstTensor& tensor) { return type_constant(id, tensor ? tensor.dtype() : DType::f32); }
// CHECKs that rows of 16-bit elements consist of whole 32-bit words, as shaders/common/real.glsl requires.
inline void check_words(const ConstTensor& tensor) {
  CHECK(!tensor || size_bytes(tensor.dtype()) == 4 || (tensor.cols() % 2 == 0 && tensor.slice().buffer_offset_bytes() % 4 == 0),
        "{} of 16 bits at byte {} does not consist of 32-bit words", tensor.shape().to_string(), tensor.slice().buffer_offset_bytes());
}
// The constants of a kernel with shaders/common/real.glsl that writes c and reads a and b. If c shares memory with one
// of them, both must have the same type.
inline SpecConstants type_constants(const ConstTensor& c, const ConstTensor& a = {}, const ConstTensor& b = {}) {
  SpecConstants constants;
  for (const auto& [id, tensor] : {std::pair(args::SPEC_A_TYPE, a), std::pair(args::SPEC_B_TYPE, b), std::pair(args::SPEC_C_TYPE, c)}) {
    check_words(tensor);
    CHECK(!c || !tensor || !tensor.slice().overlaps(c.slice()) || tensor.dtype() == c.dtype(), "{} in the place of {}", c.shape().to_string(),
          tensor.shape().to_string());
    constants.push_back(type_constant(id, tensor));
  }
  return constants;
}

// Whether a result overwrites its destination or adds to it.
enum class Into { overwrite, accumulate };

// The number of elements as a 31-bit shader index: SPIR-V indices are signed.
inline uint32_t element_count(const ConstTensor& tensor) {
  CHECK(tensor.is_contiguous(), "{} has gaps between its rows", tensor.shape().to_string());
  CHECK(tensor.elements() < uint64_t{1} << 31, "{} has too many elements for one dispatch", tensor.shape().to_string());
  return static_cast<uint32_t>(tensor.elements());
}

// CHECKs that both have the same number of elements.
inline void check_same_size(const ConstTensor& a, const ConstTensor& b, const char* name) {
  CHECK(a.elements() == b.elements(), "{} {} for {}", name, b.shape().to_string(), a.shape().to_string());
}

// ---- kernels over a flat range of elements (shaders/common/elements.glsl): number of workgroups and of elements per lane ----

// Number of work items of a kernel that writes `result`: two 16-bit elements each (shaders/common/real.glsl).
inline uint64_t lanes(const ConstTensor& result, uint64_t count) { return size_bytes(result.dtype()) == 4 ? count : count / 2; }

// A CPU driver gets one subgroup and many elements per lane, because a workgroup is expensive to start there; a GPU
// gets many workgroups.
// REQUIRES: count < 2^31, the kernel strides by first_element() and end_element().
template <typename Args>
void dispatch_elements(Ops& ops, std::string_view kernel, const Args& args, uint64_t count, Cost cost, SpecConstants constants = {}) {
  const bool cpu = ops.caps().kernel_class == KernelClass::cpu && ops.row_subgroups == 0;
  const uint32_t workgroup = cpu ? ops.caps().subgroup_size : 256, elements = cpu ? 64 : 1;
  constants.push_back({args::SPEC_ELEMENTS, elements});
  ops.program.dispatch(ops.kernel(kernel, workgroup, constants), args, ceil_div(count, uint64_t{workgroup} * elements), cost);
}

}  // namespace lapilli
