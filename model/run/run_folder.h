#pragma once
// A run's folder: the names in it, and who may write there.

#include <filesystem>
#include <string>

#include "engine/base/file_lock.h"

namespace lapilli {

inline constexpr const char* kRunConfigName = "config.toml";
inline constexpr const char* kRunMetricsName = "metrics.jsonl";
inline constexpr const char* kRunLogName = "log.txt";
inline constexpr const char* kRunCheckpointsName = "checkpoints";
// The run's kernel choices: a resumed or repeated run gives the same bits.
inline constexpr const char* kRunTuningName = "tuning.json";

class RunFolder {
 public:
  // Makes the folder if it is missing, and locks it for as long as the object lives; the lock ends with the process, too. Throws Error when
  // another process trains in it, and when it is not what `resume` expects: a run with a checkpoint, or else an empty folder or a run
  // that was ended before its first checkpoint. `just_made`: the folder was made for this.
  RunFolder(std::filesystem::path path, bool resume, bool just_made = false);
  // Without keep(), leaves no trace of a folder that was made for it.
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  void keep();
  // Others may train here. The destructor does it, too.
  void unlock();
  // For a signal handler that ends the process: what the destructor does to the folder that was made and is not kept. Async-signal-safe.
  static void remove_unkept();

 private:
  void require_run(bool resume) const;

  std::filesystem::path path_;
  std::string lock_path_, made_path_;  // made_path_: empty, or the folder made
  LockedFile lock_;
};

// PARENT/NAME-1, NAME-2, ...: makes the first that does not exist. Two processes get two folders.
std::filesystem::path make_numbered_folder(const std::filesystem::path& parent, const std::string& name);

}  // namespace lapilli
