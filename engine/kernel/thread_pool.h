#pragma once
// Runs kernel compilation on all processors.

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <future>

namespace lapilli {

// Runs tasks concurrently, as many as there are processors; they start in the order of the calls.
class ThreadPool {
 public:
  ThreadPool();
  ~ThreadPool();  // stops, and waits for the running tasks
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // No task starts from now on. The futures of tasks that never started throw std::future_error once the pool is
  // destroyed.
  void stop() { pool_.stop(); }

  // A future with what `task` returns or throws.
  template <typename Task>
  auto run(Task task) {
    return boost::asio::post(pool_, boost::asio::use_future(std::move(task)));
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace lapilli
