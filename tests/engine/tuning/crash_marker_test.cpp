// Markers of child processes that end in different ways.

#include "engine/tuning/crash_marker.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/common/files.h"

namespace lapilli::test {
namespace {

using lapilli::testing::TempDir;

class TrialMarkTest : public ::testing::Test {
 protected:
  // Actions of a child with a marker, before it ends without running destructors.
  void in_a_child(const std::function<void(TrialMark&)>& action) const {
    const pid_t child = fork();
    if (child == 0) {
      TrialMark mark(beside_);
      action(mark);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
  }
  std::vector<std::string> left() const {
    std::vector<std::string> texts;
    for (const LeftMark& mark : left_marks(beside_)) texts.push_back(mark.what);
    return texts;
  }

  TempDir dir_;
  std::filesystem::path beside_ = dir_ / "tuning.json";
};

TEST_F(TrialMarkTest, SetAndDead_IsLeft_ClearedAndDead_IsEmpty) {
  in_a_child([](TrialMark& mark) {
    mark.set("a long first one", true);
    mark.clear();
    mark.set("second", false);
  });
  EXPECT_EQ(left(), (std::vector<std::string>{"second"}));
  std::filesystem::remove(left_marks(beside_).front().path);
  in_a_child([](TrialMark& mark) {
    mark.set("proved itself", true);
    mark.clear();
  });
  EXPECT_EQ(left(), (std::vector<std::string>{""}));
}

TEST_F(TrialMarkTest, OfALivingProcess_IsNotLeft_AndItsEndRemovesIt) {
  {
    TrialMark mark(beside_);
    mark.set("trying", true);
    EXPECT_EQ(dir_.names().size(), 1U);
    EXPECT_TRUE(left().empty());
  }
  EXPECT_TRUE(dir_.names().empty());
  {
    TrialMark mark(beside_);
    mark.set("trying", true);
    EXPECT_TRUE(mark.leave());
    EXPECT_FALSE(mark.leave());
    mark.set("nothing any more", true);
    mark.clear();
  }
  EXPECT_EQ(left(), (std::vector<std::string>{"trying"}));
}

TEST_F(TrialMarkTest, EndedBySomebody_IsGone_KilledByADriver_IsLeft) {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) {
    in_a_child([=](TrialMark& mark) {
      mark.set("trying", false);
      raise(signal);
    });
    EXPECT_TRUE(dir_.names().empty()) << signal;
  }
  in_a_child([](TrialMark& mark) {
    std::signal(SIGHUP, SIG_IGN);  // as nohup does
    mark.set("trying", false);
    raise(SIGHUP);
  });
  for (const int signal : {SIGSEGV, SIGABRT, SIGKILL})
    in_a_child([=](TrialMark& mark) {
      mark.set("trying", false);
      raise(signal);
    });
  EXPECT_EQ(left(), (std::vector<std::string>(4, "trying")));
}

TEST_F(TrialMarkTest, WhereNothingCanBeWritten_ThereIsNone) {
  for (const std::filesystem::path& beside : {std::filesystem::path(), dir_ / "no such folder" / "tuning.json"}) {
    TrialMark mark(beside);
    mark.set("trying", true);
    mark.clear();
    EXPECT_FALSE(mark.leave());
    EXPECT_TRUE(left_marks(beside).empty());
  }
}

}  // namespace
}  // namespace lapilli::test
