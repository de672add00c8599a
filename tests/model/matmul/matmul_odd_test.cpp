// Matmuls on CPU drivers with rows that start at odd elements of memory: every other row starts in the middle of the
// pairs that matmul_cpu_load64.glsl loads, and the missing element of a pair is loaded separately.
#include <cmath>

#include "model/matmul/matmul_record.h"
#include "tests/model/matmul/matmul_support.h"

namespace lapilli::test {
namespace {

// Around the tiles of 8, 32 and 64 rows, 2 and 4 vectors of 4, 8 or 16 columns and blocks of 8 or 16 steps: a and b odd in turn and
// together, single rows and columns, last rows and columns that are a pair's first and second, no whole block and several.
std::vector<std::array<uint32_t, 3>> sizes() {
  return {{1, 1, 33},  {2, 2, 17},   {1, 3, 49},   {3, 5, 15},    {7, 9, 35},    {8, 16, 31},   {9, 33, 48},  {31, 63, 33},
          {33, 63, 7}, {33, 65, 32}, {63, 64, 47}, {64, 127, 33}, {65, 130, 65}, {66, 129, 34}, {129, 67, 16}};
}

class OddMatmul : public testing::TestWithParam<std::tuple<MatmulKernel, Layout>> {
 protected:
  void SetUp() override {
    if (!device().caps().fast_64bit_loads) GTEST_SKIP() << "the driver is not given 64-bit loads";
  }
  // Calls check with every case, in one process: the kernels of all are the same few.
  void for_all_sizes(const std::function<void(const Case&)>& check) const {
    for (const auto& [m, n, k] : sizes()) {
      SCOPED_TRACE(fmt::format("{}x{}x{}", m, n, k));
      check({layout, m, n, k});
      if (HasFailure()) return;
    }
  }
  const MatmulKernel force = std::get<MatmulKernel>(GetParam());
  const Layout layout = std::get<Layout>(GetParam());
};

TEST_P(OddMatmul, ExactInputs_EveryElementExact) {
  for_all_sizes([&](const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 1), b = small_integers(uint64_t{p.k} * p.n, 2);
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a), tb = bench.input(b_shape(p), b), tc = bench.output({p.m, p.n});
    bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.force = force}); });
    EXPECT_EQ(bench.read(tc), narrow(expected(p, widen(a), widen(b)).value));
  });
}

// A matrix in rows an odd number of elements apart, with a gap of one or two that holds `gap`.
Tensor gapped(Bench& bench, Shape packed, const std::vector<float>& values, float gap) {
  const uint32_t cols = packed[1], stride = cols + 1 + cols % 2;
  std::vector<float> all(uint64_t{packed[0]} * stride, gap);
  for (uint64_t i = 0; i < values.size(); ++i) all[i / cols * stride + i % cols] = values[i];
  return bench.input({packed[0], stride}, all);
}

// All gaps contain NaN, so that a row which uses its neighbour's part of a pair is detected.
TEST_P(OddMatmul, RowsWithGaps_GapsNeitherUsedNorWritten) {
  for_all_sizes([&](const Case& p) {
    const auto a = small_integers(uint64_t{p.m} * p.k, 3), b = small_integers(uint64_t{p.k} * p.n, 4);
    const Shape of_a = a_shape(p), of_b = b_shape(p);
    Bench bench;
    const Tensor ta = gapped(bench, of_a, a, std::nanf("")), tb = gapped(bench, of_b, b, std::nanf(""));
    const Tensor tc = gapped(bench, {p.m, p.n}, std::vector<float>(uint64_t{p.m} * p.n, 88.0F), 77.0F);
    bench.run([&](Ops& ops) { record(ops, p.layout, tc.columns(p.n), ta.columns(of_a[1]), tb.columns(of_b[1]), Into::overwrite, {.force = force}); });
    const auto product = narrow(expected(p, widen(a), widen(b)).value);
    std::vector<float> value(tc.elements(), 77.0F);
    for (uint64_t i = 0; i < product.size(); ++i) value[i / p.n * tc.cols() + i % p.n] = product[i];
    EXPECT_EQ(bench.read(tc), value);
  });
}

// A row of a that holds NaN makes its row of c NaN, and a column of b its column: no other.
TEST_P(OddMatmul, NansInARowAndAColumn_StayThere) {
  for_all_sizes([&](const Case& p) {
    const uint32_t row = p.m / 2, col = p.n / 2;
    auto a = small_integers(uint64_t{p.m} * p.k, 5), b = small_integers(uint64_t{p.k} * p.n, 6);
    const auto product = narrow(expected(p, widen(a), widen(b)).value);
    for (uint32_t k = 0; k < p.k; ++k) {
      a[p.layout == Layout::tn ? k * p.m + row : row * p.k + k] = std::nanf("");
      b[p.layout == Layout::nt ? col * p.k + k : k * p.n + col] = std::nanf("");
    }
    Bench bench;
    const Tensor ta = bench.input(a_shape(p), a), tb = bench.input(b_shape(p), b), tc = bench.output({p.m, p.n});
    bench.run([&](Ops& ops) { record(ops, p.layout, tc, ta, tb, Into::overwrite, {.force = force}); });
    const auto actual = bench.read(tc);
    for (uint32_t i = 0; i < p.m; ++i)
      for (uint32_t j = 0; j < p.n; ++j) {
        const float value = actual[uint64_t{i} * p.n + j];
        if (i == row || j == col) EXPECT_TRUE(std::isnan(value)) << i << ", " << j << ": " << value;
        else EXPECT_EQ(value, product[uint64_t{i} * p.n + j]) << i << ", " << j;
      }
  });
}

std::vector<MatmulKernel> tiles() {
  std::vector<MatmulKernel> all;
  DeviceCaps wide;  // all tiles, whatever the device's lanes
  wide.subgroup_size = 16;
  for (const auto& [rows, vectors] : matmul_tiles(wide, {KernelClass::cpu}))
    all.push_back({.kernel_class = KernelClass::cpu, .tile = rows, .tile_cols = vectors});
  return all;
}
std::string name(const testing::TestParamInfo<std::tuple<MatmulKernel, Layout>>& info) {
  const char* layouts[] = {"NN", "NT", "TN"};
  const auto& [kernel, layout] = info.param;
  return fmt::format("{}x{}_{}", kernel.tile, kernel.tile_cols, layouts[static_cast<int>(layout)]);
}
INSTANTIATE_TEST_SUITE_P(Tiles, OddMatmul, testing::Combine(testing::ValuesIn(tiles()), testing::Values(Layout::nn, Layout::nt, Layout::tn)), name);

}  // namespace
}  // namespace lapilli::test
