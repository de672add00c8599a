#pragma once
// Work for all processors at once: compiling kernels.

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <future>

namespace lapilli {

// Runs tasks side by side, as many as there are processors; they begin in the order in which they came.
class TaskPool {
 public:
  TaskPool();
  ~TaskPool();  // stops, and waits for the tasks that have begun
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  // From here on no task begins; the futures of those that have not throw std::future_error when the pool is gone.
  void stop() { pool_.stop(); }

  // What `task` returns or throws.
  template <typename Task>
  auto run(Task task) {
    return boost::asio::post(pool_, boost::asio::use_future(std::move(task)));
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace lapilli
