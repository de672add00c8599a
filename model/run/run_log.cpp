#include "model/run/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/utf8.h"
#include "model/run/run_folder.h"

namespace lapilli {

namespace {

void drop_later_steps(const std::filesystem::path& path, uint64_t last_step) {
  if (!std::filesystem::exists(path)) return;
  std::istringstream lines(read_text_file(path));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto object = parse_json(line);
    if (!object.is_object()) continue;  // truncated by a power failure
    const auto event = object.find("event"), step = object.find("step");
    if (event == object.end() || *event == "end") continue;
    if (step != object.end() && (!step->is_number_unsigned() || step->get<uint64_t>() > last_step)) continue;
    kept += line + '\n';
  }
  write_file_atomically(path, kept);
}

void sync_file(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

}  // namespace

RunLog::RunLog(const std::filesystem::path& run_dir, bool resuming, uint64_t resume_step)
    : metrics_path_(run_dir / kRunMetricsName), log_path_(run_dir / kRunLogName), terminal_(isatty(STDOUT_FILENO) == 1) {
  if (resuming) drop_later_steps(metrics_path_, resume_step);
  const auto mode = resuming ? std::ios::app : std::ios::trunc;
  metrics_.open(metrics_path_, mode);
  log_.open(log_path_, mode);
  if (!metrics_ || !log_) throw Error("cannot write to the run folder '{}'", run_dir.string());
}

void RunLog::event(const nlohmann::ordered_json& object) {
  errno = 0;
  metrics_ << json_text(object) << '\n';
  metrics_.flush();
  if (!metrics_) throw Error("cannot write '{}': {}", metrics_path_.string(), errno == 0 ? "the disk refuses it" : std::strerror(errno));
}

void RunLog::clear_progress() {
  if (showing_progress_) std::fputs("\r\033[K", stdout);
  showing_progress_ = false;
}

void RunLog::line(const std::string& text) {
  clear_progress();
  std::fputs((printable(text) + '\n').c_str(), stdout);
  std::fflush(stdout);
  note(text);
}

void RunLog::note(const std::string& text) {
  log_ << printable(text) << '\n';
  log_.flush();
}

void RunLog::warn(const std::string& text) {
  line("WARNING: " + text);
  event({{"event", "warning"}, {"message", text}});
}

void RunLog::progress(const std::string& text) {
  if (!terminal_) return;
  clear_progress();
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  showing_progress_ = true;
}

void RunLog::sync() {
  sync_file(metrics_path_);
  sync_file(log_path_);
}

}  // namespace lapilli
