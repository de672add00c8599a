#pragma once
// Device memory: buffers that own it, arenas that plan it, slices that borrow it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/vulkan/device.h"

namespace lapilli {

enum class MemoryKind {
  device,    // for kernels; on unified memory also mapped
  upload,    // host writes, device reads; mapped
  download,  // device writes, host reads; mapped and cached
};

// One VkBuffer with its own memory. Slices borrow it: it must outlive them. On a record-only device it has a size but
// no handle and no memory; its address is 0.
class Buffer {
 public:
  // Throws Error with the size and the free memory when the device cannot allocate it.
  Buffer(Device& device, uint64_t size_bytes, MemoryKind kind);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  VkBuffer handle() const { return buffer_; }
  VkDeviceAddress address() const { return address_; }
  uint64_t size_bytes() const { return size_bytes_; }
  std::byte* mapped() const { return mapped_; }  // null when not host-visible

 private:
  void allocate(MemoryKind kind);
  void free_handles();

  Device& device_;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  VkDeviceMemory memory_ = VK_NULL_HANDLE;
  VkDeviceAddress address_ = 0;
  uint64_t size_bytes_ = 0;
  std::byte* mapped_ = nullptr;
};

class Arena;

// A borrowed range of bytes of an arena. Cheap to copy; valid as long as the arena. address() and buffer() require that
// the arena is committed.
class Slice {
 public:
  Slice() = default;
  explicit operator bool() const { return arena_ != nullptr; }

  uint64_t size_bytes() const { return size_bytes_; }
  Slice sub(uint64_t offset_bytes, uint64_t size_bytes) const;

  VkDeviceAddress address() const;
  const Buffer& buffer() const;
  uint64_t buffer_offset_bytes() const { return offset_bytes_; }
  std::byte* mapped() const;  // null when not host-visible
  // The bytes of the slice that belong to a part, 1 or above, where several kernels share a range and none touches another's bytes, such as
  // columns of a matrix. Parts of different numbers do not overlap; a slice that is no part overlaps them all.
  Slice part(uint32_t number) const;
  bool overlaps(const Slice& other) const {
    const bool are_parts = part_ != 0 && other.part_ != 0 && part_ != other.part_;
    return !are_parts && arena_ == other.arena_ && block_ == other.block_ && offset_bytes_ < other.offset_bytes_ + other.size_bytes_ &&
           other.offset_bytes_ < offset_bytes_ + size_bytes_;
  }

 private:
  friend class Arena;
  const Arena* arena_ = nullptr;
  uint32_t block_ = 0;
  uint64_t offset_bytes_ = 0, size_bytes_ = 0;
  uint32_t part_ = 0;
};

// Memory planned first and allocated once: reserve() returns slices, commit() allocates them all. Groups of
// reservations that are never alive at the same time share memory (AliasScope); the recorder sees the overlap and
// inserts barriers.
class Arena {
 public:
  explicit Arena(const DeviceCaps& caps, std::string name = "arena", MemoryKind memory = MemoryKind::device);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `kind` groups reservations in the memory plan ("parameters", "activations", ...). Aligned to 256 bytes.
  // Throws Error when one reservation is larger than the device can allocate at once. REQUIRES: not committed.
  Slice reserve(uint64_t size_bytes, const std::string& kind);

  // Inside this scope, reservations after next() share memory with those before it. When the scope ends, the memory of
  // the largest group stays reserved. Scopes nest.
  class AliasScope {
   public:
    explicit AliasScope(Arena& arena) : arena_(arena), start_(arena.tops_), most_(arena.tops_) {}
    ~AliasScope();
    AliasScope(const AliasScope&) = delete;
    AliasScope& operator=(const AliasScope&) = delete;
    void next();

   private:
    void close_group();
    Arena& arena_;
    std::vector<uint64_t> start_, most_;
  };

  // Throws Error with the plan by kind, before anything is allocated, when the device has too little free memory. An error leaves all of
  // them uncommitted.
  void commit(Device& device) { commit_all(device, {this}); }
  static void commit_all(Device& device, const std::vector<Arena*>& arenas);  // checks that all fit together
  bool committed() const { return !blocks_.empty(); }
  // All memory of the arena, one slice for each of its buffers. REQUIRES: committed.
  std::vector<Slice> all_memory() const;

  uint64_t planned_bytes() const;
  // Sum of the reservations of each kind; together larger than planned_bytes() where reservations share memory.
  const std::map<std::string, uint64_t>& bytes_by_kind() const { return bytes_by_kind_; }

 private:
  friend class Slice;
  std::string name_;
  MemoryKind memory_;
  uint64_t block_limit_bytes_;
  std::vector<uint64_t> tops_;  // next free byte of each block
  std::vector<uint64_t> peaks_;  // size of each block
  std::map<std::string, uint64_t> bytes_by_kind_;
  std::vector<std::unique_ptr<Buffer>> blocks_;
};

// Blocking copies between host and device memory, for set-up, checkpoints and tests; never used inside a step.
void write_slice(Device& device, const Slice& destination, std::span<const std::byte> source);
void read_slice(Device& device, std::span<std::byte> destination, const Slice& source);

template <typename T>
void write_slice(Device& device, const Slice& destination, const std::vector<T>& source) {
  write_slice(device, destination, std::as_bytes(std::span(source)));
}
template <typename T>
std::vector<T> read_slice(Device& device, const Slice& source) {
  std::vector<T> values(source.size_bytes() / sizeof(T));
  read_slice(device, std::as_writable_bytes(std::span(values)), source);
  return values;
}

}  // namespace lapilli
