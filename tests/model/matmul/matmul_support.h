#pragma once
// Helpers for matmul tests: shapes in all three layouts.

#include "tests/common/support.h"
#include "tools/check/matmul_case.h"

namespace lapilli::test {

using Case = MatmulCase;

inline std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn})
    for (const auto& [m, n, k] : std::vector<std::array<uint32_t, 3>>{
             {1, 1, 1}, {2, 3, 5}, {23, 31, 7}, {24, 32, 8}, {25, 33, 9}, {7, 129, 65}, {64, 16, 17}, {97, 61, 101}, {1, 257, 3}, {131, 1, 31}})
      all.push_back({layout, m, n, k});
  return all;
}

// Even sizes around the tiles of 8, 32 and 64 rows and the blocks of 4, 8 and 16 lanes, where CPU drivers read pairs of floats.
inline std::vector<Case> even_cases() {
  std::vector<Case> all;
  for (const Layout layout : {Layout::nn, Layout::nt, Layout::tn})
    for (const auto& [m, n, k] : std::vector<std::array<uint32_t, 3>>{
             {2, 2, 2}, {30, 34, 32}, {34, 62, 66}, {66, 30, 64}, {8, 66, 34}, {64, 64, 130}, {66, 130, 18}, {126, 94, 48}})
      all.push_back({layout, m, n, k});
  all.push_back({Layout::nt, 33, 65, 64});  // NT only needs an even depth
  all.push_back({Layout::nn, 33, 64, 64});
  all.push_back({Layout::tn, 64, 64, 65});
  return all;
}

// Beyond one tile of 128 in each direction, with an edge; and beyond a band of 8 such tiles.
inline std::vector<Case> large_cases() {
  return {{Layout::nn, 129, 190, 33}, {Layout::nt, 190, 129, 33}, {Layout::tn, 130, 131, 47}, {Layout::nn, 1100, 270, 5}};
}

}  // namespace lapilli::test
