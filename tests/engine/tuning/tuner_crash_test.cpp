// The tuner with candidates that lose the device, or end the program.

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdlib>
#include <new>
#include <sstream>

#include "engine/base/file.h"
#include "tests/engine/tuning/tuner_fixture.h"

namespace lapilli::test {
namespace {

using TunerCrashTest = TunerTest;
using TunerDeathTest = TunerTest;

std::string lost_device_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DeviceLost& lost) {
    return lost.what();
  }
  return {};
}
std::function<double(int)> in_run(int bad, const std::function<void()>& action) {
  return [=](int run) {
    if (run == bad) action();
    return 1e-6;
  };
}
void lose_device() { throw DeviceLost("vkWaitSemaphores gave: the device was lost"); }

TEST_F(TunerCrashTest, LostDevice_EndsTheRunWithTheCandidatesName_AndIsNotTriedAgain) {
  for (const int bad : {0, 2}) {  // in the first run, in a round
    const std::string key = fmt::format("loss{} 4x4 f32", bad);
    Candidates candidates{{"full", "tokens", "vocab"}, {takes(2), in_run(bad, lose_device), takes(1)}};
    Tuner first = tuner();
    EXPECT_ERROR_MENTIONS(lost_device_of([&] { candidates.choose(first, key); }), key, "tokens", "the device was lost", "run again", "--no-tune");
    EXPECT_EQ(candidates.runs.back(), 't');

    Candidates again{candidates.names, candidates.seconds};
    Tuner second = tuner();
    const TunedChoice choice = again.choose(second, key);
    EXPECT_EQ(choice.index, 2U);
    EXPECT_EQ(choice.seconds, (std::vector<double>{2, kInfinity, 1}));
    EXPECT_EQ(again.prepared, "fv");
    EXPECT_EQ(again.runs.find('t'), std::string::npos);
    EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
  }
}

TEST_F(TunerCrashTest, LostDevice_IsRememberedForOtherShapesToo_ButForThePreferred) {
  Tuner first = tuner();
  Candidates broken{{"full", "tokens"}, {takes(1), in_run(0, lose_device)}};
  EXPECT_NE(lost_device_of([&] { broken.choose(first, "loss 4x4"); }), "");
  broken.seconds[0] = in_run(0, lose_device);
  EXPECT_NE(lost_device_of([&] { broken.choose(first, "loss 5x5"); }), "");
  Tuner second = tuner();
  for (const auto& [key, prepared] : {std::pair("loss 8x8", "f"), std::pair("product 8x8", "ft")}) {
    Candidates other = full_and_tokens(2, 1);
    other.choose(second, key);
    EXPECT_EQ(other.prepared, prepared) << key;
  }
  // Both have crashed: the run continues with the preferred one, unmeasured.
  Tuner third = tuner();
  EXPECT_NE(lost_device_of([&] { broken.choose(first, "loss 4x4"); }), "");
  Tuner fourth = tuner();
  Candidates both = full_and_tokens(2, 1);
  EXPECT_FALSE(fourth.would_measure("loss 4x4", both.names));
  const TunedChoice choice = both.choose(fourth, "loss 4x4");
  EXPECT_EQ(choice.index, 0U);
  EXPECT_EQ(choice.reason, "not measured: all crashed before");
  EXPECT_EQ(both.prepared, "");
}

// A run's own file, from which it is resumed later.
TEST_F(TunerCrashTest, Crashes_GoIntoAnotherFileWithTheChoices) {
  Tuner first = tuner();
  Candidates broken{{"full", "tokens"}, {in_run(0, lose_device), takes(1)}};
  EXPECT_NE(lost_device_of([&] { broken.choose(first); }), "");
  Tuner second = tuner();
  const std::filesystem::path own = dir_ / "own.json";
  TuningFile(caps(), kKernels, own).add(second.decisions(), second.crashes());
  Tuner resumed(caps(), kKernels, {.measure = false, .file = own});
  EXPECT_EQ(broken.choose(resumed).index, 1U);
}

