// lapilli bench attention: causal grouped attention, forward and backward.

#include "model/attention/attention.h"
#include "model/matmul/matmul.h"
#include "model/transformer/transformer.h"
#include "tools/bench/bench_page.h"
#include "tools/bench/bench_run.h"

namespace lapilli {

namespace {

struct AttentionBenchOptions : BenchOptions {
  uint32_t batch = 8, context = 256, heads = 6, kv_heads = 0, head_width = 64;
  ShapesFromConfig from;  // overrides these
  Precision precision = Precision::f32;
  std::vector<std::string> kernels;  // empty: the device's own
};

constexpr const char* kKernels = "cpu and tiled: f32; coopmat: f16 and bf16";

AttentionShape shape_of(const AttentionBenchOptions& options, const std::optional<Config>& config) {
  if (config) return attention_shape(config->model, config->data.batch, config->model.context);
  const AttentionShape shape{.batch = options.batch,
                             .context = options.context,
                             .heads = options.heads,
                             .kv_heads = options.kv_heads == 0 ? options.heads : options.kv_heads,
                             .head_width = options.head_width};
  if (shape.heads % shape.kv_heads != 0) throw UsageError("--kv-heads", fmt::format("{} does not divide the {} heads", shape.kv_heads, shape.heads));
  return shape;
}

// The shape with each requested kernel, or with none forced, and the suffix for the name of a pass.
std::vector<std::pair<std::string, AttentionShape>> with_kernels(const AttentionBenchOptions& options, const AttentionShape& shape,
                                                                 Precision precision, const DeviceCaps& caps) {
  std::vector<std::pair<std::string, AttentionShape>> shapes;
  for (const std::string& name : options.kernels) {
    shapes.emplace_back(options.kernels.size() > 1 ? " " + name : "", shape);
    shapes.back().second.force = parse_kernel_class(name, precision, {KernelClass::cpu, KernelClass::tiled, KernelClass::coopmat}, kKernels);
  }
  matmul_kernel(caps, precision);  // throws if the device does not support the precision
  if (!shapes.empty() && precision != Precision::f32 && !has_coopmat_attention(caps, precision, shape.head_width))
    throw Error("{} has no coopmat attention in {} for head width {}; without --kernel attention runs in f32", caps.name, to_string(precision),
                shape.head_width);
  if (shapes.empty()) shapes.emplace_back("", shape);
  return shapes;
}

void run(const AttentionBenchOptions& options) {
  Precision precision = options.precision;
  const AttentionShape shape = shape_of(options, load_shapes(options.from, *options.command, precision));
  const uint64_t tokens = uint64_t{shape.batch} * shape.context;
  const uint64_t qkv_width = (uint64_t{shape.heads} + 2 * uint64_t{shape.kv_heads}) * shape.head_width;
  require_indexable("queries, keys and values", tokens, qkv_width);
  const auto n = static_cast<uint32_t>(tokens), width = static_cast<uint32_t>(qkv_width);

  BenchRun bench(options);
  const DeviceCaps& caps = bench.device().caps();
  const auto shapes = with_kernels(options, shape, precision, caps);
  bench.compare_with(precision);
  // 16-bit operands in 16-bit memory where possible.
  const bool words = has_coopmat_attention(caps, precision, shape.head_width) && shape.head_width % 2 == 0;
  const DType dtype = !words ? DType::f32 : precision == Precision::f16 ? DType::f16 : DType::bf16;
  BenchMemory memory(bench.device());
  const Tensor qkv = memory.random({n, width}, 1.0F, dtype), d_qkv = memory.zeros({n, width}, dtype);
  const Tensor out = memory.zeros({n, shape.heads * shape.head_width}, dtype);
  const Tensor d_out = memory.random({n, shape.heads * shape.head_width}, 1.0F, dtype);
  const Tensor lse = memory.zeros({n * shape.heads}), delta = memory.zeros({n * shape.heads});
  memory.commit();

  // Query t sees t + 1 keys; forward has two GEMMs (Q Kt, P V), backward five (Q Kt again, dP, dV, dQ, dK).
  const double seen = 0.5 * shape.context * (shape.context + 1.0);
  const double product_flops = 2.0 * shape.batch * shape.heads * seen * shape.head_width;
  std::vector<std::unique_ptr<TimedProgram>> programs;
  std::vector<BenchEntry> entries;
  const auto add = [&](const std::string& name, double products, const std::function<void(Ops&)>& attend) {
    programs.push_back(std::make_unique<TimedProgram>(bench.kernels(), name, [=](Ops& ops) {
      ops.precision = precision;
      attend(ops);
    }));
    entries.push_back({.benchmark_case = programs.back()->benchmark_case(), .flops = products * product_flops});
  };
  for (const auto& [suffix, forced] : shapes) {
    add("forward" + suffix, 2, [=, how = forced](Ops& ops) { attention_forward(ops, out, lse, qkv, {}, how); });
    add("backward" + suffix, 5, [=, how = forced](Ops& ops) { attention_backward(ops, d_qkv, delta, d_out, qkv, out, lse, {}, {}, how); });
  }
  BenchReport report = bench.describe("attention",
                                      {{"batch", shape.batch},
                                       {"context", shape.context},
                                       {"heads", shape.heads},
                                       {"kv_heads", shape.kv_heads},
                                       {"head_width", shape.head_width},
                                       {"dtype", to_string(precision)}},
                                      entries, bench.measure(entries));
  report.page.title = "Causal attention";
  report.page.charts = chart_shares_and_rates(report.json["results"]);
  bench.publish(report);
}

}  // namespace

void add_bench_attention(Command& bench) {
  Command* command = bench.add_subcommand("attention", "Causal attention, forward and backward");
  command
      ->footer(fmt::format("Kernels: {}.\n"
                           "Examples: lapilli bench attention --batch 4 --context 1024 --heads 12 --kv-heads 4 --head-width 64\n"
                           "          lapilli bench attention --config tools/configs/quickstart.toml",
                           kKernels));
  const auto options = std::make_shared<AttentionBenchOptions>();
  const auto add = [&](const char* name, uint32_t& value, const char* help) {
    return command->add_option(name, value, help)->check(positive())->capture_default_str();
  };
  Option* batch = add("--batch", options->batch, "Sequences, B");
  Option* context = add("--context", options->context, "Positions of a sequence, T");
  Option* heads = add("--heads", options->heads, "Query heads, H");
  Option* kv_heads = command->add_option("--kv-heads", options->kv_heads, "Key and value heads, G, a divisor of H (default: H)")->check(positive());
  Option* head_width =
      command->add_option("--head-width", options->head_width, "Width of a head, E")->check(between(1U, kMaxHeadWidth))->capture_default_str();
  add_config_options(*command, options->from, {batch, context, heads, kv_heads, head_width});
  add_dtype_option(*command, options->precision);
  command->add_option("--kernel", options->kernels, "Kernels to compare")->delimiter(',')->type_name("KERNEL,...");
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
