#include "tokenizer/synth/synth.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/tokenizer/support.h"
#include "tokenizer/data/dataset.h"
#include "tokenizer/data/ngram.h"
#include "tokenizer/synth/synth_story.h"

namespace lapilli::testing {
namespace {

// Every feature of the grammar language, small enough to enumerate.
const std::vector<TableSpec> kSmallTables = {
    {"who", 1, {"he"}, {"Ann|she", "Bob|he", "Cat|it"}},
    {"hue", 2, {}, {"red", "blue", "orange"}},
    {"count", 3, {}, {"two", "five"}},
};
std::vector<RuleSpec> small_rules() {
  return {{"end", {{1, "So {who.he} was glad."}, {2, "And {hue} it stayed, {n+m} times."}}},
          {"more", {{3, "Then {who} found [hue.a] hat. [end]"}, {1, "But no more came. [end]"}}},
          {"text", {{1, "[who=who] has [hue=hue@who.a] cup, [n=count] or [m=count]. {^hue}! [more]"}}}};
}

TEST(Grammar, SmallGrammar_ProbabilitiesSumToOneOverDistinctTexts) {
  const Grammar grammar(kSmallTables, small_rules());
  double total = 0, entropy = 0, bytes = 0;
  std::set<std::string> texts;
  grammar.enumerate([&](const Grammar::Text& text) {
    const double p = std::exp(-text.nats);
    total += p;
    entropy += p * text.nats;
    bytes += p * static_cast<double>(text.text.size());
    EXPECT_TRUE(texts.insert(text.text).second) << "made twice: " << text.text;
    const std::optional<double> parsed = grammar.parse_nats(text.text);
    ASSERT_TRUE(parsed.has_value()) << text.text;
    EXPECT_NEAR(*parsed, text.nats, 1e-12);
  });
  EXPECT_EQ(texts.size(), 3u * 3 * 2 * 2 * (3 * 2 + 2));
  EXPECT_NEAR(total, 1.0, 1e-12);
  EXPECT_NEAR(grammar.entropy_nats(), entropy, 1e-12);
  EXPECT_NEAR(grammar.expected_bytes(), bytes, 1e-9);
}

TEST(Grammar, Rotation_EachHolderHasItsOwnFavourite) {
  const Grammar grammar(kSmallTables, small_rules());
  EXPECT_LT(*grammar.parse_nats("Ann has a red cup, two or two. Red! But no more came. So she was glad."),
            *grammar.parse_nats("Ann has a blue cup, two or two. Blue! But no more came. So she was glad."));
  EXPECT_GT(*grammar.parse_nats("Bob has a red cup, two or two. Red! But no more came. So he was glad."),
            *grammar.parse_nats("Bob has a blue cup, two or two. Blue! But no more came. So he was glad."));
}

TEST(Grammar, TextsItCannotMake_HaveNoProbability) {
  const Grammar grammar(kSmallTables, small_rules());
  for (const std::string_view text : {"", "Ann has a red cup, two or two. Red! But no more came. So he was glad.",
                                      "Ann has a red cup, two or two. Blue! But no more came. So she was glad.",
                                      "Ann has a red cup, two or two. Red! But no more came. And red it stayed, five times."}) {
    EXPECT_FALSE(grammar.parse_nats(text).has_value()) << text;
  }
}

TEST(GrammarDeathTest, AmbiguousGrammar_IsRefused) {
  const std::vector<TableSpec> prefix = {{"word", 1, {}, {"sun", "sun hat"}}};
  const std::vector<RuleSpec> use = {{"text", {{1, "a [word] here"}}}};
  EXPECT_DEATH(Grammar(prefix, use), "begins with");
  const std::vector<TableSpec> fine = {{"word", 1, {}, {"sun", "sunny"}}};
  EXPECT_NEAR(Grammar(fine, use).entropy_nats(), -(std::log(2.0 / 3) * 2 + std::log(1.0 / 3)) / 3, 1e-12);
  const std::vector<RuleSpec> glued = {{"text", {{1, "a [word]s here"}}}};
  EXPECT_DEATH(Grammar(fine, glued), "must follow the choice");
  const std::vector<RuleSpec> same_start = {{"text", {{1, "It is [word]."}, {1, "It is [word], too."}}}};
  EXPECT_DEATH(Grammar(fine, same_start), "cannot be told apart");
  const std::vector<RuleSpec> one_ends = {{"text", {{1, "It is"}, {1, "It is so."}}}};
  EXPECT_DEATH(Grammar(fine, one_ends), "cannot be told apart");
}

TEST(StoryGrammar, EveryChoice_ProbabilitiesSumToOne) {
  for (const double sum : story_grammar().probability_sums()) EXPECT_NEAR(sum, 1.0, 1e-12);
}

TEST(SynthStory, Text_DeterminesEveryChoice) {
  for (uint64_t i = 0; i < 3000; ++i) {
    const SynthStory story = synth_story(77, i);
    const std::optional<double> nats = synth_story_nats(story.text);  // CHECKs that there is one derivation only
    ASSERT_TRUE(nats.has_value()) << story.text;
    EXPECT_NEAR(*nats, story.nats, 1e-9);
  }
}

TEST(SynthStory, AnalyticEntropyAndLength_AgreeWithManySamples) {
  constexpr int kStories = 20000;
  double nats = 0, nats_squared = 0, bytes = 0, bytes_squared = 0;
  for (uint64_t i = 0; i < kStories; ++i) {
    const SynthStory story = synth_story(4, i);
    const double size = static_cast<double>(story.text.size());
    nats += story.nats;
    nats_squared += story.nats * story.nats;
    bytes += size;
    bytes_squared += size * size;
  }
  const auto check = [](double sum, double squares, double exact) {
    const double mean = sum / kStories;
    const double standard_error = std::sqrt((squares / kStories - mean * mean) / kStories);
    EXPECT_NEAR(mean, exact, 4 * standard_error);
    EXPECT_LT(standard_error, exact / 500) << "too coarse to mean anything";
  };
  check(nats, nats_squared, synth_entropy_per_story_nats());
  check(bytes, bytes_squared, synth_expected_bytes_per_story());
}

TEST(SynthStory, Stories_HaveTheSizeAndWordsOfAChildrensStory) {
  std::set<std::string> words;
  for (uint64_t i = 0; i < 3000; ++i) {
    const std::string text = synth_story(5, i).text;
    EXPECT_GE(text.size(), 350u) << text;
    EXPECT_LE(text.size(), 1200u) << text;
    EXPECT_EQ(text.back(), '\n');
    EXPECT_EQ(text.find("  "), std::string::npos) << text;
    EXPECT_EQ(text.find_first_of("[]{}^|=@"), std::string::npos) << text;
    std::string word;
    for (const char c : text) {
      if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
        word.push_back(c);
      } else {
        words.insert(word);
        word.clear();
      }
    }
  }
  EXPECT_GE(words.size(), 500u);
}

TEST(WriteSynthCorpus, SameSeed_SameBytes_OtherSeed_Other) {
  const TempDir dir;
  write_synth_corpus(dir / "a.txt", 30000, 1);
  write_synth_corpus(dir / "b.txt", 30000, 1);
  write_synth_corpus(dir / "c.txt", 30000, 2);
  EXPECT_EQ(read_text_file(dir / "a.txt"), read_text_file(dir / "b.txt"));
  EXPECT_EQ(read_text_file(dir / "a.txt.nats"), read_text_file(dir / "b.txt.nats"));
  EXPECT_NE(read_text_file(dir / "a.txt"), read_text_file(dir / "c.txt"));
}

TEST(WriteSynthCorpus, LongerCorpus_BeginsWithTheShorter) {
  const TempDir dir;
  write_synth_corpus(dir / "a.txt", 3000, 1);
  write_synth_corpus(dir / "b.txt", 2500000, 1);  // beyond one write buffer
  EXPECT_TRUE(read_text_file(dir / "b.txt").starts_with(read_text_file(dir / "a.txt")));
}

TEST(WriteSynthCorpus, Files_AgreeWithEachOtherAndWithWhatWasAsked) {
  const TempDir dir;
  const fs::path path = dir / "a.txt";
  const SynthSummary summary = write_synth_corpus(path, 50000, 6);
  const std::string text = read_text_file(path);
  EXPECT_EQ(summary.bytes, text.size());
  EXPECT_GE(text.size(), 50000u);
  EXPECT_LT(text.size(), 50000u + 1300);
  const std::optional<std::vector<double>> nats = read_synth_nats(path);
  ASSERT_TRUE(nats.has_value());
  EXPECT_EQ(nats->size(), summary.stories);
  double total = 0;
  for (const double x : *nats) total += x;
  EXPECT_NEAR(total, summary.nats, 1e-9 * total);
  const auto json = nlohmann::json::parse(read_text_file(synth_json_path(path)));
  EXPECT_EQ(json["bytes"], text.size());
  EXPECT_EQ(json["seed"], 6);
  EXPECT_EQ(json["stories"], summary.stories);
  EXPECT_EQ(json["text_bytes"], text.size() - summary.stories * std::string_view("<|endoftext|>\n").size());
  EXPECT_NEAR(json["nats_per_byte"].get<double>(), total / json["text_bytes"].get<double>(), 1e-12);
  EXPECT_EQ(dir.names().size(), 3u);
}

TEST(ReadSynthNats, MissingForeignAndDamagedSideFiles_HaveDifferentErrors) {
  const TempDir dir;
  const fs::path path = dir.write("a.txt", "not synthetic\n");
  EXPECT_FALSE(read_synth_nats(path).has_value());
  write_synth_corpus(path, 5000, 6);
  const std::string nats = read_text_file(synth_nats_path(path));
  dir.write("a.txt.nats", nats.substr(0, nats.size() - 8));
  EXPECT_ERROR_MENTIONS(error_of([&] { read_synth_nats(path); }), "a.txt.nats", "make the corpus again");
}

TEST(WriteSynthCorpus, NoFolder_IsAnError) {
  const TempDir dir;
  EXPECT_ERROR_MENTIONS(error_of([&] { write_synth_corpus(dir / "no" / "a.txt", 5000, 6); }), "a.txt");
  EXPECT_ERROR_MENTIONS(error_of([&] { write_synth_corpus(dir / "a.txt", 0, 6); }), "--bytes");
}

// A model can learn more here than bigram counts.
TEST(SynthCorpus, BigramModel_StaysFarAboveTheSource) {
  const TempDir dir;
  const fs::path input = dir / "a.txt", model = dir / "t.model";
  write_synth_corpus(input, 1000000, 1);
  train_tokenizer({.type = TokenizerType::kUnigram, .vocab_size = 1024}, {&input, 1}, model);
  const DatasetSummary summary = build_dataset(model, {&input, 1}, dir / "data");
  const NgramReference reference = ngram_reference(TokenShard(dir / "data" / kTrainShardName), TokenShard(dir / "data" / kValShardName));
  const double source = summary.val.source_entropy_nats / static_cast<double>(summary.val.tokens);
  EXPECT_GT(reference.bigram_cross_entropy, source + 0.8);
  EXPECT_LT(reference.bigram_cross_entropy, reference.unigram_entropy);
}

}  // namespace
}  // namespace lapilli::testing
