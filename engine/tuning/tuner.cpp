#include "engine/tuning/tuner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/tuning/crash_marker.h"
#include "engine/tuning/measure.h"

namespace lapilli {

namespace {

constexpr double kTie = 1.02;         // candidates at most this much slower than the best count as equally fast
constexpr uint32_t kMostRounds = 25;  // enough for a median, however short the work is
// The name recorded when the process died while candidates were compiled in parallel.
constexpr const char* kCompiling = "all at once, compiling";
constexpr double kFailed = std::numeric_limits<double>::infinity();

// A candidate during a measurement. The constructor prepares it and runs it once. The first Error excludes it and
// releases its resources. While it is prepared or runs, `marker` holds `marker_text`.
class Candidate {
 public:
  Candidate(std::string label, CrashMarker& marker, std::string marker_text, const std::function<std::function<double()>()>& prepare)
      : label_(std::move(label)), marker_text_(std::move(marker_text)), marker_(marker) {
    attempt(/*first=*/true, [&] {
      run_ = prepare();
      CHECK(run_ != nullptr, "{} has nothing to run", label_);
      run_once();
    });
  }
  // A candidate that is excluded without a trial.
  Candidate(std::string label, CrashMarker& marker, const char* why) : label_(std::move(label)), marker_(marker) { fail(why); }

  double run() {
    double seconds = kFailed;
    if (!failed()) attempt(/*first=*/false, [&] { seconds = run_once(); });
    return seconds;
  }

  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }

 private:
  double run_once() {
    const double seconds = run_();
    CHECK(std::isfinite(seconds) && seconds >= 0, "{} took {} s", label_, seconds);
    return seconds;
  }

  void attempt(bool first, const std::function<void()>& action) {
    marker_.set(marker_text_, /*synced=*/first);
    try {
      action();
    } catch (const Error& error) {
      fail(error.what());
    } catch (const DeviceLost& lost) {
      const bool remembered = marker_.leave();
      throw DeviceLost(fmt::format("{} crashed the device when it was measured: {}; {}", label_, lost.what(),
                                   remembered ? "run again, the next run skips it; or use --no-tune, which measures nothing"
                                              : "run again with --no-tune, which measures nothing"));
    }
    marker_.clear();
  }
  void fail(std::string_view why) {
    failure_ = fmt::format("{} failed: {}", label_, why);
    log_warning("{}; it is not used", failure_);
    run_ = nullptr;
  }

  std::string label_, marker_text_;
  CrashMarker& marker_;
  std::function<double()> run_;
  std::string failure_;
};

// Reports the end of a choice, made or failed, in its destructor.
class EndOfProgress {
 public:
  explicit EndOfProgress(const std::function<void(const TunerProgress&)>& say) : say_(say) {}
  ~EndOfProgress() {
    if (say_) say_({});
  }
  EndOfProgress(const EndOfProgress&) = delete;
  EndOfProgress& operator=(const EndOfProgress&) = delete;

 private:
  const std::function<void(const TunerProgress&)>& say_;
};

// The first candidate that counts as equally fast as the best.
size_t winner(const std::vector<TunedCandidate>& candidates) {
  const auto best = std::ranges::min_element(candidates, {}, &TunedCandidate::median_seconds);
  const auto first =
      std::ranges::find_if(candidates, [&](const TunedCandidate& candidate) { return candidate.median_seconds <= kTie * best->median_seconds; });
  return static_cast<size_t>(first - candidates.begin());
}

std::string describe(const TunedCandidate& candidate) {
  if (candidate.median_seconds == kFailed) return candidate.name + " failed";
  const double ms = candidate.median_seconds * 1e3;
  return ms < 100 ? fmt::format("{} {:#.3g} ms", candidate.name, ms) : fmt::format("{} {:.0f} ms", candidate.name, ms);
}

// A candidate that failed when the choice was made may work now: the reason always mentions the failure.
std::string describe_remembered(const TuningRecord& record) {
  std::string reason = "remembered";
  for (const TunedCandidate& candidate : record.candidates)
    if (candidate.median_seconds == kFailed) reason += fmt::format("; {} when measured", describe(candidate));
  return reason;
}

}  // namespace

Tuner::Tuner(const DeviceCaps& caps, const std::string& kernels, TunerOptions options)
    : options_(std::move(options)), device_name_(caps.name), file_(caps, kernels, options_.file), remembered_(file_.read()) {
  // `lapilli check` writes to the device's own file.
  if (options_.file.empty()) return;
  const std::vector<WrongKernel> wrong = TuningFile(caps, kernels, {}).read().wrong;
  remembered_.wrong.insert(remembered_.wrong.end(), wrong.begin(), wrong.end());
}

