#include "engine/base/log.h"

#include <spdlog/spdlog.h>

namespace lapilli {

void log_text(LogLevel level, std::string_view text) {
  const auto to_spdlog = [](LogLevel each) {
    switch (each) {
      case LogLevel::debug: return spdlog::level::debug;
      case LogLevel::warning: return spdlog::level::warn;
      case LogLevel::error: return spdlog::level::err;
      case LogLevel::critical: return spdlog::level::critical;
    }
    return spdlog::level::critical;
  };
  spdlog::default_logger_raw()->log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace lapilli
