// The tuner with candidates that only say what they took: no device is needed.

#include "engine/tuner.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <new>
#include <sstream>
#include <thread>

#include "engine/base/environment.h"
#include "engine/base/file.h"
#include "engine/device_cache.h"
#include "tests/files.h"

namespace lapilli::test {
namespace {

using testing::error_of;
using testing::TempDir;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Candidates and what was done with them.
struct Candidates {
  std::vector<std::string> names;
  std::vector<std::function<double(int run)>> seconds;  // of run 0 (the warm-up), 1, 2, ...
  std::string prepared = {}, runs = {};                 // first letters of the names, in the order of the calls

  TunedChoice choose(Tuner& tuner, const std::string& key = "loss 4x4 f32") {
    return tuner.choose(key, names, [this](size_t i) -> std::function<double()> {
      prepared += names[i][0];
      return [this, i, run = 0]() mutable {
        runs += names[i][0];
        return seconds[i](run++);
      };
    });
  }
};

std::function<double(int)> takes(double seconds) {
  return [seconds](int) { return seconds; };
}

std::function<double(int)> throws_in_run(int bad) {
  return [bad](int run) {
    if (run == bad) throw Error("device lost");
    return 1e-6;
  };
}

Candidates full_and_tokens(double full, double tokens) { return {{"full", "tokens"}, {takes(full), takes(tokens)}}; }

DeviceCaps caps() {
  DeviceCaps caps;
  caps.name = "Testing GPU";
  caps.driver = "test 1.0";
  caps.uuid = "00112233445566778899aabbccddeeff";
  caps.driver_version = 7;
  caps.subgroup_size = 32;
  return caps;
}

class TunerTest : public ::testing::Test {
 protected:
  Tuner tuner() const { return Tuner(caps(), {.file = file_}); }
  Tuner quiet_tuner() const { return Tuner(caps(), {.measure = false, .file = file_}); }

  void replace_in_file(const std::string& what, const std::string& by) const {
    std::string text = read_text_file(file_);
    ASSERT_NE(text.find(what), std::string::npos) << what << " not in " << text;
    text.replace(text.find(what), what.size(), by);
    dir_.write("tuning.json", text);
  }
  // Has `choose` measured with a new tuner on this file, on a device of these caps?
  bool measures_again(Candidates candidates, const DeviceCaps& device = caps()) const {
    Tuner tuner(device, {.file = file_});
    candidates.choose(tuner);
    return !candidates.prepared.empty();
  }

