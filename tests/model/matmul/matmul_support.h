#pragma once
// Helpers for matmul tests: shapes in all three layouts, and expected results.

#include "model/matmul/matmul.h"
#include "tests/common/support.h"
#include "tests/reference/matmul.h"

namespace lapilli::test {

enum class Layout { nn, nt, tn };
struct Case {
  Layout layout;
  uint32_t m, n, k;
};

// Inputs of small integers make every product and sum exact, so that a wrong element cannot hide in a tolerance.
inline std::vector<float> small_integers(uint64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(generator() % 7) - 3);
  return values;
}

inline void record(Ops& ops, Layout layout, Tensor c, ConstTensor a, ConstTensor b, Into into, const MatmulOptions& options) {
  switch (layout) {
    case Layout::nn: return matmul_nn(ops, c, a, b, into, options);
    case Layout::nt: return matmul_nt(ops, c, a, b, into, options);
    case Layout::tn: return matmul_tn(ops, c, a, b, into, options);
  }
}

inline Shape a_shape(const Case& p) { return p.layout == Layout::tn ? Shape{p.k, p.m} : Shape{p.m, p.k}; }
inline Shape b_shape(const Case& p) { return p.layout == Layout::nt ? Shape{p.n, p.k} : Shape{p.k, p.n}; }

inline reference::MatmulResult expected(const Case& p, const Doubles& a, const Doubles& b) {
  const reference::Strided as = p.layout == Layout::tn ? reference::Strided{a, 1, p.m} : reference::Strided{a, p.k, 1};
  const reference::Strided bs = p.layout == Layout::nt ? reference::Strided{b, 1, p.k} : reference::Strided{b, p.n, 1};
  return reference::matmul(as, bs, p.m, p.n, p.k);
}

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
