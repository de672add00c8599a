#pragma once
// The readers of files from outside, each as a function of bytes: for libFuzzer (fuzz_main.cpp) and for the test that replays the kept inputs.
// A reader may refuse bytes with Error, or accept them; then everything that it gives is used. Anything else is a fault: another exception, an
// abort, a read past the end.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lapilli::fuzz {

using Bytes = std::span<const uint8_t>;

struct Parser {
  const char* name;
  void (*parse)(Bytes bytes);
  // Small valid inputs, from which mutations start.
  std::vector<std::vector<uint8_t>> (*seeds)();
};

// shard, state, safetensors, tokenizer, tuning, cache, config, nats, metrics, dataset, tokens, hfconfig, bytebpe, gguf.
std::span<const Parser> parsers();
const Parser* find_parser(std::string_view name);

}  // namespace lapilli::fuzz
