#pragma once
// Linear + softmax cross-entropy of a few rows in double precision, by definition, as a reference:
//
//   z_v = sum_d x_d w_vd      lse = ln sum_v exp z_v      nll = lse - z_y
//   d_x = scale sum_v (exp(z_v - lse) - [v = y]) w_v      d_w_v = scale sum_n (exp(z_nv - lse_n) - [v = y_n]) x_n
//
// Source: Bishop, Pattern Recognition and Machine Learning (2006), equations 4.104, 4.108 and 4.109 (there for the
// gradient of the weights; that of the input is the same sum with w instead of the input). No option of
// model/loss/linear_cross_entropy.h is on.

#include <cstdint>
#include <functional>
#include <vector>

namespace lapilli {

struct LossReference {
  std::vector<double> nll;  // [R] nats
  std::vector<double> d_x;  // [R,D]
};

// `read_w` returns rows first .. first + count of w as [count,D]; it is called for all V rows, twice, some MiB at a
// time. Takes 2 R V D multiply-adds. x is [R,D], targets [R]. REQUIRES: targets below V.
LossReference reference_loss(const std::vector<float>& x, const std::vector<uint32_t>& targets, uint32_t vocab, uint32_t dim, double scale,
                             const std::function<std::vector<float>(uint32_t first, uint32_t count)>& read_w);

// A row as needed for d_w. Its lse is nll + z_y: so one row of d_w takes N D multiply-adds, not N V D. The nll may come
// from the loss under test if it has been checked separately.
struct LossRow {
  std::vector<float> x, w_target;  // [D]
  uint32_t target;
  double nll;  // nats
};
// Row v of d_w over all rows that have a target, [D].
std::vector<double> reference_d_w(uint32_t v, const std::vector<float>& w_v, const std::vector<LossRow>& rows, double scale);

}  // namespace lapilli
