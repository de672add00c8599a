// Every parser on its seeds, on the inputs kept in corpus/ (finds of libFuzzer among them), and on mutations of both: the same ones each time.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/parsers.h"

namespace lapilli::fuzz {
namespace {

using Buffer = std::vector<uint8_t>;

std::vector<Buffer> inputs_of(const Parser& parser) {
  std::vector<Buffer> inputs = parser.seeds();
  const std::filesystem::path folder = std::filesystem::path(LAPILLI_SOURCE_DIR) / "tests" / "fuzz" / "corpus" / parser.name;
  if (!std::filesystem::exists(folder)) return inputs;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  Buffer mutated(const std::vector<Buffer>& inputs) {
    Buffer bytes = inputs[below(inputs.size())];
    for (size_t changes = 1 + below(3); changes > 0 && !bytes.empty(); --changes) change(bytes, inputs);
    return bytes;
  }

 private:
  size_t below(size_t limit) { return random_() % limit; }

  void change(Buffer& bytes, const std::vector<Buffer>& inputs) {
    const size_t at = below(bytes.size());
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(6)) {
      case 0: bytes[at] ^= static_cast<uint8_t>(1U << below(8)); break;
      case 1: bytes[at] = static_cast<uint8_t>(random_()); break;
      case 2: bytes.resize(at); break;
      case 3: bytes.insert(begin, 1 + below(9), static_cast<uint8_t>(random_())); break;
      case 4: {  // a number at the edge of its type
        constexpr uint64_t kEdges[] = {
            0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 1ULL << 61, 1ULL << 63};
        const uint64_t edge = kEdges[below(std::size(kEdges))] + below(3);
        for (size_t i = 0; i < 8 && at + i < bytes.size(); ++i) bytes[at + i] = static_cast<uint8_t>(edge >> (8 * i));
        break;
      }
      case 5: {  // a part of another input
        const Buffer& other = inputs[below(inputs.size())];
        if (other.empty()) break;
        const size_t from = below(other.size()), count = std::min(other.size() - from, bytes.size() - at);
        std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(from), count, begin);
        break;
      }
    }
  }

  std::mt19937 random_;
};

class Fuzz : public ::testing::TestWithParam<Parser> {};

TEST_P(Fuzz, Seeds_AreParsed) {
  const auto seeds = GetParam().seeds();
  ASSERT_FALSE(seeds.empty());
  for (const Buffer& seed : seeds) EXPECT_NO_THROW(GetParam().parse(seed));
}

TEST_P(Fuzz, KeptInputsAndMutations_AreRefusedOrUsed) {
  const std::vector<Buffer> inputs = inputs_of(GetParam());
  for (const Buffer& input : inputs) EXPECT_NO_THROW(GetParam().parse(input));
  Mutator mutator(1);
  for (int i = 0; i < 3000; ++i) {
    const Buffer input = mutator.mutated(inputs);
    EXPECT_NO_THROW(GetParam().parse(input)) << "mutation " << i;
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Parsers, Fuzz, ::testing::ValuesIn(parsers().begin(), parsers().end()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace lapilli::fuzz
