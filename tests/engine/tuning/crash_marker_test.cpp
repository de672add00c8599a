// Markers of child processes that end in different ways.

#include "engine/tuning/crash_marker.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "tests/common/files.h"

namespace lapilli::test {
namespace {

using lapilli::testing::TempDir;

class CrashMarkerTest : public ::testing::Test {
 protected:
  // Actions of a child with a marker, before it ends without running destructors.
  void in_a_child(const std::function<void(CrashMarker&)>& action) const {
    const pid_t child = fork();
    if (child == 0) {
      CrashMarker marker(beside_);
      action(marker);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
  }
  std::vector<std::string> left() const {
    std::vector<std::string> texts;
    for (const StaleCrashMarker& marker : stale_crash_markers(beside_)) texts.push_back(marker.what);
    return texts;
  }

  TempDir dir_;
  std::filesystem::path beside_ = dir_ / "tuning.json";
};

TEST_F(CrashMarkerTest, SetAndDead_IsLeft_ClearedAndDead_IsEmpty) {
  in_a_child([](CrashMarker& marker) {
    marker.set("a long first one", true);
    marker.clear();
    marker.set("second", false);
  });
  EXPECT_EQ(left(), (std::vector<std::string>{"second"}));
  std::filesystem::remove(stale_crash_markers(beside_).front().path);
  in_a_child([](CrashMarker& marker) {
    marker.set("proved itself", true);
    marker.clear();
  });
  EXPECT_EQ(left(), (std::vector<std::string>{""}));
}

// Between its creation and its lock a marker looks as if its process had died.
TEST_F(CrashMarkerTest, MadeWhileOthersRemoveStaleOnes_IsThere) {
  std::atomic<bool> ends = false;
  std::thread remover([&] {
    while (!ends)
      for (const StaleCrashMarker& marker : stale_crash_markers(beside_)) remove_stale_crash_marker(marker.path);
  });
  int missing = 0;
  for (int i = 0; i < 2000; ++i) {
    const CrashMarker marker(beside_);
    missing += dir_.names().size() == 1 ? 0 : 1;
  }
  ends = true;
  remover.join();
  EXPECT_EQ(missing, 0);
}

TEST_F(CrashMarkerTest, OfARunningProcess_IsNotStale_AndItsEndRemovesIt) {
  {
    CrashMarker marker(beside_);
    marker.set("trying", true);
    EXPECT_EQ(dir_.names().size(), 1U);
    EXPECT_TRUE(left().empty());
  }
  EXPECT_TRUE(dir_.names().empty());
  {
    CrashMarker marker(beside_);
    marker.set("trying", true);
    EXPECT_TRUE(marker.leave());
    EXPECT_FALSE(marker.leave());
    marker.set("nothing any more", true);
    marker.clear();
  }
  EXPECT_EQ(left(), (std::vector<std::string>{"trying"}));
}

TEST_F(CrashMarkerTest, TerminatedByASignal_IsRemoved_KilledByADriver_IsLeft) {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) {
    in_a_child([=](CrashMarker& marker) {
      std::signal(signal, SIG_DFL);  // the tests may run under nohup
      marker.set("trying", false);
      raise(signal);
    });
    EXPECT_TRUE(dir_.names().empty()) << signal;
  }
  in_a_child([](CrashMarker& marker) {
    std::signal(SIGHUP, SIG_IGN);  // as nohup does
    marker.set("trying", false);
    raise(SIGHUP);
  });
  for (const int signal : {SIGSEGV, SIGABRT, SIGKILL})
    in_a_child([=](CrashMarker& marker) {
      marker.set("trying", false);
      raise(signal);
    });
  EXPECT_EQ(left(), (std::vector<std::string>(4, "trying")));
}

TEST_F(CrashMarkerTest, WhereNothingCanBeWritten_ThereIsNone) {
  for (const std::filesystem::path& beside : {std::filesystem::path(), dir_ / "no such folder" / "tuning.json"}) {
    CrashMarker marker(beside);
    marker.set("trying", true);
    marker.clear();
    EXPECT_FALSE(marker.leave());
    EXPECT_TRUE(stale_crash_markers(beside).empty());
  }
}

}  // namespace
}  // namespace lapilli::test