  TempDir dir_;
  std::filesystem::path file_ = dir_ / "tuning.json";
};

TEST_F(TunerTest, Choose_TheFastestWins_AndTheReasonHasTheFigures) {
  Tuner tuner = this->tuner();
  const TunedChoice choice = full_and_tokens(1.3, 0.0121).choose(tuner);
  EXPECT_EQ(choice.index, 1U);
  EXPECT_EQ(choice.seconds, (std::vector<double>{1.3, 0.0121}));
  EXPECT_EQ(choice.reason, "measured: full 1300 ms, tokens 12.1 ms");
}

TEST_F(TunerTest, Choose_WithinTwoPercent_ThePreferredWins) {
  Tuner tuner = this->tuner();
  EXPECT_EQ(full_and_tokens(1.019, 1.0).choose(tuner, "a tie").index, 0U);
  EXPECT_EQ(full_and_tokens(1.021, 1.0).choose(tuner, "no tie").index, 1U);
  EXPECT_EQ(full_and_tokens(0, 0).choose(tuner, "no time at all").index, 0U);
}

TEST_F(TunerTest, Choose_CandidatesTakeTurns_AndOneSlowRunDoesNotDecide) {
  Tuner tuner = this->tuner();
  Candidates candidates{{"a", "b"}, {[](int run) { return run == 3 ? 100.0 : 1.0; }, takes(2)}};
  const TunedChoice choice = candidates.choose(tuner);
  EXPECT_EQ(choice.index, 0U);
  EXPECT_EQ(choice.seconds[0], 1);
  std::string turns;
  while (turns.size() < candidates.runs.size()) turns += "ab";
  EXPECT_EQ(candidates.runs, turns);
  EXPECT_GE(candidates.runs.size(), 2U * 6U);  // enough rounds for a median
}

TEST_F(TunerTest, Choose_TheWarmUpDoesNotCount) {
  Tuner tuner(caps(), {.file = file_, .seconds_budget = 0});  // one round
  Candidates candidates{{"a", "b"}, {[](int run) { return run == 0 ? 100.0 : 1.0; }, takes(2)}};
  EXPECT_EQ(candidates.choose(tuner).seconds, (std::vector<double>{1, 2}));
}

TEST_F(TunerTest, Choose_OneCandidate_IsNotMeasured) {
  Tuner tuner = this->tuner();
  Candidates one{{"full"}, {takes(1)}};
  const TunedChoice choice = one.choose(tuner);
  EXPECT_EQ(choice.reason, "the only one");
  EXPECT_EQ(choice.index, 0U);
  EXPECT_EQ(one.prepared, "");
}

TEST_F(TunerTest, Choose_ASecondTime_RemembersAndPreparesNothing) {
  Tuner first = tuner();
  Candidates candidates = full_and_tokens(2, 1);
  EXPECT_EQ(candidates.choose(first).index, 1U);
  Tuner second = tuner();
  for (Tuner* again : {&first, &second}) {
    candidates.prepared.clear();
    const TunedChoice choice = candidates.choose(*again);
    EXPECT_EQ(choice.index, 1U);
    EXPECT_EQ(choice.reason, "remembered");
    EXPECT_TRUE(choice.seconds.empty());
    EXPECT_EQ(candidates.prepared, "");
  }
}

TEST_F(TunerTest, File_CanBeReadByPeople) {
  Tuner tuner = this->tuner();
  full_and_tokens(0.75, 0.5).choose(tuner);
  const std::string text = read_text_file(file_);
  for (const char* part :
       {"\"device\": \"Testing GPU, test 1.0\"", "\n  \"loss 4x4 f32\": {", "\"chosen\": \"tokens\"", "\"full\": 750.0"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " not in " << text;
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));  // nothing temporary is left
}

TEST_F(TunerTest, Remembered_IsForTheseCandidatesInThisOrderAndThisKey) {
  Tuner tuner = this->tuner();
  full_and_tokens(2, 1).choose(tuner);
  EXPECT_FALSE(measures_again(full_and_tokens(2, 1)));
  const std::string remembered = read_text_file(file_);
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"full", "vocab"}, {"tokens", "full"}, {"full", "tokens", "vocab"}}) {
    dir_.write("tuning.json", remembered);
    EXPECT_TRUE(measures_again({names, {takes(1), takes(2), takes(3)}})) << fmt::format("{}", fmt::join(names, ", "));
  }
  Candidates other_key = full_and_tokens(2, 1);
  other_key.choose(tuner, "loss 8x8 f32");
  EXPECT_EQ(other_key.prepared, "ft");
}

TEST_F(TunerTest, Remembered_UnderOtherKernels_IsVoid) {
  Tuner tuner = this->tuner();
  full_and_tokens(2, 1).choose(tuner);
  full_and_tokens(2, 1).choose(tuner, "of old kernels");
  replace_in_file("\"kernels\": \"", "\"kernels\": \"other");
  EXPECT_TRUE(measures_again(full_and_tokens(2, 1)));
  EXPECT_EQ(read_text_file(file_).find("of old kernels"), std::string::npos);
}

TEST_F(TunerTest, Remembered_OnAnotherDeviceOrDriver_IsVoid) {
  std::vector<DeviceCaps> others(4, caps());
  others[0].uuid[0] = 'f';
  others[1].driver = "test 1.1";
  others[2].driver_version = 8;
  others[3].subgroup_size = 16;
  for (const DeviceCaps& other : others) {
    std::filesystem::remove(file_);
    EXPECT_TRUE(measures_again(full_and_tokens(2, 1)));
    EXPECT_FALSE(measures_again(full_and_tokens(2, 1)));
    EXPECT_TRUE(measures_again(full_and_tokens(2, 1), other));
    EXPECT_NE(device_cache_path(caps(), "tuning", ".json"), device_cache_path(other, "tuning", ".json"));
  }
}

TEST_F(TunerTest, WithoutAFile_TheDevicesOwnInTheCacheFolderIsUsed) {
  const auto before = environment("LAPILLI_CACHE_DIR");
  setenv("LAPILLI_CACHE_DIR", dir_.path().c_str(), 1);
  Tuner tuner(caps());
  full_and_tokens(2, 1).choose(tuner);
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{fmt::format("tuning-{}.json", device_identity(caps()))}));
  if (before) setenv("LAPILLI_CACHE_DIR", before->c_str(), 1);
  else unsetenv("LAPILLI_CACHE_DIR");
}

