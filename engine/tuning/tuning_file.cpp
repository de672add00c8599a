#include "engine/tuning/tuning_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/log.h"
#include "engine/kernel/device_cache.h"

namespace lapilli {

namespace {

using Json = nlohmann::ordered_json;  // candidates keep their order

// {"chosen": "full", "median_ms": {"full": 12.1, "tokens": 13.0, "broken": null}}
Json to_json(const TuningRecord& record) {
  auto medians = Json::object();
  for (const auto& [name, seconds] : record.candidates) medians[name] = std::isfinite(seconds) ? Json(seconds * 1e3) : Json(nullptr);
  return {{"chosen", record.candidates.at(record.chosen).name}, {"median_ms", std::move(medians)}};
}

TuningRecord record_from_json(const Json& json) {
  TuningRecord record;
  const auto chosen = json.at("chosen").get<std::string>();
  bool found = false;
  for (const auto& [name, median] : json.at("median_ms").items()) {
    if (name == chosen) {
      record.chosen = record.candidates.size();
      found = true;
    }
    const double seconds = median.is_null() ? std::numeric_limits<double>::infinity() : median.get<double>() / 1e3;
    record.candidates.push_back({name, seconds});
  }
  if (!found) throw Error("'{}' is chosen but not among the candidates", chosen);
  return record;
}

Json to_json(const WrongKernel& wrong) {
  return {{"kernel", wrong.kernel}, {"variant", wrong.variant},     {"precision", wrong.precision},
          {"key", wrong.key},       {"candidate", wrong.candidate}, {"essential", wrong.essential}};
}
WrongKernel wrong_from_json(const Json& json) {
  return {.kernel = json.at("kernel"),
          .variant = json.at("variant"),
          .precision = json.at("precision"),
          .key = json.at("key"),
          .candidate = json.at("candidate"),
          .essential = json.at("essential")};
}

// The words of a key, without the commas between some.
std::set<std::string> words_of(std::string key) {
  std::ranges::replace(key, ',', ' ');
  std::istringstream stream(key);
  return {std::istream_iterator<std::string>(stream), {}};
}

// One process at a time; without exclusion on file systems without locks.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder) : descriptor_(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ >= 0) flock(descriptor_, LOCK_EX);
  }
  ~FolderLock() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace

TuningFile::TuningFile(const DeviceCaps& caps, std::string kernels, std::filesystem::path path)
    : path_(std::move(path)),
      named_(!path_.empty()),
      device_(fmt::format("{}, {}", caps.name, caps.driver)),
      identity_(device_identity(caps)),
      kernels_(std::move(kernels)) {
  if (!path_.empty()) return;
  try {
    path_ = device_cache_path(caps, "tuning", ".json");
  } catch (const Error& error) {
    log_warning("tuning results are not remembered: {}", error.what());
  }
}

TuningMemory TuningFile::read() const {
  TuningMemory memory;
  if (path_.empty()) return memory;
  read_file(memory);
  read_crash_markers(memory, stale_crash_markers(path_));
  return memory;
}

void TuningFile::read_file(TuningMemory& memory) const {
  try {
    if (!std::filesystem::exists(path_)) return;
    const Json json = parse_json(read_text_file(path_));
    if (json.at("identity") != identity_ || json.at("kernels") != kernels_) {
      log_message(named_ ? LogLevel::warning : LogLevel::debug, "tuning results in '{}' are for another device, driver or kernels, and are ignored",
                  path_.string());
      return;
    }
    TuningMemory found;
    for (const auto& [key, record] : json.at("choices").items()) found.choices.emplace(key, record_from_json(record));
    if (json.contains("crashes")) found.crashes = json.at("crashes").get<TuningCrashes>();
    if (json.contains("wrong"))
      for (const Json& wrong : json.at("wrong")) found.wrong.push_back(wrong_from_json(wrong));
    memory = std::move(found);
  } catch (const std::exception& error) {  // Error, or an exception of the JSON parser or the file system
    log_debug("tuning results in '{}' not read: {}", path_.string(), error.what());
  }
}

// {"identity": ..., "kernels": ..., "key": "loss 4x4 f32", "trying": "full"}
std::string TuningFile::marker_text(const std::string& key, const std::string& name) const {
  return json_text({{"identity", identity_}, {"kernels", kernels_}, {"key", key}, {"trying", name}}) + "\n";
}

void TuningFile::read_crash_markers(TuningMemory& memory, const std::vector<StaleCrashMarker>& markers) const {
  for (const StaleCrashMarker& marker : markers) {
    try {
      const Json json = parse_json(marker.what);
      if (json.at("identity") == identity_ && json.at("kernels") == kernels_) memory.crashes[json.at("key")].insert(json.at("trying"));
    } catch (const Json::exception&) {  // empty or truncated: names no candidate
    }
  }
}

void TuningFile::add(const TuningRecords& records, const TuningCrashes& crashes) {
  update([&](TuningMemory& memory) {
    for (const auto& [key, record] : records) memory.choices.insert_or_assign(key, record);
    for (const auto& [key, names] : crashes) memory.crashes[key].insert(names.begin(), names.end());
  });
}

void TuningFile::set_wrong(const std::vector<WrongKernel>& wrong, bool keep_others) {
  update([&](TuningMemory& memory) {
    const auto is_new = [&](const WrongKernel& old) {
      return std::ranges::any_of(wrong, [&](const WrongKernel& kernel) { return kernel.kernel == old.kernel && kernel.variant == old.variant; });
    };
    if (keep_others) std::erase_if(memory.wrong, is_new);
    else memory.wrong.clear();
    memory.wrong.insert(memory.wrong.end(), wrong.begin(), wrong.end());
  });
}

void TuningFile::update(const std::function<void(TuningMemory&)>& change) {
  if (path_.empty()) return;
  const FolderLock lock(path_.has_parent_path() ? path_.parent_path() : ".");
  const std::vector<StaleCrashMarker> markers = stale_crash_markers(path_);
  TuningMemory all;
  read_file(all);
  read_crash_markers(all, markers);
  change(all);
  auto choices = Json::object();
  for (const auto& [key, record] : all.choices) choices[key] = to_json(record);
  Json json{{"device", device_}, {"identity", identity_}, {"kernels", kernels_}, {"choices", std::move(choices)}};
  if (!all.crashes.empty()) json["crashes"] = all.crashes;
  for (const WrongKernel& wrong : all.wrong) json["wrong"].push_back(to_json(wrong));
  try {
    write_file_atomically(path_, json_text(json, 1) + "\n");
    for (const StaleCrashMarker& marker : markers) remove_stale_crash_marker(marker.path);
  } catch (const Error& error) {
    log_warning("tuning results are not remembered: {}", error.what());
    path_.clear();
  }
}

bool is_wrong(const std::vector<WrongKernel>& wrong, const std::string& key, const std::string& candidate) {
  const std::set<std::string> words = words_of(key);
  return std::ranges::any_of(wrong, [&](const WrongKernel& kernel) {
    return !kernel.candidate.empty() && (candidate == kernel.candidate || candidate.starts_with(kernel.candidate + " ")) &&
           std::ranges::includes(words, words_of(kernel.key));
  });
}

}  // namespace lapilli
