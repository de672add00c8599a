#pragma once
// What is being tried just now, on disk: where a process dies inside a driver, its mark stays behind and names the culprit.
//
// A mark is a file beside another one, `<beside>.trying-XXXXXX`, under a lock (flock) that ends with its process, however that ends: a
// mark that nobody holds was left behind. Where the file system knows no locks, none counts as left behind.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

// One thing is tried at a time. Where a mark cannot be written, there is none: no Error is thrown here.
class TrialMark {
 public:
  explicit TrialMark(const std::filesystem::path& beside);  // empty: no mark
  ~TrialMark();                                             // removes it
  TrialMark(const TrialMark&) = delete;
  TrialMark& operator=(const TrialMark&) = delete;

  // Says what is tried from now on, until clear(). `synced`: also where the whole machine dies; it then takes as long as the disk.
  // A signal that ends the program by somebody's wish or by a limit (HUP, INT, QUIT, TERM, PIPE, ALRM, XCPU, USR1, USR2) removes the mark,
  // before it does what it was to do: nothing is to blame for it. After a program's own handler for it has returned, nothing is marked any
  // more in this process: it is about to end, and may be killed first.
  void set(std::string_view what, bool synced);
  void clear();
  // Leaves it behind as it is, as if the process had died. False: there is none, or somebody removed it.
  bool leave();

 private:
  void guard();
  void unguard();

  std::string path_;  // empty: no mark
  int descriptor_ = -1;
  bool guarding_ = false;
};

struct LeftMark {
  std::filesystem::path path;
  std::string what;  // empty: nothing was being tried
};
// Those of processes that are no more.
std::vector<LeftMark> left_marks(const std::filesystem::path& beside);

}  // namespace lapilli