TEST_F(TunerCrashTest, WithoutMeasuring_CrashedCandidatesAreNotChosen) {
  Tuner first = tuner();
  Candidates broken{{"full", "tokens"}, {in_run(0, lose_device), takes(1)}};
  EXPECT_NE(lost_device_of([&] { broken.choose(first); }), "");
  const std::vector<std::string> files = dir_.names();
  Tuner quiet = quiet_tuner();
  EXPECT_EQ(broken.choose(quiet).index, 1U);
  EXPECT_EQ(broken.choose(quiet, "product 4x4").index, 0U);
  EXPECT_EQ(dir_.names(), files);  // nothing is written
}

TEST_F(TunerDeathTest, DriverAborts_TheNextRunSkipsTheCandidateAndSaysSo) {
  for (const int bad : {0, 3}) {
    const std::string key = fmt::format("loss{} 4x4 f32", bad);
    Candidates candidates{{"full", "tokens"}, {takes(2), in_run(bad, [] { std::abort(); })}};
    EXPECT_EXIT(
        {
          Tuner first = tuner();
          candidates.choose(first, key);
        },
        ::testing::KilledBySignal(SIGABRT), "");
    std::ostringstream log;
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(log)));
    Tuner second = tuner();
    const TunedChoice choice = candidates.choose(second, key);
    spdlog::set_default_logger(before);
    EXPECT_EQ(choice.reason, "measured: full 2000 ms, tokens failed");
    EXPECT_EQ(candidates.prepared, "f");
    const std::string said = key + ": tokens failed: it crashed the device or the program in an earlier run; it is not used";
    EXPECT_NE(log.str().find(said), std::string::npos) << log.str();
    EXPECT_NE(read_text_file(file_).find("\"crashes\": {"), std::string::npos);
    EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
  }
}

TEST_F(TunerDeathTest, ProcessDiesWhileAllCompile_RecordsNoCandidate_LaterRunsCompileOneByOne) {
  Candidates candidates = full_and_tokens(2, 1);
  EXPECT_EXIT(
      {
        Tuner first = tuner();
        candidates.choose(first, "loss 4x4", [](const auto&) { std::abort(); });
      },
      ::testing::KilledBySignal(SIGABRT), "");
  std::string compiled;
  for (const char* key : {"loss 4x4", "product 8x8"}) {
    Tuner next = tuner();  // the second time the file has the crash
    EXPECT_EQ(candidates.choose(next, key, [&](const auto&) { compiled += candidates.prepared + ","; }).seconds, (std::vector<double>{2, 1})) << key;
  }
  EXPECT_EQ(compiled, "");
  EXPECT_EQ(candidates.prepared, "ftft");
}

TEST_F(TunerCrashTest, AllCompileBeforeTheFirstIsPrepared_OnlyToMeasure) {
  Candidates candidates = full_and_tokens(2, 1);
  std::vector<size_t> compiled;
  const auto compile = [&](const std::vector<size_t>& indices) {
    EXPECT_EQ(candidates.prepared, "");
    compiled.insert(compiled.end(), indices.begin(), indices.end());
  };
  Tuner first = tuner();
  EXPECT_EQ(candidates.choose(first, "loss 4x4", compile).index, 1U);
  EXPECT_EQ(candidates.choose(first, "loss 4x4", compile).reason, "remembered");
  EXPECT_EQ(compiled, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));

  // A crashed candidate is not compiled either: compilation may crash.
  Candidates broken{{"full", "tokens"}, {takes(1), in_run(0, lose_device)}};
  EXPECT_NE(lost_device_of([&] { broken.choose(first, "product 4x4"); }), "");
  Tuner second = tuner();
  compiled.clear();
  candidates.prepared.clear();
  candidates.choose(second, "product 4x4", compile);
  EXPECT_EQ(compiled, std::vector<size_t>{0});
}

