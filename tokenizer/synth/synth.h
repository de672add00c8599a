#pragma once
// `lapilli corpus synth`: small stories from a probabilistic grammar, whose entropy is known exactly.
//
// The text of a story determines every choice that made it, so -ln p(story) is the sum of -ln p over its choices, and
// the entropy per story follows from the grammar by recursion. The loss of a perfect model of this corpus is exactly
// the source entropy, the lower bound for any model.
//
// Files: F        stories, each followed by a line "<|endoftext|>"
//        F.json   bytes, text_bytes, stories, seed, nats, nats_per_byte (per byte of text), entropy_per_story_nats,
//                 expected_bytes_per_story
//        F.nats   magic "LAPNATS\n", u64 story count, then one f64 per story: its -ln p in nats; little-endian

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli {

struct SynthStory {
  std::string text;  // ends with a newline
  double nats = 0;   // -ln p(text)
};

// Story number `index` of that seed; each story can be generated independently.
SynthStory synth_story(uint64_t seed, uint64_t index);

// -ln p of a text, computed by parsing it; empty if the grammar cannot generate it. CHECKs that only one derivation
// exists.
std::optional<double> synth_story_nats(std::string_view text);

double synth_entropy_per_story_nats();  // exact
double synth_expected_bytes_per_story();

struct SynthSummary {
  uint64_t bytes = 0;       // of the file
  uint64_t text_bytes = 0;  // without the separator lines
  uint64_t stories = 0;
  uint64_t seed = 0;
  double nats = 0;  // of the stories written
  double nats_per_byte = 0;
  double entropy_per_story_nats = 0, expected_bytes_per_story = 0;
};

// Writes stories until the file has at least `bytes` bytes: at most one story more than requested. Throws Error when
// the files cannot be written; each file is complete or absent.
SynthSummary write_synth_corpus(const std::filesystem::path& output, uint64_t bytes, uint64_t seed);

std::filesystem::path synth_json_path(const std::filesystem::path& corpus);
std::filesystem::path synth_nats_path(const std::filesystem::path& corpus);

// -ln p of each story of a corpus, in order; empty when the corpus has no side file. Throws Error when the side file
// does not belong to the corpus (another size) or is corrupt.
std::optional<std::vector<double>> read_synth_nats(const std::filesystem::path& corpus);

}  // namespace lapilli
