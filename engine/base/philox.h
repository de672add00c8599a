#pragma once
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random bits as a
// pure function of (key, counter), so any draw of a stream can be computed without the draws before it.

#include <array>
#include <cstdint>

namespace lapilli {

inline std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

// 64 bits for (seed, index, lane, draw).
inline uint64_t philox_bits(uint64_t seed, uint64_t index, uint32_t lane, uint32_t draw) {
  const auto bits = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), lane, draw},
                               {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return uint64_t{bits[1]} << 32 | bits[0];
}

// Uniform in [0, 1) on a grid of 2^-53.
inline double philox_uniform(uint64_t seed, uint64_t index, uint32_t lane, uint32_t draw) {
  return static_cast<double>(philox_bits(seed, index, lane, draw) >> 11) * 0x1.0p-53;
}

}  // namespace lapilli