TEST_F(TunerDeathTest, ProcessDiesBetweenTrials_RecordsNothing) {
  Candidates candidates = full_and_tokens(2, 1);
  // Not during a preparation: all candidates of the first choice have run.
  EXPECT_EXIT(
      {
        Tuner first(caps(), kKernels, {.file = file_, .on_measuring = [](const TunerProgress& at) {
                                         if (at.key == "second") std::abort();
                                       }});
        candidates.choose(first, "first");
        candidates.choose(first, "second");
      },
      ::testing::KilledBySignal(SIGABRT), "");
  Tuner second = tuner();
  candidates.choose(second, "second");
  EXPECT_EQ(candidates.prepared, "ft");
  EXPECT_EQ(read_text_file(file_).find("crashes"), std::string::npos);

  // And between two trials of one choice, while the marker file exists.
  Candidates more{{"a", "b"}, {takes(1), takes(1)}};
  const auto dies_in_preparing = [&] {
    Tuner tuner = this->tuner();
    tuner.choose("third", more.names, [&](size_t i) -> std::function<double()> {
      if (i == 1) {
        const auto markers = dir_.names();
        EXPECT_EQ(markers.size(), 2U);
        throw std::bad_alloc();  // not the candidate's fault: the marker is removed with the choice
      }
      return [] { return 1.0; };
    });
  };
  EXPECT_THROW(dies_in_preparing(), std::bad_alloc);
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
}

TEST_F(TunerDeathTest, TerminatingSignal_RecordsNothing) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Candidates candidates{{"full", "tokens"}, {takes(2), in_run(0, [=] { raise(signal); })}};
    EXPECT_EXIT(
        {
          std::signal(signal, SIG_DFL);  // the tests may run under nohup
          Tuner first = tuner();
          candidates.choose(first);
        },
        ::testing::KilledBySignal(signal), "");
    EXPECT_TRUE(dir_.names().empty());
  }
  Candidates candidates{{"full", "tokens"}, {takes(2), in_run(0, [] { raise(SIGKILL); })}};
  EXPECT_EXIT(
      {
        Tuner first = tuner();
        candidates.choose(first);
      },
      ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(dir_.names().size(), 1U);  // SIGKILL cannot be caught
}

// As in training: the first signal requests a stop, and the program continues until then.
// From then on no candidate is marked as crashed, even after a SIGKILL.
TEST_F(TunerDeathTest, ASignalWithAHandler_ReachesIt_AndTheHandlerStaysInPlace) {
  static volatile std::sig_atomic_t caught = 0;
  Candidates candidates{{"full", "tokens"}, {takes(2), in_run(0, [] { raise(SIGTERM); })}};
  Candidates later{{"full", "tokens"}, {takes(2), in_run(0, [] { raise(SIGKILL); })}};
  EXPECT_EXIT(
      {
        std::signal(SIGTERM, [](int) { caught = caught + 1; });
        Tuner tuner = this->tuner();
        CHECK(candidates.choose(tuner).index == 1);
        CHECK(caught == 1);
        raise(SIGTERM);
        CHECK(caught == 2);
        later.choose(tuner, "later");
      },
      ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
}

TEST_F(TunerCrashTest, TrialOfARunningProcess_IsNoCrash) {
  Tuner first = tuner();
  Candidates others = full_and_tokens(2, 1);
  Candidates candidates{{"full", "tokens"}, {takes(2), in_run(0, [&] {
                                               Tuner second = tuner();  // acts as another process for file locks
                                               others.choose(second);
                                             })}};
  candidates.choose(first);
  EXPECT_EQ(others.prepared, "ft");
  EXPECT_EQ(read_text_file(file_).find("crashes"), std::string::npos);
}

TEST_F(TunerCrashTest, Marker_OfAnotherDriverOrTruncated_RecordsNothingAndIsRemoved) {
  dir_.write("tuning.json.trying-000001", R"({"identity":"other","kernels":"other","key":"loss 4x4 f32","trying":"full"})");
  dir_.write("tuning.json.trying-000002", R"({"identity":"oth)");
  dir_.write("tuning.json.trying-000003", "");
  Candidates candidates = full_and_tokens(2, 1);
  Tuner tuner = this->tuner();
  EXPECT_EQ(candidates.choose(tuner).seconds, (std::vector<double>{2, 1}));
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
}

}  // namespace
}  // namespace lapilli::test
