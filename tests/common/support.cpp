#include "tests/common/support.h"
#include "shaders/embedded_shaders.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <map>

namespace lapilli::test {

namespace {

std::unique_ptr<Device> the_device;
std::unique_ptr<KernelLibrary> the_kernels;
struct Forced {
  explicit Forced(KernelClass kernel_class) : device({.validation = true, .kernel_class = kernel_class}), kernels(device, embedded_shaders()) {}
  Device device;
  KernelLibrary kernels;
};
std::map<KernelClass, std::unique_ptr<Forced>> forced;
Forced& forced_to(KernelClass kernel_class) {
  std::unique_ptr<Forced>& made = forced[kernel_class];
  if (!made) made = std::make_unique<Forced>(kernel_class);
  return *made;
}

// Destroyed before main() returns: the validation layer does not survive static destruction.
class DeviceEnvironment : public ::testing::Environment {
 public:
  void TearDown() override {
    forced.clear();
    the_kernels.reset();
    the_device.reset();
  }
};
const ::testing::Environment* const kDeviceEnvironment = ::testing::AddGlobalTestEnvironment(new DeviceEnvironment);

}  // namespace

Device& device() {
  if (!the_device) the_device = std::make_unique<Device>(DeviceOptions{.validation = true});
  return *the_device;
}

KernelLibrary& kernels() {
  if (!the_kernels) the_kernels = std::make_unique<KernelLibrary>(device(), embedded_shaders());
  return *the_kernels;
}

Device& device(KernelClass kernel_class) { return forced_to(kernel_class).device; }
KernelLibrary& kernels(KernelClass kernel_class) { return forced_to(kernel_class).kernels; }

std::vector<float> random_values(uint64_t count, uint32_t seed, float scale) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

Doubles widen(const std::vector<float>& values) { return {values.begin(), values.end()}; }

std::vector<float> narrow(const Doubles& values) {
  std::vector<float> floats;
  for (const double value : values) floats.push_back(static_cast<float>(value));
  return floats;
}

uint16_t round_to_bits(float value, DType dtype) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (dtype == DType::bf16) {
    if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  CHECK(dtype == DType::f16, "not a type of 16 bits");
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const double magnitude = std::abs(static_cast<double>(value));
  if (std::isnan(value)) return sign | 0x7E00;
  if (magnitude >= 65520) return sign | 0x7C00;
  // Steps between neighbours: 2^-24 below 2^-14, then 2^-10 of the power of two. Counted, they are the bits.
  const int exponent = std::max(magnitude == 0 ? -14 : std::ilogb(magnitude), -14);
  const double steps = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
  return static_cast<uint16_t>(sign + static_cast<int>(steps) + (exponent + 14) * 1024);
}

float widen_bits(uint16_t bits, DType dtype) {
  if (dtype == DType::bf16) return std::bit_cast<float>(uint32_t{bits} << 16);
  CHECK(dtype == DType::f16, "not a type of 16 bits");
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude = exponent == 31 ? (mantissa == 0 ? std::numeric_limits<double>::infinity() : std::nan(""))
                                          : std::ldexp(exponent == 0 ? mantissa : 1024 + mantissa, std::max(exponent, 1) - 25);
  return static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
}

std::vector<float> stored(std::vector<float> values, DType dtype) {
  if (size_bytes(dtype) == 2)
    for (float& value : values) value = widen_bits(round_to_bits(value, dtype), dtype);
  return values;
}

Tensor Bench::place(Shape shape, DType dtype, std::vector<std::byte> bytes) {
  CHECK_EQ(bytes.size(), shape.elements() * size_bytes(dtype));
  const Tensor tensor = reserve_tensor(arena_, shape, "test", dtype);
  initial_.push_back({tensor.slice(), std::move(bytes)});
  return tensor;
}

Tensor Bench::input(Shape shape, const std::vector<float>& values, DType dtype) {
  if (size_bytes(dtype) == 2) {
    std::vector<uint16_t> rounded;
    for (const float value : values) rounded.push_back(round_to_bits(value, dtype));
    const auto bytes = std::as_bytes(std::span(rounded));
    return place(shape, dtype, {bytes.begin(), bytes.end()});
  }
  const auto bytes = std::as_bytes(std::span(values));
  return place(shape, DType::f32, {bytes.begin(), bytes.end()});
}

Tensor Bench::input(Shape shape, const std::vector<uint32_t>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return place(shape, DType::u32, {bytes.begin(), bytes.end()});
}

Tensor Bench::output(Shape shape, DType dtype) {
  return place(shape, dtype, std::vector<std::byte>(shape.elements() * size_bytes(dtype), std::byte{0xFF}));
}

void Bench::run(const std::function<void(Ops&)>& record) {
  if (!arena_.committed()) {
    arena_.commit(device());
    for (const Initial& initial : initial_) write_slice(device(), initial.slice, initial.bytes);
  }
  const uint64_t messages = device().validation_messages();
  Program program(device(), "test");
  Ops ops{program, kernels()};
  record(ops);
  program.finish();
  program.run();
  EXPECT_EQ(device().validation_messages(), messages) << "messages of the validation layer";
}

std::vector<float> Bench::read(const ConstTensor& tensor) const {
  if (size_bytes(tensor.dtype()) == 4) return read_slice<float>(device(), tensor.slice());
  const std::vector<uint16_t> words = read_slice<uint16_t>(device(), tensor.slice());
  std::vector<float> values;
  for (uint64_t i = 0; i < tensor.elements(); ++i) values.push_back(widen_bits(words[i], tensor.dtype()));
  return values;
}

std::vector<uint32_t> Bench::read_words(const ConstTensor& tensor) const { return read_slice<uint32_t>(device(), tensor.slice()); }

void expect_close(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  ASSERT_EQ(bound.size(), expected.size()) << what;
  size_t wrong = 0, first = 0, worst = 0;
  double worst_ratio = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (error <= bound[i]) continue;  // false for NaN
    if (wrong++ == 0) first = i;
    const double ratio = std::isnan(error) ? std::numeric_limits<double>::infinity() : error / bound[i];
    if (ratio > worst_ratio) worst_ratio = ratio, worst = i;
  }
  if (wrong == 0) return;
  ADD_FAILURE() << what << ": " << wrong << " of " << actual.size() << " elements out of bounds; first [" << first << "] = " << actual[first]
                << ", expected " << expected[first] << " +- " << bound[first] << "; worst [" << worst << "] = " << actual[worst] << ", expected "
                << expected[worst] << ", " << worst_ratio << " x the bound";
}

