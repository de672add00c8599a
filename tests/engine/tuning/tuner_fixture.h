#pragma once
// Candidates that only report a time, and a tuner with a separate file: no device is needed.

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/file.h"
#include "engine/tuning/tuner.h"
#include "tests/common/files.h"

namespace lapilli::test {

using testing::error_of;
using testing::TempDir;

constexpr const char* kKernels = "0123456789abcdef";  // a fake hash of shaders
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Candidates and the calls to them.
struct Candidates {
  std::vector<std::string> names;
  std::vector<std::function<double(int run)>> seconds;  // of run 0 (the warm-up), 1, 2, ...
  std::string prepared = {}, runs = {};                 // first letters of the names, in the order of the calls

  TunedChoice choose(Tuner& tuner, const std::string& key = "loss 4x4 f32", const Tuner::Compile& compile = {}) {
    const auto prepare = [this](size_t i) -> std::function<double()> {
      prepared += names[i][0];
      return [this, i, run = 0]() mutable {
        runs += names[i][0];
        return seconds[i](run++);
      };
    };
    return tuner.choose(key, names, prepare, std::nullopt, compile);
  }
};

inline std::function<double(int)> takes(double seconds) {
  return [seconds](int) { return seconds; };
}

inline std::function<double(int)> throws_in_run(int bad) {
  return [bad](int run) {
    if (run == bad) throw Error("device lost");
    return 1e-6;
  };
}

inline Candidates full_and_tokens(double full, double tokens) { return {{"full", "tokens"}, {takes(full), takes(tokens)}}; }

inline DeviceCaps caps() {
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
  Tuner tuner() const { return Tuner(caps(), kKernels, {.file = file_}); }
  Tuner quiet_tuner() const { return Tuner(caps(), kKernels, {.measure = false, .file = file_}); }

  void replace_in_file(const std::string& what, const std::string& by) const {
    std::string text = read_text_file(file_);
    ASSERT_NE(text.find(what), std::string::npos) << what << " not in " << text;
    text.replace(text.find(what), what.size(), by);
    dir_.write("tuning.json", text);
  }
  // Has `choose` measured with a new tuner on this file, on a device of these caps?
  bool measures_again(Candidates candidates, const DeviceCaps& device = caps()) const {
    Tuner tuner(device, kKernels, {.file = file_});
    candidates.choose(tuner);
    return !candidates.prepared.empty();
  }

  TempDir dir_;
  std::filesystem::path file_ = dir_ / "tuning.json";
};

}  // namespace lapilli::test
