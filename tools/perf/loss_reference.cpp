#include "tools/perf/loss_reference.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"

namespace lapilli {

namespace {

constexpr uint32_t kBlockFloats = 1U << 22;

double dot(const float* a, const float* b, uint32_t dim) {
  double sum = 0;
  for (uint32_t d = 0; d < dim; ++d) sum += double{a[d]} * double{b[d]};
  return sum;
}

}  // namespace

LossReference reference_loss(const std::vector<float>& x, const std::vector<uint32_t>& targets, uint32_t vocab, uint32_t dim, double scale,
                             const std::function<std::vector<float>(uint32_t first, uint32_t count)>& read_w) {
  const size_t rows = targets.size();
  CHECK_EQ(x.size(), rows * dim);
  const auto for_each_w = [&](const auto& visit) {  // visit(v, w_v)
    const uint32_t block = std::max(kBlockFloats / dim, 1U);
    for (uint32_t first = 0; first < vocab; first += std::min(block, vocab - first)) {
      const uint32_t count = std::min(block, vocab - first);
      const std::vector<float> w = read_w(first, count);
      for (uint32_t v = 0; v < count; ++v) visit(first + v, w.data() + size_t{v} * dim);
    }
  };

  std::vector<double> z(rows * vocab);  // [R,V]
  for_each_w([&](uint32_t v, const float* w_v) {
    for (size_t r = 0; r < rows; ++r) z[r * vocab + v] = dot(x.data() + r * dim, w_v, dim);
  });

  LossReference reference{.nll = std::vector<double>(rows), .d_x = std::vector<double>(rows * dim)};
  std::vector<double> lse(rows);
  for (size_t r = 0; r < rows; ++r) {
    CHECK(targets[r] < vocab, "target {} of {} tokens", targets[r], vocab);
    const auto begin = z.begin() + static_cast<std::ptrdiff_t>(r * vocab), end = begin + vocab;
    const double most = *std::max_element(begin, end);
    double sum = 0;
    for (auto it = begin; it != end; ++it) sum += std::exp(*it - most);
    lse[r] = most + std::log(sum);
    reference.nll[r] = lse[r] - begin[targets[r]];
  }

  for_each_w([&](uint32_t v, const float* w_v) {
    for (size_t r = 0; r < rows; ++r) {
      const double d_z = scale * (std::exp(z[r * vocab + v] - lse[r]) - (v == targets[r] ? 1.0 : 0.0));
      for (uint32_t d = 0; d < dim; ++d) reference.d_x[r * dim + d] += d_z * double{w_v[d]};
    }
  });
  return reference;
}

std::vector<double> reference_d_w(uint32_t v, const std::vector<float>& w_v, const std::vector<LossRow>& rows, double scale) {
  const auto dim = static_cast<uint32_t>(w_v.size());
  std::vector<double> d_w(dim);
  for (const LossRow& row : rows) {
    const double lse = row.nll + dot(row.x.data(), row.w_target.data(), dim);
    const double d_z = scale * (std::exp(dot(row.x.data(), w_v.data(), dim) - lse) - (v == row.target ? 1.0 : 0.0));
    for (uint32_t d = 0; d < dim; ++d) d_w[d] += d_z * double{row.x[d]};
  }
  return d_w;
}

}  // namespace lapilli