TEST_F(TunerTest, WithoutMeasuring_TheRememberedOrTheFirstIsTaken) {
  Candidates candidates = full_and_tokens(2, 1);
  Tuner early = quiet_tuner();
  const TunedChoice unknown = candidates.choose(early);
  EXPECT_EQ(unknown.index, 0U);
  EXPECT_EQ(unknown.reason, "not measured");
  EXPECT_TRUE(unknown.seconds.empty());
  EXPECT_TRUE(dir_.names().empty());
  EXPECT_EQ(candidates.prepared, "");

  Tuner measuring = tuner();
  candidates.choose(measuring);
  Tuner late = quiet_tuner();
  const TunedChoice known = candidates.choose(late);
  EXPECT_EQ(known.index, 1U);
  EXPECT_EQ(known.reason, "remembered");
}

TEST_F(TunerTest, Choose_ACandidateThatThrows_IsOutAndSaid) {
  std::ostringstream log;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(log)));
  const auto throws_when_prepared = [](size_t i) -> std::function<double()> {
    if (i == 0) throw Error("out of device memory");
    return [] { return 1.0; };
  };
  Tuner tuner = this->tuner();
  const TunedChoice unprepared = tuner.choose("prepare", {"full", "tokens"}, throws_when_prepared);
  Candidates warm_up{{"full", "tokens"}, {throws_in_run(0), takes(1)}}, later{{"full", "tokens"}, {throws_in_run(2), takes(1)}};
  for (const TunedChoice& choice : {unprepared, warm_up.choose(tuner, "warm-up"), later.choose(tuner, "later")}) {
    EXPECT_EQ(choice.index, 1U);
    EXPECT_EQ(choice.seconds, (std::vector<double>{kInfinity, 1.0}));
    EXPECT_EQ(choice.reason, "measured: full failed, tokens 1000 ms");
  }
  EXPECT_EQ(std::ranges::count(warm_up.runs, 'f'), 1);  // not run again after it failed
  EXPECT_EQ(std::ranges::count(later.runs, 'f'), 3);
  spdlog::set_default_logger(before);
  for (const char* part : {"[warning] prepare: full failed: out of device memory", "[warning] warm-up: full failed: device lost"})
    EXPECT_NE(log.str().find(part), std::string::npos) << part << " not in " << log.str();

  Tuner second = this->tuner();
  EXPECT_EQ(warm_up.choose(second, "warm-up").reason, "remembered; full failed when measured");
}

TEST_F(TunerTest, Choose_WhatACandidateHolds_IsReleasedWhenItFailsAndWhenAllIsDone) {
  const auto memory = std::make_shared<int>();
  long holders_after_failure = 0;
  Tuner tuner = this->tuner();
  tuner.choose("loss", {"full", "tokens"}, [&](size_t i) -> std::function<double()> {
    if (i == 0) return [memory]() -> double { throw Error("device lost"); };
    return [&, memory] {
      holders_after_failure = memory.use_count();
      return 1.0;
    };
  });
  EXPECT_EQ(holders_after_failure, 1 + 1);  // this test and the candidate that works
  EXPECT_EQ(memory.use_count(), 1);
}

TEST_F(TunerTest, Choose_AllThrow_IsAnErrorWithTheReason) {
  Tuner tuner = this->tuner();
  Candidates candidates{{"full", "tokens"}, {throws_in_run(0), throws_in_run(1)}};
  EXPECT_ERROR_MENTIONS(error_of([&] { candidates.choose(tuner); }), "Testing GPU", "loss 4x4 f32", "device lost");
  EXPECT_TRUE(dir_.names().empty());
}

TEST_F(TunerTest, File_Corrupt_CostsAMeasurementAndIsReplaced) {
  Tuner tuner = this->tuner();
  full_and_tokens(2, 1).choose(tuner);
  const std::string good = read_text_file(file_);
  const auto with = [&](const std::string& what, const std::string& by) {
    std::string text = good;
    return text.replace(text.find(what), what.size(), by);
  };
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("\xff\xfe"), good.substr(0, good.size() / 2),
        with("\"chosen\": \"tokens\"", "\"chosen\": \"neither\""), with("\"chosen\"", "\"taken\""), with("2000.0", "\"fast\"")}) {
    dir_.write("tuning.json", text);
    EXPECT_TRUE(measures_again(full_and_tokens(2, 1))) << text;
    EXPECT_EQ(read_text_file(file_), good);
  }
}

TEST_F(TunerTest, File_Unwritable_CostsAMeasurementInEachProcessOnly) {
  dir_.write("plain", "a file, not a folder");
  file_ = dir_ / "plain" / "tuning.json";
  Tuner tuner = this->tuner();
  Candidates candidates = full_and_tokens(2, 1);
  EXPECT_EQ(candidates.choose(tuner).index, 1U);
  EXPECT_EQ(candidates.choose(tuner).reason, "remembered");
  EXPECT_TRUE(measures_again(candidates));
}

