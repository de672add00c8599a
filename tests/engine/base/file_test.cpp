// Files and folders that are complete or absent, and what happens when other processes die, or change them.

#include "engine/base/file.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "engine/base/mapped_file.h"
#include "engine/base/staged_folder.h"
#include "engine/kernel/device_cache.h"
#include "tests/common/files.h"

namespace lapilli::testing {
namespace {

using Names = std::vector<std::string>;

// Runs `action` in another process and kills it there, as by kill -9.
template <typename Action>
void in_a_process_that_is_killed(Action&& action) {
  const pid_t child = fork();
  if (child == 0) {
    action();
    raise(SIGKILL);
    _exit(1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(File, Read_EverySize_GivesAllBytes) {
  const TempDir dir;
  for (const size_t size : {0, 1, 65534, 65535, 65536, 65537, 200000}) {
    std::string text(size, 'x');
    for (size_t i = 0; i < size; i += 7) text[i] = static_cast<char>(i % 251);
    const fs::path path = dir.write("file", text);
    EXPECT_EQ(read_text_file(path), text) << size;
    EXPECT_EQ(read_binary_file(path).size(), size);
  }
  EXPECT_ERROR_MENTIONS(error_of([&] { read_text_file(dir.path()); }), "it is a folder");
  EXPECT_ERROR_MENTIONS(error_of([&] { read_text_file(dir / "none"); }), "none", "No such file");
}

TEST(AtomicFile, LeftoversOfDeadProcesses_AreRemoved_ThoseOfLivingOnesStay) {
  const TempDir dir;
  in_a_process_that_is_killed([&] { (new AtomicFile(dir / "a.txt"))->write("half"); });
  ASSERT_EQ(dir.names().size(), 1U);
  AtomicFile living(dir / "a.txt");
  living.write("living");
  ASSERT_EQ(dir.names().size(), 1U);
  const std::string name = dir.names()[0];
  write_file_atomically(dir / "a.txt", "other");
  write_file_atomically(dir / "b.txt", "another file");
  EXPECT_EQ(dir.names(), (Names{"a.txt", name, "b.txt"}));
  living.commit();
  EXPECT_EQ(dir.names(), (Names{"a.txt", "b.txt"}));
  EXPECT_EQ(read_text_file(dir / "a.txt"), "living");
}

TEST(StagedFolder, Publish_ReplacesTheWholeFolder) {
  const TempDir dir;
  for (const char* text : {"one", "two"}) {
    StagedFolder staged(dir / "out");
    write_file_atomically(staged / "file", text);
    staged.publish();
  }
  EXPECT_EQ(dir.names(), Names{"out"});
  EXPECT_EQ(read_text_file(dir / "out" / "file"), "two");
}

TEST(StagedFolder, LeftoversOfDeadProcesses_AreRemoved_ThoseOfLivingOnesStay) {
  const TempDir dir;
  in_a_process_that_is_killed([&] { dir.write((new StagedFolder(dir / "out"))->path().filename().string() + "/half", "half"); });
  ASSERT_EQ(dir.names().size(), 1U);
  fs::create_directories(dir / ".out.of-another-program");
  const StagedFolder living(dir / "out");
  StagedFolder staged(dir / "out");
  staged.publish();
  Names expected{".out.of-another-program", living.path().filename().string(), "out"};
  std::ranges::sort(expected);
  EXPECT_EQ(dir.names(), expected);
}

TEST(StagedFolder, PublishFiles_LeavesOthersAlone_AndTheLastFileIsTheSeal) {
  const TempDir dir;
  fs::create_directories(dir / "out" / ".git");
  dir.write("out/a", "old a");
  dir.write("out/seal", "old seal");
  constexpr const char* kNames[] = {"a", "b", "seal"};
  {
    StagedFolder staged(dir / "out");
    for (const char* name : {"b", "seal"}) write_file_atomically(staged / name, std::string("new ") + name);
    staged.publish_files(kNames);
  }
  EXPECT_EQ(dir.names(), Names{"out"});
  EXPECT_TRUE(fs::exists(dir / "out" / ".git"));
  EXPECT_FALSE(fs::exists(dir / "out" / "a"));
  EXPECT_EQ(read_text_file(dir / "out" / "b"), "new b");
  EXPECT_EQ(read_text_file(dir / "out" / "seal"), "new seal");
}

TEST(StagedFolder, PublishFiles_AFolderInTheWay_ChangesNothing) {
  const TempDir dir;
  fs::create_directories(dir / "out" / "b" / "x");
  dir.write("out/a", "old a");
  constexpr const char* kNames[] = {"a", "b"};
  StagedFolder staged(dir / "out");
  for (const char* name : kNames) write_file_atomically(staged / name, "new");
  EXPECT_ERROR_MENTIONS(error_of([&] { staged.publish_files(kNames); }), "out/b' is a folder");
  EXPECT_EQ(read_text_file(dir / "out" / "a"), "old a");
}

TEST(LockFile, AnotherProcessHoldsIt_IsBusyUntilItDies) {
  const TempDir dir;
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  if (child == 0) {
    const LockedFile lock = lock_file(dir / "lock");
    if (lock.state != LockState::held || write(pipes[1], "x", 1) != 1) _exit(1);
    pause();
  }
  char byte = 0;
  ASSERT_EQ(read(pipes[0], &byte, 1), 1);
  EXPECT_EQ(lock_file(dir / "lock").state, LockState::busy);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(lock_file(dir / "lock").state, LockState::held);
  close(pipes[0]);
  close(pipes[1]);
}

// Whoever holds it removes the file, as a run does at its end: one that had opened it before holds a lock of nothing.
TEST(LockFile, RemovedByItsHolder_IsNeverHeldTwice) {
  const TempDir dir;
  std::atomic<int> holders = 0, twice = 0;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 60; ++i) {
        const LockedFile lock = lock_file(dir / "lock");
        if (lock.state != LockState::held) continue;
        if (holders.fetch_add(1) != 0) ++twice;
        std::this_thread::yield();
        --holders;
        fs::remove(dir / "lock");
      }
    });
  }
  threads.clear();
  EXPECT_EQ(twice, 0);
}

// The driver may notice what is damaged, too, and then a run does not show who did.
TEST(CachedFile, AnyFlippedByte_IsNotUsed) {
  const TempDir dir;
  const std::vector<std::byte> bytes(20, std::byte{7});
  write_cached(dir / "kernel", bytes);
  ASSERT_EQ(read_cached(dir / "kernel"), bytes);
  const std::string whole = read_text_file(dir / "kernel");
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_TRUE(read_cached(dir.write("kernel", damaged)).empty()) << i;
  }
}

// A file that is cut short while it is mapped: an Error, not a signal.
TEST(MappedFile, CutShort_IsAnError) {
  const TempDir dir;
  const std::string text(100000, 'x');
  for (const uintmax_t length : {uintmax_t{0}, uintmax_t{1}, uintmax_t{4096}, uintmax_t{50000}, uintmax_t{99999}}) {
    const fs::path path = dir.write("file", text);
    const MappedFile file(path), other(dir.write("other", text));
    EXPECT_EQ(error_of([&] { file.require_whole(); }), "");
    fs::resize_file(path, length);
    size_t sum = 0;
    for (const std::byte byte : file.bytes()) sum += byte == std::byte{'x'} ? 1 : 0;
    EXPECT_LE(sum, 100000U);
    EXPECT_ERROR_MENTIONS(error_of([&] { file.require_whole(); }), "file", "cut short");
    fs::resize_file(path, text.size());
    for (const std::byte byte : other.bytes()) sum += byte == std::byte{'x'} ? 1 : 0;
    EXPECT_EQ(error_of([&] { other.require_whole(); }), "");
  }
}

}  // namespace
}  // namespace lapilli::testing