void expect_close(const std::vector<float>& actual, const Doubles& expected, double roundings, double floor, const char* what) {
  Doubles bound(expected.size());
  for (size_t i = 0; i < expected.size(); ++i) bound[i] = roundings * kEpsilon * std::max(std::abs(expected[i]), floor);
  expect_close(actual, expected, bound, what);
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(float)), 0) << what << " differs at " << i << ": " << a[i] << " and " << b[i];
}

std::vector<MatmulKernel> coopmat_kernels() {
  std::vector<MatmulKernel> kernels;
  for (const Precision precision : {Precision::f16, Precision::bf16})
    for (const uint32_t tile : {32U, 64U, 128U}) kernels.push_back({KernelClass::coopmat, tile, true, precision});
  return kernels;
}

std::vector<MatmulKernel> coopmat2_kernels() {
  std::vector<MatmulKernel> kernels;
  const auto add = [&](Precision precision, uint32_t rows, uint32_t cols, bool emulated) {
    kernels.push_back({.kernel_class = KernelClass::coopmat2, .tile = rows, .precision = precision, .tile_cols = cols, .emulated = emulated});
  };
  for (const Precision precision : {Precision::f16, Precision::bf16})
    for (const auto& [rows, cols] : {std::pair(64U, 64U), std::pair(128U, 128U), std::pair(128U, 256U), std::pair(256U, 128U)})
      add(precision, rows, cols, false);
  // Emulated ones take seconds to compile.
  add(Precision::f16, 64, 64, true);
  add(Precision::f16, 128, 256, true);
  add(Precision::f16, 256, 128, true);
  add(Precision::bf16, 64, 64, true);
  return kernels;
}

std::optional<std::string> why_not(const MatmulKernel& kernel) {
  const DeviceCaps& caps = device().caps();
  if (kernel.kernel_class == KernelClass::coopmat2 && !kernel.emulated) return why_no_coopmat2(caps, kernel.precision);
  // Software drivers without matrices take minutes to compile them; and 16-bit storage is enabled only with matrices.
  if (kernel.emulated && (!caps.matrix_f16 || !caps.storage16)) return caps.name + " has no cooperative matrices of f16, or no 16-bit storage";
  if (kernel.kernel_class != KernelClass::coopmat) return std::nullopt;
  try {
    matmul_kernel(device().caps(), kernel.precision);
    return std::nullopt;
  } catch (const Error& error) {
    return error.what();
  }
}

std::optional<std::string> why_not(KernelClass kernel_class, Precision precision) {
  try {
    matmul_kernel(device(kernel_class).caps(), precision);
    return std::nullopt;
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace lapilli::test