TEST_F(TunerTest, File_SharedByTwoTuners_KeepsTheEntriesOfBoth) {
  Tuner first = tuner(), second = tuner();
  Candidates candidates = full_and_tokens(2, 1);
  candidates.choose(first, "one");
  candidates.choose(second, "two");
  candidates.choose(first, "three");
  candidates.prepared.clear();
  Tuner third = tuner();
  for (const char* key : {"one", "two", "three"}) EXPECT_EQ(candidates.choose(third, key).reason, "remembered") << key;
  EXPECT_EQ(candidates.prepared, "");
}

TEST_F(TunerTest, SecondsInAll_OnceSpentTheFirstIsTaken) {
  Tuner tuner(caps(), {.file = file_, .seconds_budget = 0, .seconds_in_all = 0.001});
  const auto sleeps = [](int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return 1.0;
  };
  Candidates slow{{"a", "b"}, {sleeps, takes(0.5)}};
  EXPECT_EQ(slow.choose(tuner, "first").index, 1U);
  EXPECT_GT(tuner.seconds_spent(), 0.002);
  const TunedChoice late = slow.choose(tuner, "second");
  EXPECT_EQ(late.index, 0U);
  EXPECT_EQ(late.reason.find("not measured: "), 0U) << late.reason;
  EXPECT_EQ(slow.choose(tuner, "first").index, 1U);  // what is known costs nothing
}

TEST_F(TunerTest, GivenAndKnown_AreThisTunersChoicesAndAllOfTheDevices) {
  Tuner earlier = tuner();
  full_and_tokens(2, 1).choose(earlier, "old");
  full_and_tokens(2, 1).choose(earlier, "older");
  std::vector<std::string> progress;
  Tuner tuner(caps(), {.file = file_, .on_measuring = [&](const std::string& key) { progress.push_back(key); }});
  full_and_tokens(1, 3).choose(tuner, "new");
  full_and_tokens(2, 1).choose(tuner, "old");
  Candidates{{"full"}, {takes(1)}}.choose(tuner, "no choice");
  EXPECT_EQ(progress, (std::vector<std::string>{"new", ""}));
  ASSERT_EQ(tuner.given().size(), 2U);
  EXPECT_EQ(tuner.given().at("new").chosen, 0U);
  EXPECT_EQ(tuner.given().at("new").candidates[1].median_seconds, 3);
  EXPECT_EQ(tuner.given().at("old").chosen, 1U);
  EXPECT_EQ(tuner.known().size(), 3U);
}

// ---- candidates that crash a driver ----

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

