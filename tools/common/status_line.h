#pragma once
// What a command is doing while it has nothing else to print: one line on a terminal, with the seconds so far.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace lapilli {

// Shows nothing if stderr is not a terminal. Thread-safe.
class StatusLine {
 public:
  using Text = std::function<std::string()>;

  explicit StatusLine(Text text);
  ~StatusLine();  // clears it
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  // `text` is called several times a second by the line's own thread, until it is replaced. Empty: clears the line.
  void set(Text text);

 private:
  void show();  // REQUIRES: the mutex is held

  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::condition_variable changed_;
  Text text_;
  bool ends_ = false, is_shown_ = false;
  std::thread thread_;  // last member: it uses the others
};

}  // namespace lapilli
