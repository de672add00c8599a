#include "tokenizer/data/batch_stream.h"

namespace lapilli {

Prefetcher::Prefetcher(Maker maker, uint64_t first_index, size_t depth)
    : maker_(std::move(maker)), depth_(depth == 0 ? 1 : depth), next_to_make_(first_index), thread_([this] { work(); }) {}

Prefetcher::~Prefetcher() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  has_room_.notify_one();
  thread_.join();
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    has_room_.wait(lock, [&] { return stopping_ || ready_.size() < depth_; });
    if (stopping_) return;
    const uint64_t index = next_to_make_++;
    const uint64_t generation = generation_;
    Slot slot;
    lock.unlock();
    try {
      slot.batch = maker_(index);
    } catch (...) {
      slot.error = std::current_exception();
    }
    lock.lock();
    if (generation != generation_) continue;
    ready_.push_back(std::move(slot));
    has_batch_.notify_one();
  }
}

Batch Prefetcher::next() {
  std::unique_lock lock(mutex_);
  has_batch_.wait(lock, [&] { return !ready_.empty(); });
  if (ready_.front().error) std::rethrow_exception(ready_.front().error);  // stays first: every next() reports it
  Batch batch = std::move(ready_.front().batch);
  ready_.pop_front();
  lock.unlock();
  has_room_.notify_one();
  return batch;
}

void Prefetcher::seek(uint64_t index) {
  {
    const std::scoped_lock lock(mutex_);
    ready_.clear();
    next_to_make_ = index;
    ++generation_;
  }
  has_room_.notify_one();
}

}  // namespace lapilli
