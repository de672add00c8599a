#include "tools/check/kernel_bench.h"

#include <algorithm>
#include <cstring>

namespace lapilli::check {

namespace {

constexpr uint32_t kCanary = 0xFFA5FFA5;  // a NaN, and two of f16 and bf16; no operation makes this one
// Larger arenas, of a few tests, would take seconds to compare.
constexpr uint64_t kMostGuardedBytes = uint64_t{256} << 20U;

struct Range {
  uint64_t begin, end;
};

// The parts of a block that no kernel declares to write, in order.
std::vector<Range> untouched_ranges(const Slice& block, const std::vector<Slice>& writes) {
  std::vector<Range> written;
  for (const Slice& slice : writes)
    if (slice.overlaps(block)) written.push_back({slice.buffer_offset_bytes(), slice.buffer_offset_bytes() + slice.size_bytes()});
  std::ranges::sort(written, {}, &Range::begin);
  std::vector<Range> untouched;
  uint64_t at = 0;
  for (const Range& range : written) {
    if (range.begin > at) untouched.push_back({at, range.begin});
    at = std::max(at, range.end);
  }
  if (at < block.size_bytes()) untouched.push_back({at, block.size_bytes()});
  return untouched;
}

}  // namespace

Tensor KernelBench::place(Shape shape, DType dtype, bool is_output, std::vector<std::byte> bytes) {
  CHECK_EQ(bytes.size(), shape.elements() * size_bytes(dtype));
  const Tensor tensor = reserve_tensor(arena_, shape, "check", dtype);
  arena_.reserve(1, "canary");
  placed_.push_back({tensor, is_output, std::move(bytes)});
  return tensor;
}

Tensor KernelBench::input(Shape shape, const std::vector<float>& values, DType dtype) {
  if (size_bytes(dtype) == 2) {
    std::vector<uint16_t> rounded;
    for (const float value : values) rounded.push_back(round_to_bits(value, dtype));
    const auto bytes = std::as_bytes(std::span(rounded));
    return place(shape, dtype, false, {bytes.begin(), bytes.end()});
  }
  const auto bytes = std::as_bytes(std::span(values));
  return place(shape, DType::f32, false, {bytes.begin(), bytes.end()});
}

Tensor KernelBench::input(Shape shape, const std::vector<uint32_t>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return place(shape, DType::u32, false, {bytes.begin(), bytes.end()});
}

Tensor KernelBench::output(Shape shape, DType dtype) {
  return place(shape, dtype, true, std::vector<std::byte>(shape.elements() * size_bytes(dtype), std::byte{0xFF}));
}

void KernelBench::commit() {
  Device& device = kernels_.device();
  arena_.reserve(1, "canary");  // behind the scratch of operations
  arena_.commit(device);
  for (const Slice& block : arena_.all_memory())
    if (block.size_bytes() <= kMostGuardedBytes) write_slice(device, block, std::vector<uint32_t>(block.size_bytes() / sizeof kCanary, kCanary));
  for (Placed& placed : placed_) {
    write_slice(device, placed.tensor.slice(), placed.bytes);
    placed.bytes = {};
  }
}

void KernelBench::record(const std::function<void(Ops&)>& record) {
  if (!arena_.committed()) commit();
  program_ = std::make_unique<Program>(kernels_.device(), "check");
  Ops ops{*program_, kernels_};
  record(ops);
  program_->finish();
}

std::string KernelBench::run() {
  Device& device = kernels_.device();
  struct Guarded {
    Slice block;
    std::vector<Range> ranges;
    std::vector<std::byte> before;
  };
  std::vector<Guarded> guarded;
  for (const Slice& block : arena_.all_memory()) {
    if (block.size_bytes() > kMostGuardedBytes) continue;
    guarded.push_back({.block = block,
                       .ranges = untouched_ranges(block, program_->declared_writes()),
                       .before = read_slice<std::byte>(device, block)});
  }
  program_->run();
  for (const Guarded& guard : guarded) {
    const std::vector<std::byte> after = read_slice<std::byte>(device, guard.block);
    for (const Range& range : guard.ranges) {
      if (std::memcmp(&after[range.begin], &guard.before[range.begin], range.end - range.begin) == 0) continue;
      uint64_t at = range.begin;
      while (after[at] == guard.before[at]) ++at;
      return describe(guard.block, std::max(range.begin, at / 4 * 4));
    }
  }
  return {};
}

std::string KernelBench::describe(const Slice& block, uint64_t changed_byte) const {
  const Placed* before = nullptr;  // the last tensor that begins at or before the byte
  for (const Placed& placed : placed_)
    if (placed.tensor.slice().overlaps(block) && placed.tensor.slice().buffer_offset_bytes() <= changed_byte) before = &placed;
  if (before == nullptr) return fmt::format("a kernel changed byte {} of memory that it does not declare to write", changed_byte);
  const uint64_t at = changed_byte - before->tensor.slice().buffer_offset_bytes(), size = before->tensor.slice().size_bytes();
  const std::string name = fmt::format("the {} {}", before->is_output ? "output" : "input", before->tensor.shape().to_string());
  if (at < size) return fmt::format("a kernel changed byte {} of {}, which it does not declare to write", at, name);
  return fmt::format("a kernel changed memory {} bytes behind {}", at - size, name);
}

std::vector<float> KernelBench::read(const ConstTensor& tensor) const {
  Device& device = kernels_.device();
  if (size_bytes(tensor.dtype()) == 4) return read_slice<float>(device, tensor.slice());
  const std::vector<uint16_t> words = read_slice<uint16_t>(device, tensor.slice());
  std::vector<float> values;
  for (uint64_t i = 0; i < tensor.elements(); ++i) values.push_back(widen_bits(words[i], tensor.dtype()));
  return values;
}

std::vector<uint32_t> KernelBench::read_words(const ConstTensor& tensor) const { return read_slice<uint32_t>(kernels_.device(), tensor.slice()); }

}  // namespace lapilli::check
