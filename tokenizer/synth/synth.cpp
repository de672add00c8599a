#include "tokenizer/synth/synth.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/base/philox.h"
#include "tokenizer/synth/synth_story.h"
#include "tokenizer/text/corpus.h"

namespace lapilli {

namespace {

constexpr uint32_t kStoryLane = 0x53544F52;  // separates these random numbers from other uses of the same seed
constexpr std::string_view kNatsMagic = "LAPNATS\n";
constexpr size_t kFlushBytes = 1 << 20;

// Compensated summation, as if with twice the precision (Neumaier 1974): exact to the last printed digit for millions
// of stories.
class PreciseSum {
 public:
  void add(double value) {
    const double sum = sum_ + value;
    correction_ += std::abs(sum_) >= std::abs(value) ? (sum_ - sum) + value : (value - sum) + sum_;
    sum_ = sum;
  }
  double value() const { return sum_ + correction_; }

 private:
  double sum_ = 0, correction_ = 0;
};

std::filesystem::path with_suffix(std::filesystem::path path, const char* suffix) {
  path += suffix;
  return path;
}

void write_json(const std::filesystem::path& output, const SynthSummary& summary) {
  const nlohmann::ordered_json json = {{"format", "lapilli synthetic corpus"},
                                       {"version", 1},
                                       {"bytes", summary.bytes},
                                       {"text_bytes", summary.text_bytes},
                                       {"stories", summary.stories},
                                       {"seed", summary.seed},
                                       {"nats", summary.nats},
                                       {"nats_per_byte", summary.nats_per_byte},
                                       {"entropy_per_story_nats", summary.entropy_per_story_nats},
                                       {"expected_bytes_per_story", summary.expected_bytes_per_story}};
  write_file_atomically(synth_json_path(output), json_text(json, 2) + "\n");
}

}  // namespace

std::filesystem::path synth_json_path(const std::filesystem::path& corpus) { return with_suffix(corpus, ".json"); }
std::filesystem::path synth_nats_path(const std::filesystem::path& corpus) { return with_suffix(corpus, ".nats"); }

SynthStory synth_story(uint64_t seed, uint64_t index) {
  uint32_t draw = 0;
  Grammar::Text text = story_grammar().generate([&] { return philox_uniform(seed, index, kStoryLane, draw++); });
  return {.text = std::move(text.text), .nats = text.nats};
}

std::optional<double> synth_story_nats(std::string_view text) { return story_grammar().parse_nats(text); }

double synth_entropy_per_story_nats() { return story_grammar().entropy_nats(); }
double synth_expected_bytes_per_story() { return story_grammar().expected_bytes(); }

SynthSummary write_synth_corpus(const std::filesystem::path& output, uint64_t bytes, uint64_t seed) {
  if (bytes == 0) throw Error("a synthetic corpus of 0 bytes: give --bytes a positive number");
  AtomicFile text_file(output), nats_file(synth_nats_path(output));
  nats_file.write(kNatsMagic);
  uint64_t stories = 0;
  nats_file.write(std::as_bytes(std::span(&stories, 1)));
  SynthSummary summary{.seed = seed};
  PreciseSum nats;
  std::string text;
  std::vector<double> story_nats;
  const auto flush = [&] {
    text_file.write(text);
    nats_file.write(std::as_bytes(std::span(story_nats)));
    text.clear();
    story_nats.clear();
  };
  while (text_file.size_bytes() + text.size() < bytes) {
    const SynthStory story = synth_story(seed, stories++);
    text.append(story.text).append(kDocumentSeparator).append("\n");
    summary.text_bytes += story.text.size();
    story_nats.push_back(story.nats);
    nats.add(story.nats);
    if (text.size() >= kFlushBytes) flush();
  }
  flush();
  nats_file.write_at(kNatsMagic.size(), std::as_bytes(std::span(&stories, 1)));
  summary.bytes = text_file.size_bytes();
  summary.stories = stories;
  summary.nats = nats.value();
  summary.nats_per_byte = summary.nats / static_cast<double>(summary.text_bytes);
  summary.entropy_per_story_nats = synth_entropy_per_story_nats();
  summary.expected_bytes_per_story = synth_expected_bytes_per_story();
  nats_file.commit();
  text_file.commit();
  write_json(output, summary);
  return summary;
}

std::optional<std::vector<double>> read_synth_nats(const std::filesystem::path& corpus) {
  const std::filesystem::path json_path = synth_json_path(corpus), nats_path = synth_nats_path(corpus);
  if (!std::filesystem::exists(json_path) || !std::filesystem::exists(nats_path)) return std::nullopt;
  const auto foreign = [&](const std::filesystem::path& path) {
    return Error("'{}' does not belong to '{}' (or is damaged): make the corpus again, or remove that file", path.string(), corpus.string());
  };
  nlohmann::ordered_json json = parse_json(read_text_file(json_path));  // not const: a key that is missing reads as null
  if (!json.is_object() || json["format"] != "lapilli synthetic corpus") return std::nullopt;
  if (!json["bytes"].is_number_unsigned() || json["bytes"] != std::filesystem::file_size(corpus)) throw foreign(json_path);

  const std::vector<std::byte> bytes = read_binary_file(nats_path);
  constexpr size_t kHeaderBytes = kNatsMagic.size() + sizeof(uint64_t);
  uint64_t stories = 0;
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kNatsMagic.data(), kNatsMagic.size()) != 0) {
    throw foreign(nats_path);
  }
  std::memcpy(&stories, bytes.data() + kNatsMagic.size(), sizeof stories);
  if (stories != (bytes.size() - kHeaderBytes) / sizeof(double) || json["stories"] != stories) throw foreign(nats_path);
  std::vector<double> nats(stories);
  std::memcpy(nats.data(), bytes.data() + kHeaderBytes, stories * sizeof(double));
  return nats;
}

}  // namespace lapilli