TEST_F(TunerTest, LostDevice_EndsAtOnceWithWhoAndWhatToDo_AndIsNotTriedAgain) {
  for (const int bad : {0, 2}) {  // in the first run, in a round
    const std::string key = fmt::format("loss{} 4x4 f32", bad);
    Candidates candidates{{"full", "tokens", "vocab"}, {takes(2), in_run(bad, lose_device), takes(1)}};
    Tuner first = tuner();
    EXPECT_ERROR_MENTIONS(lost_device_of([&] { candidates.choose(first, key); }), key, "tokens", "the device was lost", "run again", "--no-tune");
    EXPECT_EQ(candidates.runs.back(), 't');
    const std::string before = candidates.runs;

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

TEST_F(TunerTest, LostDevice_IsRememberedForOtherShapesToo_ButForThePreferred) {
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
  // Both have crashed there: the run goes on with the preferred one, untried.
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

// A run's own file, with which it goes on later.
TEST_F(TunerTest, Crashes_GoIntoAnotherFileWithTheChoices) {
  Tuner first = tuner();
  Candidates broken{{"full", "tokens"}, {in_run(0, lose_device), takes(1)}};
  EXPECT_NE(lost_device_of([&] { broken.choose(first); }), "");
  Tuner second = tuner();
  const std::filesystem::path own = dir_ / "own.json";
  TuningFile(caps(), own).add(second.given(), second.crashes());
  Tuner resumed(caps(), {.measure = false, .file = own});
  EXPECT_EQ(broken.choose(resumed).index, 1U);
}

TEST_F(TunerTest, WithoutMeasuring_WhatCrashedIsNotTaken) {
  Tuner first = tuner();
  Candidates broken{{"full", "tokens"}, {in_run(0, lose_device), takes(1)}};
  EXPECT_NE(lost_device_of([&] { broken.choose(first); }), "");
  const std::vector<std::string> files = dir_.names();
  Tuner quiet = quiet_tuner();
  EXPECT_EQ(broken.choose(quiet).index, 1U);
  EXPECT_EQ(broken.choose(quiet, "product 4x4").index, 0U);
  EXPECT_EQ(dir_.names(), files);  // nothing is written
}

using TunerDeathTest = TunerTest;

TEST_F(TunerDeathTest, ADriverThatAborts_IsPassedAtTheNextStart_WhichSaysSo) {
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
    const std::string said = key + ": tokens failed: the device was lost, or the program died, when it was tried before; it is not used";
    EXPECT_NE(log.str().find(said), std::string::npos) << log.str();
    EXPECT_NE(read_text_file(file_).find("\"crashes\": {"), std::string::npos);
    EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
  }
}

TEST_F(TunerDeathTest, AProcessThatDiesBetweenTrials_BlamesNobody) {
  Candidates candidates = full_and_tokens(2, 1);
  // In the preparation of nothing: all of the first choice have proved themselves.
  EXPECT_EXIT(
      {
        Tuner first(caps(), {.file = file_, .on_measuring = [](const std::string& key) {
                               if (key == "second") std::abort();
                             }});
        candidates.choose(first, "first");
        candidates.choose(first, "second");
      },
      ::testing::KilledBySignal(SIGABRT), "");
  Tuner second = tuner();
  candidates.choose(second, "second");
  EXPECT_EQ(candidates.prepared, "ft");
  EXPECT_EQ(read_text_file(file_).find("crashes"), std::string::npos);

  // And between two trials of one choice, where the mark's file is there.
  Candidates more{{"a", "b"}, {takes(1), takes(1)}};
  const auto dies_in_preparing = [&] {
    Tuner tuner = this->tuner();
    tuner.choose("third", more.names, [&](size_t i) -> std::function<double()> {
      if (i == 1) {
        const auto marks = dir_.names();
        EXPECT_EQ(marks.size(), 2U);
        throw std::bad_alloc();  // not the candidate's: the mark goes with the choice
      }
      return [] { return 1.0; };
    });
  };
  EXPECT_THROW(dies_in_preparing(), std::bad_alloc);
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
}

TEST_F(TunerDeathTest, ASignalThatEndsTheProgram_BlamesNobody) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Candidates candidates{{"full", "tokens"}, {takes(2), in_run(0, [=] { raise(signal); })}};
    EXPECT_EXIT(
        {
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
  EXPECT_EQ(dir_.names().size(), 1U);  // that one nobody can catch
}

// As training does: the first signal asks for an end, and the program goes on until then.
// Nothing is blamed from then on, even by a SIGKILL.
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

TEST_F(TunerTest, WhatALivingProcessTries_IsNotBlamed) {
  Tuner first = tuner();
  Candidates others = full_and_tokens(2, 1);
  Candidates candidates{{"full", "tokens"}, {takes(2), in_run(0, [&] {
                          Tuner second = tuner();  // another process, as far as locks go
                          others.choose(second);
                        })}};
  candidates.choose(first);
  EXPECT_EQ(others.prepared, "ft");
  EXPECT_EQ(read_text_file(file_).find("crashes"), std::string::npos);
}

TEST_F(TunerTest, Mark_OfAnotherDriverOrCutShort_BlamesNobodyAndGoes) {
  dir_.write("tuning.json.trying-000001", R"({"identity":"other","kernels":"other","key":"loss 4x4 f32","trying":"full"})");
  dir_.write("tuning.json.trying-000002", R"({"identity":"oth)");
  dir_.write("tuning.json.trying-000003", "");
  Candidates candidates = full_and_tokens(2, 1);
  Tuner tuner = this->tuner();
  EXPECT_EQ(candidates.choose(tuner).seconds, (std::vector<double>{2, 1}));
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));
}

TEST_F(TunerTest, TimeBound_StopsTheRounds_AndTheFirstDecidesWhenItIsTooLongAlready) {
  const auto sleeps = [](int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return 0.005;
  };
  const auto runs_within = [&](double seconds) {
    Tuner tuner(caps(), {.file = file_, .seconds_budget = seconds});
    Candidates candidates{{"a", "b"}, {sleeps, sleeps}};
    candidates.choose(tuner, fmt::format("within {} s", seconds));
    return candidates.runs.size();
  };
  EXPECT_EQ(runs_within(0.001), 2U * 2U);           // the warm-up and one round
  EXPECT_LE(runs_within(0.055), 2U * 6U);           // a round takes 10 ms at least: five fit
  EXPECT_EQ(runs_within(1000), 2U * (1U + 25U));  // no more than a median needs
}

}  // namespace
}  // namespace lapilli::test
