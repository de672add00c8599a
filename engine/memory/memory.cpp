#include "engine/memory/memory.h"

#include <algorithm>
#include <cstring>

#include "engine/base/integer_math.h"
#include "engine/memory/command_buffer.h"

namespace lapilli {

namespace {

constexpr uint64_t kAlignment = 256;

uint64_t align_up(uint64_t bytes) { return round_up(bytes, kAlignment); }

// The best memory type for the kind among those in `allowed`; UINT32_MAX when there is none. `unified`: one that the host can map, on the device
// if there is such a one.
uint32_t find_memory_type(VkPhysicalDevice physical, uint32_t allowed, MemoryKind kind, bool unified) {
  constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  constexpr VkMemoryPropertyFlags kVisible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
  std::vector<VkMemoryPropertyFlags> wishes;
  switch (kind) {
    case MemoryKind::device:
      if (unified) wishes = {kLocal | kVisible | kCached, kLocal | kVisible, kVisible | kCached, kVisible};
      else wishes = {kLocal};
      break;
    case MemoryKind::upload: wishes = {kVisible}; break;
    case MemoryKind::download: wishes = {kVisible | kCached, kVisible}; break;
  }
  VkPhysicalDeviceMemoryProperties memory;
  vkGetPhysicalDeviceMemoryProperties(physical, &memory);
  for (const VkMemoryPropertyFlags wish : wishes)
    for (uint32_t i = 0; i < memory.memoryTypeCount; ++i)
      if (((allowed >> i) & 1U) != 0 && (memory.memoryTypes[i].propertyFlags & wish) == wish) return i;
  return UINT32_MAX;
}

}  // namespace

Buffer::Buffer(Device& device, uint64_t size_bytes, MemoryKind kind) : device_(device), size_bytes_(size_bytes) {
  if (device.record_only()) return;
  try {
    allocate(kind);
  } catch (...) {
    free_handles();
    throw;
  }
  device_.track_allocation(static_cast<int64_t>(size_bytes_));
}

void Buffer::allocate(MemoryKind kind) {
  const VkBufferCreateInfo info{.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                .size = std::max<uint64_t>(size_bytes_, 1),
                                .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                                         VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT};
  vk_check(vkCreateBuffer(device_.handle(), &info, nullptr, &buffer_), "vkCreateBuffer");
  VkMemoryRequirements needs;
  vkGetBufferMemoryRequirements(device_.handle(), buffer_, &needs);
  const bool maps = kind != MemoryKind::device || device_.caps().unified_memory;
  const uint32_t type = find_memory_type(device_.physical(), needs.memoryTypeBits, kind, maps);
  if (type == UINT32_MAX)
    throw Error("the driver of {} has no memory that {} for a buffer of {:.0f} MiB", device_.caps().name,
                maps ? "the host can map" : "is on the device", mib(size_bytes_));
  const VkMemoryAllocateFlagsInfo flags{.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO, .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
  const VkMemoryAllocateInfo allocation{.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                        .pNext = &flags,
                                        .allocationSize = needs.size + (kind == MemoryKind::device ? device_.caps().overread_padding_bytes : 0),
                                        .memoryTypeIndex = type};
  const VkResult result = vkAllocateMemory(device_.handle(), &allocation, nullptr, &memory_);
  if (result == VK_ERROR_DEVICE_LOST) vk_check(result, "vkAllocateMemory");
  if (result != VK_SUCCESS)
    throw Error("the device {} cannot allocate {:.0f} MiB of memory in one piece ({:.0f} MiB are free)", device_.caps().name, mib(size_bytes_),
                mib(device_.query_available_bytes()));
  vk_check(vkBindBufferMemory(device_.handle(), buffer_, memory_, 0), "vkBindBufferMemory");
  const VkBufferDeviceAddressInfo where{.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buffer_};
  address_ = vkGetBufferDeviceAddress(device_.handle(), &where);
  if (!maps) return;
  void* mapped = nullptr;
  vk_check(vkMapMemory(device_.handle(), memory_, 0, VK_WHOLE_SIZE, 0, &mapped), "vkMapMemory");
  mapped_ = static_cast<std::byte*>(mapped);
}

void Buffer::free_handles() {
  vkDestroyBuffer(device_.handle(), buffer_, nullptr);
  vkFreeMemory(device_.handle(), memory_, nullptr);
}

Buffer::~Buffer() {
  if (memory_ == VK_NULL_HANDLE) return;
  free_handles();
  device_.track_allocation(-static_cast<int64_t>(size_bytes_));
}

Slice Slice::sub(uint64_t offset_bytes, uint64_t size_bytes) const {
  CHECK(offset_bytes <= size_bytes_ && size_bytes <= size_bytes_ - offset_bytes, "{} + {} > {}", offset_bytes, size_bytes, size_bytes_);
  Slice part = *this;
  part.offset_bytes_ += offset_bytes;
  part.size_bytes_ = size_bytes;
  return part;
}

Slice Slice::part(uint32_t number) const {
  CHECK(number > 0 && part_ == 0, "part {} of part {}", number, part_);
  Slice part = *this;
  part.part_ = number;
  return part;
}

const Buffer& Slice::buffer() const {
  CHECK(arena_ != nullptr && arena_->committed(), "a slice is used before its arena is committed");
  return *arena_->blocks_[block_];
}

std::byte* Slice::mapped() const {
  std::byte* mapped = buffer().mapped();
  return mapped == nullptr ? nullptr : mapped + offset_bytes_;
}

VkDeviceAddress Slice::address() const { return buffer().address() + offset_bytes_; }

Arena::Arena(const DeviceCaps& caps, std::string name, MemoryKind memory)
    : name_(std::move(name)), memory_(memory), block_limit_bytes_(caps.max_allocation_bytes / kAlignment * kAlignment) {}

Arena::~Arena() = default;

Slice Arena::reserve(uint64_t size_bytes, const std::string& kind) {
  CHECK(!committed(), "reservation of {} bytes after commit", size_bytes);
  const uint64_t size = align_up(std::max<uint64_t>(size_bytes, 1));
  if (size > block_limit_bytes_)
    throw Error(
        "one tensor ({}) needs {:.0f} MiB, more than the {:.0f} MiB this device allocates at once; use a smaller "
        "batch, context or loss chunk, or a smaller model where it holds one value for each parameter",
        kind, mib(size), mib(block_limit_bytes_));
  Slice slice;
  slice.arena_ = this;
  slice.size_bytes_ = size_bytes;
  while (slice.block_ < tops_.size() && tops_[slice.block_] + size > block_limit_bytes_) ++slice.block_;
  if (slice.block_ == tops_.size()) {
    tops_.push_back(0);
    peaks_.push_back(0);
  }
  slice.offset_bytes_ = tops_[slice.block_];
  tops_[slice.block_] += size;
  peaks_[slice.block_] = std::max(peaks_[slice.block_], tops_[slice.block_]);
  bytes_by_kind_[kind] += size;
  return slice;
}

void Arena::AliasScope::close_group() {
  start_.resize(arena_.tops_.size(), 0);
  most_.resize(arena_.tops_.size(), 0);
  for (size_t i = 0; i < most_.size(); ++i) most_[i] = std::max(most_[i], arena_.tops_[i]);
}

void Arena::AliasScope::next() {
  close_group();
  arena_.tops_ = start_;
}

Arena::AliasScope::~AliasScope() {
  close_group();
  arena_.tops_ = most_;
}

std::vector<Slice> Arena::all_memory() const {
  std::vector<Slice> all;
  for (const auto& block : blocks_) {
    Slice slice;
    slice.arena_ = this;
    slice.block_ = static_cast<uint32_t>(all.size());
    slice.size_bytes_ = block->size_bytes();
    all.push_back(slice);
  }
  return all;
}

uint64_t Arena::planned_bytes() const {
  uint64_t sum = 0;
  for (const uint64_t bytes : peaks_) sum += bytes;
  return sum;
}

void Arena::commit_all(Device& device, const std::vector<Arena*>& arenas) {
  uint64_t planned = 0;
  std::string kinds;
  for (const Arena* arena : arenas) {
    CHECK(!arena->committed(), "{} is committed twice", arena->name_);
    if (arena->memory_ != MemoryKind::device) continue;
    planned += arena->planned_bytes();
    for (const auto& [kind, bytes] : arena->bytes_by_kind_) kinds += fmt::format("{}{} {:.0f}", kinds.empty() ? "" : ", ", kind, mib(bytes));
  }
  const uint64_t available = device.query_available_bytes();
  if (planned > available && !device.record_only())
    throw Error("this needs {:.0f} MiB of device memory (MiB by kind: {}), but {} has {:.0f} MiB free", mib(planned), kinds, device.caps().name,
                mib(available));
  try {
    for (Arena* arena : arenas)
      for (const uint64_t bytes : arena->peaks_) arena->blocks_.push_back(std::make_unique<Buffer>(device, bytes, arena->memory_));
  } catch (...) {
    for (Arena* arena : arenas) arena->blocks_.clear();  // all or none
    throw;
  }
}

void write_slice(Device& device, const Slice& destination, std::span<const std::byte> source) {
  CHECK(source.size() <= destination.size_bytes(), "{} bytes into {}", source.size(), destination.size_bytes());
  CHECK(!device.record_only(), "{} bytes for a device that only records", source.size());
  if (source.empty()) return;
  if (std::byte* mapped = destination.mapped()) {
    std::memcpy(mapped, source.data(), source.size());
    return;
  }
  const Buffer staging(device, source.size(), MemoryKind::upload);
  std::memcpy(staging.mapped(), source.data(), source.size());
  run_once(device, [&](VkCommandBuffer commands) {
    const VkBufferCopy region{.srcOffset = 0, .dstOffset = destination.buffer_offset_bytes(), .size = source.size()};
    vkCmdCopyBuffer(commands, staging.handle(), destination.buffer().handle(), 1, &region);
  });
}

void read_slice(Device& device, std::span<std::byte> destination, const Slice& source) {
  CHECK(destination.size() <= source.size_bytes(), "{} bytes from {}", destination.size(), source.size_bytes());
  CHECK(!device.record_only(), "{} bytes from a device that only records", destination.size());
  if (destination.empty()) return;
  if (const std::byte* mapped = source.mapped()) {
    std::memcpy(destination.data(), mapped, destination.size());
    return;
  }
  const Buffer staging(device, destination.size(), MemoryKind::download);
  run_once(device, [&](VkCommandBuffer commands) {
    const VkBufferCopy region{.srcOffset = source.buffer_offset_bytes(), .dstOffset = 0, .size = destination.size()};
    vkCmdCopyBuffer(commands, source.buffer().handle(), staging.handle(), 1, &region);
  });
  std::memcpy(destination.data(), staging.mapped(), destination.size());
}

}  // namespace lapilli
