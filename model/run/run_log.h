#pragma once
// The output of a run: metrics.jsonl for programs, log.txt and the terminal for users.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace lapilli {

class RunLog {
 public:
  // Opens run_dir/metrics.jsonl and run_dir/log.txt. When resuming at `resume_step`, first removes the lines of later
  // steps from metrics.jsonl: they will be written again.
  RunLog(const std::filesystem::path& run_dir, bool resuming, uint64_t resume_step);

  void event(const nlohmann::ordered_json& object);  // one line of metrics.jsonl, flushed
  // Terminal and log.txt. What is no text for a terminal (control bytes, broken UTF-8) is escaped: log.txt is UTF-8.
  void line(const std::string& text);
  void note(const std::string& text);                // log.txt alone
  void warn(const std::string& text);                // the same with "WARNING", and a `warning` event
  // On a terminal the text replaces the last progress; elsewhere nothing is printed.
  void progress(const std::string& text);
  bool on_terminal() const { return terminal_; }
  void sync();  // writes everything so far to disk

 private:
  void clear_progress();

  std::filesystem::path metrics_path_, log_path_;
  std::ofstream metrics_, log_;
  bool terminal_, showing_progress_ = false;
};

}  // namespace lapilli
