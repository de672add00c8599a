#include "engine/kernel/thread_pool.h"

#include <algorithm>
#include <thread>

namespace lapilli {

TaskPool::TaskPool() : pool_(std::max(std::thread::hardware_concurrency(), 1U)) {}

TaskPool::~TaskPool() {
  stop();
  pool_.join();
}

}  // namespace lapilli
