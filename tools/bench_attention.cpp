// lapilli bench attention: causal grouped attention, forward and backward.

#include "model/attention.h"
#include "model/matmul.h"
#include "tools/bench.h"
#include "tools/bench_page.h"

namespace lapilli {

namespace {

struct AttentionBenchOptions : BenchOptions {
  uint32_t batch = 8, context = 256, heads = 6, kv_heads = 0, head_width = 64;
  Precision precision = Precision::f32;
};

void run(const AttentionBenchOptions& options) {
  const AttentionShape shape{.batch = options.batch,
                             .context = options.context,
                             .heads = options.heads,
                             .kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads,
                             .head_width = options.head_width};
  if (shape.heads % shape.kv_heads != 0)
    throw CLI::ValidationError("--kv-heads", fmt::format("{} does not divide the {} heads", shape.kv_heads, shape.heads));
  const uint64_t tokens = uint64_t{shape.batch} * shape.context;
  const uint64_t qkv_width = (uint64_t{shape.heads} + 2 * uint64_t{shape.kv_heads}) * shape.head_width;
  require_indexable("queries, keys and values", tokens, qkv_width);
  const auto n = static_cast<uint32_t>(tokens), width = static_cast<uint32_t>(qkv_width);

  BenchRun bench(options);
  const DeviceCaps& caps = bench.device().caps();
  matmul_kernel(caps, options.precision);  // throws where the device does not multiply in it
  bench.compare_with(options.precision);
  // 16-bit factors come from 16-bit memory, where they can.
  const bool words = attends_with_matrices(caps, options.precision, shape.head_width) && shape.head_width % 2 == 0;
  const DType dtype = !words ? DType::f32 : options.precision == Precision::f16 ? DType::f16 : DType::bf16;
  BenchMemory memory(bench.device());
  const Tensor qkv = memory.random({n, width}, 1.0F, dtype), d_qkv = memory.zeros({n, width}, dtype);
  const Tensor out = memory.zeros({n, shape.heads * shape.head_width}, dtype);
  const Tensor d_out = memory.random({n, shape.heads * shape.head_width}, 1.0F, dtype);
  const Tensor lse = memory.zeros({n * shape.heads}), delta = memory.zeros({n * shape.heads});
  memory.commit();

  // Query t sees t + 1 keys; forward multiplies twice (Q Kt, P V), backward five times (Q Kt again, dP, dV, dQ, dK).
  const double seen = 0.5 * shape.context * (shape.context + 1.0);
  const double product_flops = 2.0 * shape.batch * shape.heads * seen * shape.head_width;
  TimedProgram forward(bench.kernels(), "forward", [&](Ops& ops) {
    ops.precision = options.precision;
    attention_forward(ops, out, lse, qkv, {}, shape);
  });
  TimedProgram backward(bench.kernels(), "backward", [&](Ops& ops) {
    ops.precision = options.precision;
    attention_backward(ops, d_qkv, delta, d_out, qkv, out, lse, {}, shape);
  });
  const std::vector<BenchEntry> entries{{.contender = forward.contender(), .flops = 2 * product_flops},
                                        {.contender = backward.contender(), .flops = 5 * product_flops}};
  BenchReport report = bench.describe("attention",
                                      {{"batch", shape.batch}, {"context", shape.context}, {"heads", shape.heads}, {"kv_heads", shape.kv_heads},
                                       {"head_width", shape.head_width}, {"dtype", to_string(options.precision)}},
                                      entries, bench.measure(entries));
  report.page.title = "Causal attention";
  report.page.charts = chart_shares_and_rates(report.json["results"]);
  bench.publish(report);
}

}  // namespace

void add_bench_attention(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("attention", "Causal attention, forward and backward");
  command->footer("Example: lapilli bench attention --batch 4 --context 1024 --heads 12 --kv-heads 4 --head-width 64");
  const auto options = std::make_shared<AttentionBenchOptions>();
  const auto add = [&](const char* name, uint32_t& value, const char* help) {
    return command->add_option(name, value, help)->check(positive())->capture_default_str();
  };
  add("--batch", options->batch, "Sequences, B");
  add("--context", options->context, "Positions of a sequence, T");
  add("--heads", options->heads, "Query heads, H");
  command->add_option("--kv-heads", options->kv_heads, "Key and value heads, G, a divisor of H (default: H)")->check(positive());
  command->add_option("--head-width", options->head_width, "Width of a head, E")->check(CLI::Range(1, 256))->capture_default_str();
  add_dtype_option(*command, options->precision);
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
