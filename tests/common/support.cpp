#include "tests/common/support.h"
#include "shaders/embedded_shaders.h"

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

void Bench::run(const std::function<void(Ops&)>& record) {
  const uint64_t messages = device().validation_messages();
  KernelBench::record(record);
  const std::string damage = KernelBench::run();
  EXPECT_EQ(damage, "");
  EXPECT_EQ(device().validation_messages(), messages) << "messages of the validation layer";
}

void expect_close(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound, const char* what) {
  const check::Comparison comparison = check::compare(actual, expected, bound);
  if (comparison.wrong != 0) ADD_FAILURE() << what << ": " << comparison.text;
}

void expect_close(const std::vector<float>& actual, const Doubles& expected, double roundings, double floor, const char* what) {
  expect_close(actual, expected, check::bound_of_roundings(expected, roundings, floor), what);
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
