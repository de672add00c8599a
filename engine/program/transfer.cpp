#include "engine/program/transfer.h"

namespace lapilli {

TransferRegion::TransferRegion(Device& device, Arena& arena, uint64_t size_bytes, const std::string& kind, Direction direction)
    : direction_(direction), slice_(arena.reserve(size_bytes, kind)) {
  CHECK(size_bytes % 4 == 0, "{} bytes", size_bytes);
  if (device.caps().unified_memory) return;
  staging_arena_ = std::make_unique<Arena>(device.caps(), "staging", direction == Direction::to_device ? MemoryKind::upload : MemoryKind::download);
  staging_ = staging_arena_->reserve(size_bytes, kind);
  staging_arena_->commit(device);
}

TransferRegion::~TransferRegion() = default;

std::span<std::byte> TransferRegion::host() const {
  const Slice& visible = staging_ ? staging_ : slice_;
  std::byte* mapped = visible.mapped();
  CHECK(mapped != nullptr, "unified memory that the host cannot see");
  return {mapped, slice_.size_bytes()};
}

void TransferRegion::record(Program& program) const {
  if (!staging_) return;
  if (direction_ == Direction::to_device) {
    program.copy(slice_, staging_);
  } else {
    program.copy(staging_, slice_);
  }
}

}  // namespace lapilli
