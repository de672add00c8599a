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

namespace lapilli::test {

// The loader's first device, with the Khronos validation layer. Created once.
Device& device();
KernelLibrary& kernels();
// The same device with the kernels of one class (DeviceOptions::kernel_class), and its library. Made once each.
Device& device(KernelClass kernel_class);
KernelLibrary& kernels(KernelClass kernel_class);

constexpr double kEpsilon = std::numeric_limits<float>::epsilon() / 2;  // one rounding of f32, relative

using Doubles = std::vector<double>;

std::vector<float> random_values(uint64_t count, uint32_t seed, float scale = 1.0F);  // uniform in [-scale, scale]
Doubles widen(const std::vector<float>& values);
std::vector<float> narrow(const Doubles& values);
// To f16 or bf16, nearest even, and back. NaN stays NaN.
uint16_t round_to_bits(float value, DType dtype);
float widen_bits(uint16_t bits, DType dtype);
// Values after a round trip through `dtype`; unchanged for f32.
std::vector<float> stored(std::vector<float> values, DType dtype);

// The memory and the one program of a test. Make tensors, run once or several times, read back.
class Bench {
 public:
  Bench() : arena_(device().caps(), "test") {}

  Tensor input(Shape shape, const std::vector<float>& values, DType dtype = DType::f32);  // f16, bf16: rounded to nearest even
  Tensor input(Shape shape, const std::vector<uint32_t>& values);
  Tensor output(Shape shape, DType dtype = DType::f32);  // poisoned with NaN (all bits set) before the run

  // Allocates, writes inputs and poison, records, runs, and fails the test on any validation message.
  void run(const std::function<void(Ops&)>& record);

  Arena& arena() { return arena_; }  // for operations that reserve their own scratch; before the first run

  std::vector<float> read(const ConstTensor& tensor) const;  // 16-bit elements are widened
  std::vector<uint32_t> read_words(const ConstTensor& tensor) const;

 private:
  struct Initial {
    Slice slice;
    std::vector<std::byte> bytes;
  };
  Tensor place(Shape shape, DType dtype, std::vector<std::byte> bytes);

  Arena arena_;
  std::vector<Initial> initial_;
};

// The cooperative-matrix kernels for every operand type and tile; and the reason why this device cannot run one, if so.
std::vector<MatmulKernel> coopmat_kernels();
// The same for workgroup-scope matrices, on the device and emulated.
std::vector<MatmulKernel> coopmat2_kernels();
std::optional<std::string> why_not(const MatmulKernel& kernel);
// Why the device cannot be had with the kernels of that class, or does not multiply in that precision then.
std::optional<std::string> why_not(KernelClass kernel_class, Precision precision);

// Half a unit in the last place of an operand, relative; 0 if operands are not rounded.
constexpr double operand_rounding(Precision precision) { return precision == Precision::f16 ? 0x1p-11 : precision == Precision::bf16 ? 0x1p-8 : 0; }

// The same for a stored element, and its absolute error when it is tiny.
constexpr double storage_rounding(DType dtype) { return dtype == DType::f16 ? 0x1p-11 : dtype == DType::bf16 ? 0x1p-8 : 0; }
constexpr double storage_floor(DType dtype) { return dtype == DType::f16 ? 0x1p-25 : 0; }

// Every |actual[i] - expected[i]| <= bound[i] (a NaN fails); names the first and the worst element.
void expect_close(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound, const char* what);
// The same with bound = roundings * kEpsilon * max(|expected|, floor).
void expect_close(const std::vector<float>& actual, const Doubles& expected, double roundings, double floor, const char* what);

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const char* what);

}  // namespace lapilli::test
