#include "tools/perf/loss_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/memory/half.h"
#include "shaders/loss/args.h"

namespace lapilli {

namespace {

constexpr uint32_t kMostCheckedRows = 8;
constexpr uint32_t kBlockElements = 4U << 20U;  // read at once
constexpr double kMostCheckedWork = 3e8;  // multiply-adds of the reference's logits: about a second

// Like std::max, but propagates NaN.
double worse(double a, double b) { return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::quiet_NaN() : std::max(a, b); }

// Relative to the largest expected component; absolute if all are 0 (one class has probability 1).
double relative_error(std::span<const float> actual, std::span<const double> expected) {
  double most = 0, difference = 0;
  for (size_t d = 0; d < expected.size(); ++d) {
    most = std::max(most, std::abs(expected[d]));
    difference = worse(difference, std::abs(actual[d] - expected[d]));
  }
  return most > 0 ? difference / most : difference;
}

}  // namespace

LossBatch::LossBatch(BenchMemory& memory, const LossShape& shape, double valid_fraction, Precision precision) {
  const uint32_t n = shape.tokens, d = shape.dim, v = shape.vocab;
  std::vector<float> row_weights(n);
  for (uint32_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<uint32_t>((i * uint64_t{2654435761U}) % v));
    // floor((i + 1) f) is the number of valid rows up to i.
    if (std::floor((i + 1) * valid_fraction) <= std::floor(i * valid_fraction)) continue;
    row_weights[i] = 1;
    valid.push_back(i);
  }
  inverse_valid = 1.0F / static_cast<float>(std::max<size_t>(valid.size(), 1));
  const DType operand_type = d % 2 == 0 ? storage_type(precision) : DType::f32;
  x = memory.random({n, d}, 1, operand_type);
  w = memory.random({v, d}, 0.02F, operand_type);
  d_x = memory.zeros({n, d});
  d_w = memory.zeros({v, d});
  nll = memory.zeros({n});
  sums = memory.zeros({args::kSumCount});
  status = memory.zeros({args::kStatusWords}, DType::u32);
  targets = memory.words(ids);
  weights = memory.floats(row_weights);
  inverse_weight = memory.floats({inverse_valid});
}

LossCheck::LossCheck(Device& device, const LossBatch& batch) : device_(device), batch_(batch) {
  const uint32_t dim = batch.x.cols(), vocab = batch.w.rows();
  const auto fitting = [&](double work) {
    return std::min({batch.valid.size(), size_t{kMostCheckedRows}, static_cast<size_t>(std::max(kMostCheckedWork / work, 1.0))});
  };
  const size_t count = fitting(1.0 * vocab * dim);
  std::vector<float> x;
  std::vector<uint32_t> targets;
  for (size_t i = 0; i < count; ++i) {  // from the first valid row to the last
    rows_.push_back(batch.valid[count == 1 ? 0 : i * (batch.valid.size() - 1) / (count - 1)]);
    const auto row = read(batch.x, rows_[i]);
    x.insert(x.end(), row.begin(), row.end());
    targets.push_back(batch.ids[rows_[i]]);
  }
  reference_ =
      reference_loss(x, targets, vocab, dim, batch.inverse_valid, [&](uint32_t first, uint32_t number) { return read(batch.w, first, number); });
  // As many targets as others, from the first row of w to the last.
  const size_t words = count == 0 ? 0 : fitting(2.0 * static_cast<double>(batch.valid.size()) * dim);
  for (size_t i = 0; i < words; ++i)
    words_.push_back(i % 2 == 0 ? targets[i * (count - 1) / std::max<size_t>(words - 1, 1)]
                                : static_cast<uint32_t>(i * (vocab - 1) / std::max<size_t>(words - 1, 1)));
}

std::vector<float> LossCheck::read(const ConstTensor& tensor, uint32_t first, uint32_t count) const {
  const ConstTensor rows = tensor.row_range(first, count);
  if (rows.dtype() == DType::f32) return read_slice<float>(device_, rows.slice());
  std::vector<float> values;
  for (const uint16_t bits : read_slice<uint16_t>(device_, rows.slice())) values.push_back(half_value(bits, rows.dtype()));
  return values;
}

// Many rows at a time: on a discrete GPU each read is a submission.
void LossCheck::gather() {
  const uint32_t dim = batch_.x.cols(), block = std::max(1U, kBlockElements / dim);
  // Calls `take` for each row in `wanted`, in ascending order, with its index in the list.
  const auto visit = [&](const ConstTensor& tensor, const std::vector<uint32_t>& wanted,
                         const std::function<void(size_t, std::vector<float>)>& take) {
    for (size_t i = 0; i < wanted.size();) {
      const uint32_t first = wanted[i], count = std::min(block, tensor.rows() - first);
      const std::vector<float> values = read(tensor, first, count);
      for (; i < wanted.size() && wanted[i] < first + count; ++i) {
        const auto row = values.begin() + static_cast<std::ptrdiff_t>(uint64_t{wanted[i] - first} * dim);
        take(i, std::vector<float>(row, row + dim));
      }
    }
  };
  valid_.resize(batch_.valid.size());
  visit(batch_.x, batch_.valid,
        [&](size_t i, std::vector<float> x) { valid_[i] = {.x = std::move(x), .w_target = {}, .target = batch_.ids[batch_.valid[i]], .nll = 0}; });
  std::vector<LossRow*> by_target;
  for (LossRow& row : valid_) by_target.push_back(&row);
  std::ranges::sort(by_target, {}, &LossRow::target);
  std::vector<uint32_t> targets;
  for (const LossRow* row : by_target) targets.push_back(row->target);
  visit(batch_.w, targets, [&](size_t i, std::vector<float> w) { by_target[i]->w_target = std::move(w); });
}

double LossCheck::d_w_error(std::span<const float> nll) {
  if (valid_.empty()) gather();
  for (size_t i = 0; i < valid_.size(); ++i) valid_[i].nll = nll[batch_.valid[i]];
  double error = 0;
  for (const uint32_t v : words_)
    error = worse(error, relative_error(read(batch_.d_w, v), reference_d_w(v, read(batch_.w, v), valid_, batch_.inverse_valid)));
  return error;
}

LossError LossCheck::error(const std::function<void()>& run, bool training) {
  const auto spoil = [&](const Tensor& tensor) {
    write_slice(device_, tensor.slice(), std::vector<float>(tensor.elements(), std::numeric_limits<float>::quiet_NaN()));
  };
  spoil(batch_.nll);
  spoil(batch_.d_x);
  if (training)
    for (const uint32_t v : words_) spoil(batch_.d_w.row_range(v, 1));
  run();

  LossError error;
  const auto nll = read_slice<float>(device_, batch_.nll.slice());
  const uint32_t dim = batch_.x.cols();
  for (size_t i = 0; i < rows_.size(); ++i) {
    error.nll_nats = worse(error.nll_nats, std::abs(nll[rows_[i]] - reference_.nll[i]));
    if (training) error.d_x = worse(error.d_x, relative_error(read(batch_.d_x, rows_[i]), std::span(reference_.d_x).subspan(i * dim, dim)));
  }
  if (training) error.d_w = d_w_error(nll);
  return error;
}

}  // namespace lapilli
