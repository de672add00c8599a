#pragma once
// Helpers for kernel tests: one device with validation for the process, tensors with poisoned outputs, and comparisons
// with tolerances from the data type and the number of roundings.

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "model/matmul/matmul.h"
#include "model/matmul/matmul_tile.h"
#include "tools/check/kernel_bench.h"
#include "tools/check/values.h"

namespace lapilli::test {

using namespace check;  // values, references and the bench, which the program's own `lapilli check` uses too

// The loader's first device, with the Khronos validation layer. Created once.
Device& device();
KernelLibrary& kernels();
// The same device with the kernels of one class (DeviceOptions::kernel_class), and its library. Made once each.
Device& device(KernelClass kernel_class);
KernelLibrary& kernels(KernelClass kernel_class);

// The memory and the one program of a test. Make tensors, run once or several times, read back.
class Bench : public check::KernelBench {
 public:
  Bench() : KernelBench(kernels()) {}

  // Allocates, writes inputs and poison, records, runs, and fails the test on any validation message, and where a kernel changed
  // memory that it does not declare to write.
  void run(const std::function<void(Ops&)>& record);
};

// The cooperative-matrix kernels for every operand type and tile; and the reason why this device cannot run one, if so.
std::vector<MatmulKernel> coopmat_kernels();
// The same for workgroup-scope matrices, on the device and emulated.
std::vector<MatmulKernel> coopmat2_kernels();
std::optional<std::string> why_not(const MatmulKernel& kernel);
// Why the device cannot be had with the kernels of that class, or does not multiply in that precision then.
std::optional<std::string> why_not(KernelClass kernel_class, Precision precision);

// Every |actual[i] - expected[i]| <= bound[i] (a NaN fails); names the first and the worst element.
void expect_close(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound, const char* what);
// The same with bound = roundings * kEpsilon * max(|expected|, floor).
void expect_close(const std::vector<float>& actual, const Doubles& expected, double roundings, double floor, const char* what);

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const char* what);

}  // namespace lapilli::test
