#include "tools/common/tuning_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/common/console.h"

namespace lapilli {

namespace {

constexpr double kSecondsInAll = 20;

std::string progress_text(const TunerProgress& at) {
  const std::string limit = std::isfinite(at.seconds_in_all) ? fmt::format(" of at most {:.0f}", at.seconds_in_all) : "";
  return fmt::format("measuring kernels, {} s{}: {} of {}, {}", std::lround(at.seconds_spent), limit, at.candidate, at.count, at.key);
}

std::string time_text(const TunedCandidate& candidate) {
  return std::isfinite(candidate.median_seconds) ? format_seconds(candidate.median_seconds) : "failed";
}

}  // namespace

void add_tuning_options(Command& command, TuningFlags& flags) {
  command.add_flag("--no-tune", flags.no_tune, "Measure no kernels: use cached choices, else the defaults");
  command
      .add_option("--tuning", flags.file,
                  "Cache file of kernel choices (default: a file for the device in the cache folder). With --no-tune: use exactly the "
                  "choices of FILE, for the same kernels every time")
      ->type_name("FILE");
}

TunerOptions tuner_options(const TuningFlags& flags, StatusLine& status, const std::string& meanwhile) {
  return {
      .measure = !flags.no_tune, .file = flags.file, .seconds_in_all = kSecondsInAll, .on_measuring = [&status, meanwhile](const TunerProgress& at) {
        const std::string text = at.key.empty() ? meanwhile : progress_text(at);
        if (text.empty()) status.set(nullptr);
        else status.set([text] { return text; });
      }};
}

std::string tuning_table(const TuningRecords& records) {
  size_t width = 0;
  for (const auto& [key, record] : records) width = std::max(width, key.size());
  std::string text;
  for (const auto& [key, record] : records) {
    std::vector<TunedCandidate> others = record.candidates;
    const TunedCandidate chosen = others.at(record.chosen);
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(record.chosen));
    std::ranges::stable_sort(others, {}, &TunedCandidate::median_seconds);
    std::string beat;
    for (const TunedCandidate& other : others) beat += fmt::format("{}{} {}", beat.empty() ? "" : ", ", other.name, time_text(other));
    text += fmt::format("{:<{}}  {} {}; beat {}\n", key, width, chosen.name, time_text(chosen), beat);
  }
  return text;
}

nlohmann::ordered_json tuning_to_json(const TuningRecords& records) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& [key, record] : records) {
    auto medians = nlohmann::ordered_json::object();
    for (const TunedCandidate& candidate : record.candidates)
      medians[candidate.name] = std::isfinite(candidate.median_seconds) ? nlohmann::ordered_json(candidate.median_seconds * 1e3) : nullptr;
    list.push_back({{"operation", key}, {"chosen", record.candidates.at(record.chosen).name}, {"median_ms", std::move(medians)}});
  }
  return list;
}

}  // namespace lapilli
