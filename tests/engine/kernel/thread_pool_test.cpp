#include "engine/kernel/thread_pool.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <thread>

#include "engine/base/error.h"

namespace lapilli::testing {
namespace {

TEST(ThreadPool, ReturnsResultOrExceptionOfATask_AndDropsQueuedTasks) {
  std::future<int> seven, failed, dropped;
  std::promise<void> go;
  {
    ThreadPool pool;
    seven = pool.run([] { return 7; });
    failed = pool.run([]() -> int { throw Error("no"); });
    EXPECT_EQ(seven.get(), 7);
    EXPECT_THROW(failed.get(), Error);
    // As many as there are threads, and one queued.
    const unsigned threads = std::max(std::thread::hardware_concurrency(), 1U);
    std::latch begun(threads);
    const auto wait = [&begun, held = go.get_future().share()] {
      begun.count_down();
      held.wait();
      return 1;
    };
    std::vector<std::future<int>> busy;
    for (unsigned i = 0; i < threads; ++i) busy.push_back(pool.run(wait));
    begun.wait();
    dropped = pool.run([] { return 2; });
    pool.stop();
    go.set_value();
    for (auto& task : busy) EXPECT_EQ(task.get(), 1);
  }
  EXPECT_THROW(dropped.get(), std::future_error);
}

}  // namespace
}  // namespace lapilli::testing
