#include "tools/common/status_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace lapilli {

StatusLine::StatusLine(Text text) : text_(std::move(text)) {
  if (isatty(STDERR_FILENO) != 1) return;
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    while (!ends_) {
      show();
      changed_.wait_for(lock, std::chrono::milliseconds(200));
    }
  });
}

StatusLine::~StatusLine() {
  set(nullptr);
  {
    const std::scoped_lock lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StatusLine::set(Text text) {
  const std::scoped_lock lock(mutex_);
  text_ = std::move(text);
  if (text_ || !is_shown_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  is_shown_ = false;
}

// Without wrapping: a line wider than the terminal ends at its edge, and the next one starts in the same place.
void StatusLine::show() {
  if (!text_) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  std::fputs(fmt::format("\r\033[K\033[?7l{:.0f} s  {}\033[?7h", seconds, text_()).c_str(), stderr);
  std::fflush(stderr);
  is_shown_ = true;
}

}  // namespace lapilli
