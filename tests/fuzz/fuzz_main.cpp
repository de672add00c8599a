// Entry points of libFuzzer for one parser, the macro LAPILLI_PARSER: see tools/scripts/fuzz.sh.

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/parsers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size_bytes) {
  static const lapilli::fuzz::Parser& parser = *lapilli::fuzz::find_parser(LAPILLI_PARSER);
  parser.parse({data, size_bytes});
  return 0;
}

// With LAPILLI_SEEDS=DIR writes the seeds there and ends.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* folder = std::getenv("LAPILLI_SEEDS");
  if (folder == nullptr) return 0;
  int number = 0;
  for (const auto& seed : lapilli::fuzz::find_parser(LAPILLI_PARSER)->seeds()) {
    std::ofstream out(std::filesystem::path(folder) / ("seed-" + std::to_string(number++)), std::ios::binary);
    out.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
  }
  std::exit(0);
}
