#include "engine/kernel/thread_pool.h"

#include <algorithm>
#include <thread>

namespace lapilli {

ThreadPool::ThreadPool() : pool_(std::max(std::thread::hardware_concurrency(), 1U)) {}

ThreadPool::~ThreadPool() {
  stop();
  pool_.join();
}

}  // namespace lapilli
