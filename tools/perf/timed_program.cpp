#include "tools/perf/timed_program.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/memory/half.h"

namespace lapilli {

namespace {

constexpr double kShortestSeconds = 10e-3;
constexpr uint32_t kMostTimes = 1000;

template <typename T>
std::vector<std::byte> to_bytes(const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// xorshift64*: good enough for benchmark values, and fast for gigabytes of them.
std::vector<float> ordinary_values(uint64_t count, float scale, uint64_t seed) {
  uint64_t state = 0x9E3779B97F4A7C15U * (2 * seed + 1);
  std::vector<float> values(count);
  for (float& value : values) {
    state ^= state >> 12U;
    state ^= state << 25U;
    state ^= state >> 27U;
    const auto top = static_cast<float>((state * 0x2545F4914F6CDD1DU) >> 40U);  // 24 bits
    value = scale * (top / 8388608.0F - 1.0F);
  }
  return values;
}

}  // namespace

TimedProgram::TimedProgram(KernelLibrary& kernels, std::string name, std::function<void(Ops&)> work)
    : kernels_(kernels), name_(std::move(name)), work_(std::move(work)) {
  record(1);
  double seconds = run();
  // Repeats short work and takes the minimum: page faults and other programs prolong single runs.
  if (seconds < 2 * kShortestSeconds)
    for (int i = 0; i < 4; ++i) seconds = std::min(seconds, run());
  // Without timestamps records the work more than once: a short run is mostly submission cost. Runs each recording,
  // because profile() is of the last run.
  while (seconds * times_ < kShortestSeconds / 2 && times_ < kMostTimes) {
    record(static_cast<uint32_t>(std::min<double>(std::ceil(kShortestSeconds / std::max(seconds, 1e-9)), kMostTimes)));
    seconds = run();
  }
}

void TimedProgram::record(uint32_t times) {
  times_ = times;
  program_ = std::make_unique<Program>(kernels_.device(), name_, true);
  Ops ops{*program_, kernels_};
  for (uint32_t i = 0; i < times; ++i) work_(ops);
  program_->finish();
}

double TimedProgram::run() {
  const double wall = wall_seconds([&] { program_->run(); });
  const double device = program_->take_profile().total_ns() * 1e-9;  // 0 without timestamps
  return (device > 0 ? device : wall) / times_;
}

Profile TimedProgram::profile() const {
  Profile profile{program_->take_profile().by_scope()};
  for (ProfileSpan& span : profile.spans) span.divide_work(times_);
  return profile;
}

Tensor BenchMemory::place(Shape shape, DType dtype, std::function<std::vector<std::byte>()> make) {
  const Tensor tensor = reserve_tensor(arena_, shape, "bench", dtype);
  contents_.emplace_back(tensor.slice(), std::move(make));
  return tensor;
}

Tensor BenchMemory::random(Shape shape, float scale, DType dtype) {
  return place(shape, dtype, [=, seed = contents_.size()] {
    const std::vector<float> values = ordinary_values(shape.elements(), scale, seed);
    if (dtype == DType::f32) return to_bytes(values);
    std::vector<uint16_t> rounded;
    for (const float value : values) rounded.push_back(half_bits(value, dtype));
    return to_bytes(rounded);
  });
}

Tensor BenchMemory::zeros(Shape shape, DType dtype) {
  return place(shape, dtype, [=] { return std::vector<std::byte>(shape.elements() * size_bytes(dtype)); });
}

Tensor BenchMemory::words(const std::vector<uint32_t>& values) {
  return place({static_cast<uint32_t>(values.size())}, DType::u32, [=] { return to_bytes(values); });
}

Tensor BenchMemory::floats(const std::vector<float>& values) {
  return place({static_cast<uint32_t>(values.size())}, DType::f32, [=] { return to_bytes(values); });
}

void BenchMemory::commit() {
  arena_.commit(device_);
  for (const auto& [slice, make] : contents_) write_slice(device_, slice, make());
  contents_.clear();
}

}  // namespace lapilli
