#pragma once
// Transfers between host and device in a step: regions that the host writes before a program runs, or reads after it.
// On unified memory a region is the device memory itself; elsewhere it is a staging buffer and a recorded copy.

#include <memory>

#include "engine/program/program.h"

namespace lapilli {

enum class Direction { to_device, to_host };

class TransferRegion {
 public:
  // Reserves `size_bytes` (a multiple of 4) in `arena`; host() is valid once the arena is committed.
  TransferRegion(Device& device, Arena& arena, uint64_t size_bytes, const std::string& kind, Direction direction);
  ~TransferRegion();

  const Slice& device_slice() const { return slice_; }
  // REQUIRES: no program that uses the region is running.
  std::span<std::byte> host() const;
  // Records the copy if one is needed. Call it first in a program that reads the region, last in one that writes it.
  void record(Program& program) const;

 private:
  Direction direction_;
  Slice slice_;
  std::unique_ptr<Arena> staging_arena_;  // none on unified memory
  Slice staging_;
};

}  // namespace lapilli
