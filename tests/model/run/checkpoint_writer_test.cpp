// Checkpoints written by a thread of its own, while the log goes on.

#include "model/run/checkpoint_writer.h"

#include "model/io/checkpoint.h"
#include "model/run/run_folder.h"
#include "model/run/run_log.h"
#include "model/transformer/parameters.h"
#include "tests/common/files.h"

#include <nlohmann/json.hpp>

namespace lapilli::testing {
namespace {

Config small_config() {
  Config config;
  config.model = {.layers = 2, .heads = 2, .kv_heads = 2, .dim = 8, .ffn_dim = 32, .context = 4, .vocab_size = 11};
  return config;
}

TrainingState state_of(const Config& config, uint64_t step) {
  const std::vector<float> values(ParameterTable(config.model).count(), static_cast<float>(step));
  return {.step = step, .values = values, .first_moment = values, .second_moment = values};
}

TEST(CheckpointWriter, WritesWhileTheLogGoesOn_AndTheLogIsSyncedFirst) {
  const TempDir dir;
  const Config config = small_config();
  RunLog log(dir.path(), /*resuming=*/false, 0);
  std::atomic<int> syncs = 0;
  CheckpointWriter writer(dir / "checkpoints", config, dir.write("tokenizer.model", "x"), [&] {
    log.sync();
    ++syncs;
  });
  for (uint64_t step = 1; step <= 20; ++step) {
    if (const auto before = writer.take(/*wait=*/true)) {
      EXPECT_EQ(before->step, step - 1);
      EXPECT_EQ(before->error, "");
    }
    writer.start(state_of(config, step));
    for (int i = 0; i < 50; ++i) log.event({{"event", "step"}, {"step", step}});
    log.note("a line");
  }
  const auto last = writer.take(/*wait=*/true);
  ASSERT_TRUE(last);
  EXPECT_FALSE(writer.take(/*wait=*/true));
  EXPECT_EQ(syncs, 20);
  EXPECT_EQ(load_checkpoint(last->folder).state.values, state_of(config, 20).values);
}

TEST(CheckpointWriter, AFailedWrite_IsReported_AndTheNextIsTried) {
  const TempDir dir;
  const Config config = small_config();
  CheckpointWriter writer(dir.write("file", "in the way") / "checkpoints", config, dir.write("tokenizer.model", "x"), [] {});
  for (uint64_t step = 1; step <= 2; ++step) {
    writer.start(state_of(config, step));
    const auto written = writer.take(/*wait=*/true);
    ASSERT_TRUE(written);
    EXPECT_EQ(written->step, step);
    EXPECT_NE(written->error.find("file"), std::string::npos) << written->error;
  }
}

// Two processes or threads that begin a run at once get a folder each.
TEST(RunFolder, NumberedFolders_AreMadeOnce) {
  const TempDir dir;
  std::vector<std::future<fs::path>> made;
  for (int i = 0; i < 8; ++i) made.push_back(std::async(std::launch::async, [&] { return make_numbered_folder(dir.path(), "x"); }));
  std::vector<fs::path> names;
  for (auto& folder : made) names.push_back(folder.get());
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  EXPECT_EQ(names.front(), dir / "x-1");
}

TEST(RunFolder, NotKept_LeavesNoTrace_Kept_Stays) {
  const TempDir dir;
  {
    const RunFolder folder(dir / "a", /*resume=*/false);
  }
  EXPECT_TRUE(dir.names().empty());
  {
    RunFolder folder(dir / "a", /*resume=*/false);
    folder.keep();
    EXPECT_TRUE(fs::exists(dir / "a" / ".lock"));
  }
  EXPECT_EQ(dir.names(), std::vector<std::string>{"a"});
  EXPECT_FALSE(fs::exists(dir / "a" / ".lock"));
  dir.write("a/notes.txt", "mine");
  EXPECT_ERROR_MENTIONS(error_of([&] { RunFolder(dir / "a", /*resume=*/false); }), "neither empty nor a run");
  EXPECT_ERROR_MENTIONS(error_of([&] { RunFolder(dir / "a", /*resume=*/true); }), "no checkpoint to resume");
  EXPECT_ERROR_MENTIONS(error_of([&] { RunFolder(dir / "b", /*resume=*/true); }), "there is no run folder");
}

}  // namespace
}  // namespace lapilli::testing
