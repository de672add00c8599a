#include "engine/tuning/kernel_trial.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "engine/memory/half.h"
#include "engine/tuning/measure.h"

namespace lapilli {

namespace {
constexpr uint64_t kStretch = 65537;  // prime, so that no two rows of a usual width are alike
}

RandomNumbers::RandomNumbers(uint32_t seed) {
  std::mt19937 random(seed);
  for (uint64_t i = 0; i < kStretch; ++i) stretch_.push_back(static_cast<float>(random() >> 8U) * 0x1p-23F - 1.0F);
}

void fill_random(Device& device, const Tensor& tensor, uint32_t seed) {
  const RandomNumbers random(seed);
  const uint64_t size = size_bytes(tensor.dtype()), count = tensor.slice().size_bytes() / size;
  std::vector<std::byte> bytes(count * size);
  for (uint64_t i = 0; i < std::min(count, kStretch); ++i) {
    const uint32_t bits = size == 4 ? std::bit_cast<uint32_t>(random[i]) : half_bits(random[i], tensor.dtype());
    std::memcpy(&bytes[i * size], &bits, size);
  }
  for (uint64_t done = kStretch; done < count; done += kStretch)
    std::memcpy(&bytes[done * size], bytes.data(), std::min(kStretch, count - done) * size);
  write_slice(device, tensor.slice(), std::span<const std::byte>(bytes));
}

void poison(Device& device, const Tensor& tensor) {
  Program program(device, "poison");
  program.fill(tensor.slice().sub(0, tensor.slice().size_bytes() / 4 * 4), 0xFFFFFFFF);
  program.finish();
  program.run();
}

void run_with_poisoned_outputs(Device& device, Program& program, const std::vector<Tensor>& outputs) {
  for (const Tensor& output : outputs)
    if (output) poison(device, output);
  program.run();
}

std::vector<float> read_ends(Device& device, const ConstTensor& tensor) {
  constexpr uint64_t kEnd = 1U << 20U;  // elements
  const uint64_t size = size_bytes(tensor.dtype()), bytes = tensor.slice().size_bytes(), end_bytes = std::min(bytes, kEnd * size);
  std::vector<float> values;
  for (const uint64_t from : {uint64_t{0}, bytes - end_bytes}) {
    const std::vector<std::byte> raw = read_slice<std::byte>(device, tensor.slice().sub(from, end_bytes));
    for (uint64_t at = 0; at < end_bytes; at += size) {
      uint32_t bits = 0;
      std::memcpy(&bits, &raw[at], size);
      values.push_back(size == 4 ? std::bit_cast<float>(bits) : half_value(static_cast<uint16_t>(bits), tensor.dtype()));
    }
  }
  return values;
}

std::function<double()> timed_run(std::shared_ptr<Program> program) {
  return [program = std::move(program)] {
    const double wall = wall_seconds([&] { program->run(); });
    const double device = program->take_profile().total_ns() * 1e-9;  // 0 without timestamps
    return device > 0 ? device : wall;
  };
}

}  // namespace lapilli
