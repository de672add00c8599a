#include "tools/check/check_list.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "model/matmul/matmul_tile.h"

namespace lapilli::check {

void CaseReport::close(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound, const std::string& what) {
  const Comparison comparison = compare(actual, expected, bound);
  worst_ = std::max(worst_, comparison.worst_share);
  if (comparison.wrong != 0) fail(fmt::format("{}: {}", what, comparison.text));
}

void CaseReport::close(const std::vector<float>& actual, const Doubles& expected, double roundings, double floor, const std::string& what) {
  close(actual, expected, bound_of_roundings(expected, roundings, floor), what);
}

void CaseReport::equal(const std::vector<float>& actual, const std::vector<float>& expected, const std::string& what) {
  close(actual, widen(expected), Doubles(expected.size()), what);
}

void CaseReport::near(double actual, double expected, double bound, const std::string& what) {
  const double error = std::abs(actual - expected);
  if (error <= bound) worst_ = std::max(worst_, error == 0 ? 0 : error / bound);
  else {
    worst_ = std::numeric_limits<double>::infinity();
    fail(fmt::format("{} = {:.9g}, expected {:.9g} +- {:.3g}", what, actual, expected, bound));
  }
}

void CaseReport::fail(const std::string& sentence) {
  if (message_.empty()) message_ = sentence;
}

std::vector<Precision> precisions(const DeviceCaps& device) {
  std::vector<Precision> all;
  for (const Precision precision : {Precision::f32, Precision::f16, Precision::bf16})
    if (has_matmul(device, precision)) all.push_back(precision);
  return all;
}

std::vector<MatmulKernel> matmul_variants(const DeviceCaps& device) {
  std::vector<MatmulKernel> all;
  const auto add_tiles = [&](MatmulKernel kernel) {
    for (const auto& [rows, cols] : matmul_tiles(device, kernel)) {
      kernel.tile = rows;
      kernel.tile_cols = kernel.kernel_class != KernelClass::cpu && rows == cols ? 0 : cols;
      all.push_back(kernel);
    }
  };
  if (device.kernel_class == KernelClass::cpu) {
    if (device.fast_64bit_loads) add_tiles({.kernel_class = KernelClass::cpu});
    all.push_back({.kernel_class = KernelClass::cpu, .load64 = false});  // where rows are not aligned for pairs
  } else {
    add_tiles({.kernel_class = KernelClass::tiled});
  }
  for (const Precision precision : {Precision::f16, Precision::bf16}) {
    if (!has_matmul(device, precision)) continue;
    for (const bool transposes : {false, true}) add_tiles({.kernel_class = KernelClass::coopmat, .precision = precision, .transposes = transposes});
    if (!why_no_coopmat2(device, precision)) add_tiles({.kernel_class = KernelClass::coopmat2, .precision = precision});
  }
  return all;
}

std::vector<KernelCheck> all_checks(const DeviceCaps& device, bool quick) {
  std::vector<KernelCheck> all;
  for (const auto family :
       {matmul_checks, nonlinear_matmul_checks, attention_checks, loss_checks, norm_checks, element_checks, embedding_checks, optimizer_checks})
    std::ranges::move(family(device), std::back_inserter(all));
  std::ranges::move(decoding_checks(device), std::back_inserter(all));
  if (!quick) return all;
  std::erase_if(all, [](const KernelCheck& check) { return !check.in_quick; });
  for (KernelCheck& check : all) check.cases.resize(1);
  return all;
}

}  // namespace lapilli::check
