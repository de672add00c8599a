#pragma once
// The list of kernel variants that a device gets, each with the cases that check it against a double-precision reference.

#include <functional>
#include <string>
#include <vector>

#include "model/matmul/matmul_kernel.h"
#include "tools/check/kernel_bench.h"

namespace lapilli::check {

// What one case found.
class CaseReport {
 public:
  void close(const std::vector<float>& actual, const Doubles& expected, const Doubles& bound, const std::string& what);
  void close(const std::vector<float>& actual, const Doubles& expected, double roundings, double floor, const std::string& what);
  void equal(const std::vector<float>& actual, const std::vector<float>& expected, const std::string& what);  // to the bit, but for zeros' signs
  void near(double actual, double expected, double bound, const std::string& what);
  void fail(const std::string& sentence);

  double worst() const { return worst_; }                    // the largest error as a share of its bound
  const std::string& message() const { return message_; }  // the first thing wrong; empty: all right

 private:
  double worst_ = 0;
  std::string message_;
};

using Verify = std::function<void(CaseReport&)>;
// Makes the tensors of a case and records its operations; returns what reads and compares the results.
using PrepareCase = std::function<Verify(KernelBench&)>;

struct KernelCheck {
  std::string kernel;   // "matmul nt", "attention forward"
  std::string variant;  // "f32 tiled 64x64"
  Precision precision = Precision::f32;  // of training that uses it
  // For variants that tuning chooses among: words that every key of such a choice has, and the candidate. Else empty.
  std::string tuning_key, candidate;
  bool always_used = false;  // also before or without tuning
  bool in_quick = true;
  std::vector<PrepareCase> cases;  // the most telling first
};

// By family, in the order of the table. `device` must outlive them.
std::vector<KernelCheck> matmul_checks(const DeviceCaps& device);
std::vector<KernelCheck> nonlinear_matmul_checks(const DeviceCaps& device);
std::vector<KernelCheck> attention_checks(const DeviceCaps& device);
std::vector<KernelCheck> loss_checks(const DeviceCaps& device);
std::vector<KernelCheck> norm_checks(const DeviceCaps& device);
std::vector<KernelCheck> element_checks(const DeviceCaps& device);
std::vector<KernelCheck> embedding_checks(const DeviceCaps& device);
std::vector<KernelCheck> optimizer_checks(const DeviceCaps& device);
// `row_subgroups`: Ops::row_subgroups.
std::vector<KernelCheck> decoding_checks(const DeviceCaps& device, uint32_t row_subgroups = 0);
// All of them. `quick`: only the first case of each.
std::vector<KernelCheck> all_checks(const DeviceCaps& device, bool quick);

// The matmul kernels that selection and tuning choose from on a device, with their tiles.
std::vector<MatmulKernel> matmul_variants(const DeviceCaps& device);
// The precisions that the device has kernels for, and so memory of their type.
std::vector<Precision> precisions(const DeviceCaps& device);

}  // namespace lapilli::check