TunedChoice Tuner::choose(const std::string& key, const std::vector<std::string>& names, const Prepare& prepare, std::optional<double> seconds_budget,
                          const Compile& compile) {
  CHECK(!names.empty() && std::set(names.begin(), names.end()).size() == names.size(), "{}: {}", key, fmt::join(names, ", "));
  if (names.size() == 1) return {.reason = "the only one"};
  if (const TuningRecord* known = recall(key, names)) {
    decisions_.insert_or_assign(key, *known);
    return {.index = known->chosen, .reason = describe_remembered(*known)};
  }
  if (!options_.measure) return {.index = fallback_candidate(key, names), .reason = "not measured"};
  if (all_excluded(key, names)) {
    log_warning("{}: all candidates crashed when they were measured, or were found wrong; taking {} as it is (what crashed is remembered in '{}')",
                key, names.front(), file_.path().string());
    return {.index = 0, .reason = "not measured: all crashed before"};
  }
  if (!has_time_left())
    return {.index = fallback_candidate(key, names), .reason = fmt::format("not measured: {:.0f} s of measurements are enough", seconds_spent_)};

  TuningRecord record;
  const double rounds = std::min(seconds_budget.value_or(options_.seconds_budget), options_.seconds_in_all - seconds_spent_);
  {
    const EndOfProgress end(options_.on_measuring);
    seconds_spent_ += wall_seconds([&] { record = measure(key, names, prepare, rounds, compile); });
  }
  decisions_.insert_or_assign(key, record);
  TunedChoice choice{.index = record.chosen, .reason = "measured:"};
  for (const TunedCandidate& candidate : record.candidates) {
    choice.reason += fmt::format("{} {}", choice.seconds.empty() ? "" : ",", describe(candidate));
    choice.seconds.push_back(candidate.median_seconds);
  }
  measured_.insert_or_assign(key, record);
  file_.add(measured_);
  return choice;
}

const TuningRecord* Tuner::recall(const std::string& key, const std::vector<std::string>& names) const {
  for (const TuningRecords* records : {&measured_, &remembered_.choices}) {
    const auto known = records->find(key);
    if (known == records->end() || !std::ranges::equal(known->second.candidates, names, {}, &TunedCandidate::name)) continue;
    if (!is_wrong(remembered_.wrong, key, names[known->second.chosen])) return &known->second;
  }
  return nullptr;
}

bool Tuner::excluded(const std::string& key, const std::vector<std::string>& names, size_t index) const {
  const auto same_operation = [&](const std::string& other) { return other.substr(0, other.find(' ')) == key.substr(0, key.find(' ')); };
  if (is_wrong(remembered_.wrong, key, names[index])) return true;
  return std::ranges::any_of(remembered_.crashes, [&](const auto& crash) {
    return crash.second.contains(names[index]) && (crash.first == key || (index != 0 && same_operation(crash.first)));
  });
}

bool Tuner::all_excluded(const std::string& key, const std::vector<std::string>& names) const {
  for (size_t i = 0; i < names.size(); ++i)
    if (!excluded(key, names, i)) return false;
  return true;
}

size_t Tuner::fallback_candidate(const std::string& key, const std::vector<std::string>& names) const {
  size_t index = 0;
  while (index < names.size() && excluded(key, names, index)) ++index;
  return index % names.size();
}

TuningRecords Tuner::known() const {
  TuningRecords all = measured_;
  all.insert(remembered_.choices.begin(), remembered_.choices.end());
  return all;
}

bool Tuner::compiling_crashed() const {
  return std::ranges::any_of(remembered_.crashes, [](const auto& crash) { return crash.second.contains(kCompiling); });
}

TuningRecord Tuner::measure(const std::string& key, const std::vector<std::string>& names, const Prepare& prepare, double seconds_budget,
                            const Compile& compile) {
  CrashMarker marker(file_.path());
  if (compile && !compiling_crashed()) {
    if (options_.on_measuring) options_.on_measuring({key, 1, names.size(), seconds_spent_, options_.seconds_in_all});
    std::vector<size_t> trusted;
    for (size_t i = 0; i < names.size(); ++i)
      if (!excluded(key, names, i)) trusted.push_back(i);
    marker.set(file_.marker_text(key, kCompiling), /*synced=*/true);
    slowest_compile_seconds_ = std::max(slowest_compile_seconds_, wall_seconds([&] { compile(trusted); }));
    marker.clear();
  }
  std::vector<Candidate> candidates;
  candidates.reserve(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (options_.on_measuring) options_.on_measuring({key, i + 1, names.size(), seconds_spent_, options_.seconds_in_all});
    const std::string label = fmt::format("{}: {}", key, names[i]);
    if (is_wrong(remembered_.wrong, key, names[i])) candidates.emplace_back(label, marker, "lapilli check found it wrong");
    else if (excluded(key, names, i)) candidates.emplace_back(label, marker, "it crashed the device or the program in an earlier run");
    else candidates.emplace_back(label, marker, file_.marker_text(key, names[i]), [&] { return prepare(i); });
  }
  std::vector<BenchmarkCase> benchmark_cases;
  for (size_t i = 0; i < names.size(); ++i) benchmark_cases.push_back({names[i], [&candidate = candidates[i]] { return candidate.run(); }});
  const auto seconds =
      measure_interleaved(benchmark_cases, {.seconds_budget = seconds_budget, .min_rounds = 1, .max_rounds = kMostRounds, .warm_up = false});

  if (std::ranges::all_of(candidates, &Candidate::failed))
    throw Error("no variant works on {}; {}; update the driver or choose another device", device_name_, candidates[0].failure());
  TuningRecord record;
  for (size_t i = 0; i < names.size(); ++i) record.candidates.push_back({names[i], candidates[i].failed() ? kFailed : quantile(seconds[i], 0.5)});
  record.chosen = winner(record.candidates);
  return record;
}

}  // namespace lapilli
