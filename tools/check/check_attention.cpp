// Attention forward and backward: head widths, grouped heads, documents, rotated gradients.

#include "model/attention/attention.h"
#include "model/matmul/matmul_kernel.h"
#include "model/ops/rope.h"
#include "tools/check/attention_case.h"
#include "tools/check/check_list.h"
#include "tools/check/reference/reference_rope.h"

namespace lapilli::check {

namespace {

struct AttentionVariant {
  AttentionForm form;
  AttentionKernel kernel;
};

struct AttentionCase {
  AttentionSize size;
  bool documents;
  std::vector<uint32_t> start() const { return documents ? document_starts(size) : std::vector<uint32_t>{}; }
  std::string to_string() const { return fmt::format("B {} T {} H {} G {}{}", size.B, size.T, size.H, size.G, documents ? ", documents" : ""); }
};

AttentionShape shape_of(const AttentionVariant& variant, const AttentionSize& size) {
  return {size.B, size.T, size.H, size.G, size.E, variant.form.kernel_class, variant.kernel};
}
Shape qkv_shape(const AttentionSize& size) { return {size.B * size.T, (size.H + 2 * size.G) * size.E}; }

Verify prepare_forward(KernelBench& bench, const AttentionVariant& variant, const AttentionCase& p) {
  const AttentionSize& size = p.size;
  const AttentionForm& form = variant.form;
  const auto values = random_qkv(size, 2.0F);
  const auto start = p.start();
  const Tensor qkv = bench.input(qkv_shape(size), values, form.inputs);
  const Tensor documents = start.empty() ? Tensor() : bench.input({size.B * size.T}, start);
  const Tensor out = bench.output({size.B * size.T, size.H * size.E}, form.outputs), lse = bench.output({size.B * size.H * size.T});
  bench.record([&](Ops& ops) {
    ops.precision = form.precision;
    attention_forward(ops, out, lse, qkv, documents, shape_of(variant, size));
  });
  return [=, &bench](CaseReport& report) {
    const auto expected = reference::attention_forward(p.size, as_operands(values, form.precision), start, arithmetic_of(form));
    report.close(bench.read(out), expected.out, in_memory(expected.out, expected.out_bound, form), p.to_string() + ", out");
    report.close(bench.read(lse), expected.lse, expected.lse_bound, p.to_string() + ", lse");
  };
}

// Also with q and k that were rotated before: their gradients are rotated back.
Verify prepare_backward(KernelBench& bench, const AttentionVariant& variant, const AttentionCase& p) {
  constexpr double kTheta = 50;
  const AttentionSize& size = p.size;
  const AttentionForm& form = variant.form;
  const auto values = random_qkv(size, 2.0F), d_out_values = narrow(as_operands(random_values(size.out_size(), 12), form.precision));
  const auto start = p.start();
  auto forward = reference::attention_forward(size, as_operands(values, form.precision), start, arithmetic_of(form));
  const auto out_values = narrow(forward.out);
  if (form.outputs != DType::f32) forward.out = as_operands(out_values, form.precision);
  const Shape rows{size.B * size.T, size.H * size.E};
  const Tensor qkv = bench.input(qkv_shape(size), values, form.inputs), documents = start.empty() ? Tensor() : bench.input({size.B * size.T}, start);
  const Tensor d_out = bench.input(rows, d_out_values, form.inputs), out = bench.input(rows, out_values, form.outputs);
  const Tensor lse = bench.input({size.B * size.H * size.T}, narrow(forward.lse)), delta = bench.output({size.B * size.H * size.T});
  const Tensor table = bench.input({size.T + 2, size.E}, make_cos_sin_table(size.T + 2, size.E, kTheta));
  const Tensor d_qkv = bench.output(qkv_shape(size), form.outputs), turned = bench.output(qkv_shape(size), form.outputs);
  bench.record([&](Ops& ops) {
    ops.precision = form.precision;
    attention_backward(ops, d_qkv, delta, d_out, qkv, out, lse, documents, {}, shape_of(variant, size));
    attention_backward(ops, turned, delta, d_out, qkv, out, lse, documents, table, shape_of(variant, size));
  });
  return [=, &bench](CaseReport& report) {
    auto gradient =
        reference::attention_backward(p.size, widen(d_out_values), as_operands(values, form.precision), forward, start, arithmetic_of(form));
    report.close(bench.read(d_qkv), gradient.d_qkv, in_memory(gradient.d_qkv, gradient.bound, form), p.to_string() + ", d_qkv");
    const AttentionSize& s = p.size;
    const reference::Rope rope{uint64_t{s.B} * s.T, s.T, s.H + s.G, s.E, uint64_t{s.H + 2 * s.G} * s.E, kTheta};
    gradient.d_qkv = rope.rotate(gradient.d_qkv, -1, &gradient.bound);
    report.close(bench.read(turned), gradient.d_qkv, in_memory(gradient.d_qkv, gradient.bound, form), p.to_string() + ", d_qkv rotated back");
  };
}

}  // namespace

std::vector<KernelCheck> attention_checks(const DeviceCaps& device) {
  std::vector<KernelCheck> checks;
  const auto add = [&](const AttentionForm& form, uint32_t width, AttentionPass pass) {
    const bool forward = pass == AttentionPass::forward;
    const AttentionKernel first = attention_kernel(device, form.precision, width, pass, form.kernel_class);
    for (const AttentionKernel& kernel : attention_candidates(device, form.precision, width, pass, form.inputs, first)) {
      if (kernel.kernel_class != form.kernel_class) continue;  // has a check of its own
      KernelCheck check{.kernel = forward ? "attention forward" : "attention backward",
                        .variant = fmt::format("{} {}, E {}", to_string(form.precision), kernel.to_string(), width),
                        .precision = form.precision};
      if (form.precision != Precision::f32) {
        check.variant += form.inputs == DType::f32 ? ", f32 memory" : ", 16-bit memory";
        check.tuning_key = fmt::format("attention {} E{} {}", forward ? "forward" : "backward", width, to_string(form.precision));
        check.candidate = kernel.to_string();
      }
      const AttentionVariant variant{form, kernel};
      for (const auto& [size, documents] : std::vector<std::pair<AttentionSize, bool>>{{{2, 67, 4, 2, width}, true},
                                                                                       {{1, 1, 2, 1, width}, false},
                                                                                       {{1, 130, 1, 1, width}, false},
                                                                                       {{2, 33, 3, 1, width}, true},
                                                                                       {{1, 63, 2, 2, width}, false}})
        check.cases.push_back([=, p = AttentionCase{size, documents}](KernelBench& bench) {
          return forward ? prepare_forward(bench, variant, p) : prepare_backward(bench, variant, p);
        });
      checks.push_back(std::move(check));
    }
  };
  for (const AttentionPass pass : {AttentionPass::forward, AttentionPass::backward})
    for (const Precision precision : precisions(device))
      for (const uint32_t width : {64U, 32U, 128U, 20U}) {
        if (precision == Precision::f32) {
          add({device.kernel_class}, width, pass);
        } else if (has_coopmat_attention(device, precision, width)) {
          const DType own = storage_type(precision);
          add({KernelClass::coopmat, precision, own, own}, width, pass);
          add({KernelClass::coopmat, precision, DType::f32, DType::f32}, width, pass);
        }
      }
  return checks;
}

}  // namespace lapilli::check
