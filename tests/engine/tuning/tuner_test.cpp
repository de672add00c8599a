// The tuner: choices, cache and file.

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "engine/base/environment.h"
#include "engine/base/file.h"
#include "engine/kernel/device_cache.h"
#include "tests/engine/tuning/tuner_fixture.h"

namespace lapilli::test {
namespace {

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

TEST_F(TunerTest, Choose_CandidatesAreInterleaved_AndOneSlowRunDoesNotDecide) {
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
  Tuner tuner(caps(), kKernels, {.file = file_, .seconds_budget = 0});  // one round
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

TEST_F(TunerTest, File_IsReadableText) {
  Tuner tuner = this->tuner();
  full_and_tokens(0.75, 0.5).choose(tuner);
  const std::string text = read_text_file(file_);
  for (const char* part : {"\"device\": \"Testing GPU, test 1.0\"", "\n  \"loss 4x4 f32\": {", "\"chosen\": \"tokens\"", "\"full\": 750.0"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " not in " << text;
  EXPECT_EQ(dir_.names(), (std::vector<std::string>{"tuning.json"}));  // nothing temporary is left
}

TEST_F(TunerTest, Remembered_IsForTheseCandidatesInThisOrderAndThisKey) {
  Tuner tuner = this->tuner();
  full_and_tokens(2, 1).choose(tuner);
  EXPECT_FALSE(measures_again(full_and_tokens(2, 1)));
  const std::string remembered = read_text_file(file_);
  for (const std::vector<std::string>& names : {std::vector<std::string>{"full", "vocab"}, {"tokens", "full"}, {"full", "tokens", "vocab"}}) {
    dir_.write("tuning.json", remembered);
    EXPECT_TRUE(measures_again({names, {takes(1), takes(2), takes(3)}})) << fmt::format("{}", fmt::join(names, ", "));
  }
  Candidates other_key = full_and_tokens(2, 1);
  other_key.choose(tuner, "loss 8x8 f32");
  EXPECT_EQ(other_key.prepared, "ft");
}

TEST_F(TunerTest, Remembered_WithOtherKernels_IsNotUsed) {
  Tuner tuner = this->tuner();
  full_and_tokens(2, 1).choose(tuner);
  full_and_tokens(2, 1).choose(tuner, "of old kernels");
  replace_in_file("\"kernels\": \"", "\"kernels\": \"other");
  EXPECT_TRUE(measures_again(full_and_tokens(2, 1)));
  EXPECT_EQ(read_text_file(file_).find("of old kernels"), std::string::npos);
}

TEST_F(TunerTest, Remembered_OnAnotherDeviceOrDriver_IsNotUsed) {
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
  Tuner tuner(caps(), kKernels);
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

TEST_F(TunerTest, Choose_ACandidateThatThrows_IsExcludedAndLogged) {
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

TEST_F(TunerTest, Choose_ResourcesOfACandidate_AreReleasedOnFailureAndAtTheEnd) {
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

TEST_F(TunerTest, TimeBudget_OnceSpentTheFirstIsChosen) {
  Tuner tuner(caps(), kKernels, {.file = file_, .seconds_budget = 0, .seconds_in_all = 0.001});
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
  EXPECT_EQ(slow.choose(tuner, "first").index, 1U);  // a cached choice costs nothing
}

// The first compilation takes 30 ms of 50: a second of the same length would not end in time.
TEST_F(TunerTest, TimeBudget_CountsCompilingThatWouldNotEndInTime) {
  Tuner tuner(caps(), kKernels, {.file = file_, .seconds_budget = 0, .seconds_in_all = 0.05});
  int compilations = 0;
  const auto compile = [&](const std::vector<size_t>&) {
    ++compilations;
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  };
  const auto prepare = [](size_t) { return [] { return 1.0; }; };
  tuner.choose("first", {"a", "b"}, prepare, std::nullopt, compile);
  EXPECT_FALSE(tuner.would_measure("second", {"a", "b"}));
  EXPECT_EQ(tuner.choose("second", {"a", "b"}, prepare, std::nullopt, compile).reason.find("not measured: "), 0U);
  EXPECT_EQ(compilations, 1);
}

TEST_F(TunerTest, DecisionsAndKnown_AreThisTunersChoicesAndAllOfTheDevices) {
  Tuner earlier = tuner();
  full_and_tokens(2, 1).choose(earlier, "old");
  full_and_tokens(2, 1).choose(earlier, "older");
  std::vector<std::string> progress;
  Tuner tuner(caps(), kKernels, {.file = file_, .on_measuring = [&](const TunerProgress& at) {
                                   progress.push_back(fmt::format("{} {}/{}", at.key, at.candidate, at.count));
                                 }});
  full_and_tokens(1, 3).choose(tuner, "new");
  full_and_tokens(2, 1).choose(tuner, "old");
  Candidates{{"full"}, {takes(1)}}.choose(tuner, "no choice");
  EXPECT_EQ(progress, (std::vector<std::string>{"new 1/2", "new 2/2", " 0/0"}));
  ASSERT_EQ(tuner.decisions().size(), 2U);
  EXPECT_EQ(tuner.decisions().at("new").chosen, 0U);
  EXPECT_EQ(tuner.decisions().at("new").candidates[1].median_seconds, 3);
  EXPECT_EQ(tuner.decisions().at("old").chosen, 1U);
  EXPECT_EQ(tuner.known().size(), 3U);
}

TEST_F(TunerTest, TimeBound_StopsTheRounds_AndTheFirstDecidesWhenItIsTooLongAlready) {
  const auto sleeps = [](int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return 0.005;
  };
  const auto runs_within = [&](double seconds) {
    Tuner tuner(caps(), kKernels, {.file = file_, .seconds_budget = seconds});
    Candidates candidates{{"a", "b"}, {sleeps, sleeps}};
    candidates.choose(tuner, fmt::format("within {} s", seconds));
    return candidates.runs.size();
  };
  EXPECT_EQ(runs_within(0.001), 2U * 2U);           // the warm-up and one round
  EXPECT_LE(runs_within(0.055), 2U * 6U);           // a round takes 10 ms at least: five fit
  EXPECT_EQ(runs_within(1000), 2U * (1U + 25U));  // enough for a median
}

}  // namespace
}  // namespace lapilli::test
