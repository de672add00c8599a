// lapilli bench matmul: c [M,N] = op(a) op(b), in the three layouts that a linear layer needs. With factors of 16 bits all three
// matrices lie in memory in their type, as PyTorch's would; --f32-memory keeps them f32.

#include "model/matmul.h"
#include "tools/bench.h"

namespace lapilli {

namespace {

struct MatmulBenchOptions : BenchOptions {
  uint32_t size = 1024, m = 0, n = 0, k = 0;  // 0: size
  std::string layout = "all";
  Precision precision = Precision::f32;
  bool f32_memory = false;
};

void run(const MatmulBenchOptions& options) {
  const auto or_size = [&](uint32_t value) { return value == 0 ? options.size : value; };
  const uint32_t m = or_size(options.m), n = or_size(options.n), k = or_size(options.k);
  require_indexable("a", m, k);
  require_indexable("b", k, n);
  require_indexable("c", m, n);
  BenchRun bench(options);
  const MatmulKernel kernel = matmul_kernel(bench.device().caps(), options.precision);
  BenchMemory memory(bench.device());
  const DType dtype = options.f32_memory ? DType::f32 : storage_type(options.precision);
  const Tensor a = memory.random({m, k}, 1, dtype), b = memory.random({k, n}, 1, dtype), c = memory.zeros({m, n}, dtype);
  memory.commit();

  const auto wanted = [&](const char* layout) { return options.layout == "all" || options.layout == layout; };
  const double flops = 2.0 * m * n * k, bytes = static_cast<double>(a.size_bytes() + b.size_bytes() + c.size_bytes());
  std::vector<std::unique_ptr<TimedProgram>> programs;
  std::vector<BenchEntry> entries;
  const auto add = [&](const char* layout, const char* note, const std::function<void(Ops&)>& work) {
    if (!wanted(layout)) return;
    programs.push_back(std::make_unique<TimedProgram>(bench.kernels(), layout, work));
    entries.push_back({.contender = programs.back()->contender(), .flops = flops, .bytes = bytes, .note = note});
  };
  add("nn", "[M,K] [K,N]: gradient of the input", [&](Ops& ops) { matmul_nn(ops, c, a, b, Into::overwrite, {.force = kernel}); });
  add("nt", "[M,K] [N,K]t: forward", [&](Ops& ops) { matmul_nt(ops, c, a, b.reshaped({n, k}), Into::overwrite, {.force = kernel}); });
  add("tn", "[K,M]t [K,N]: gradient of the weight", [&](Ops& ops) { matmul_tn(ops, c, a.reshaped({k, m}), b, Into::overwrite, {.force = kernel}); });
  bench.report("matmul", {{"m", m}, {"n", n}, {"k", k}, {"dtype", to_string(options.precision)}, {"memory", dtype == DType::f32 ? "f32" : to_string(options.precision)}}, entries);
}

}  // namespace

void add_bench_matmul(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("matmul", "Matrix products c [M,N] = op(a) op(b), summed over K");
  command->footer("Example: lapilli bench matmul --m 512 --n 1152 --k 384 --layout nt");
  const auto options = std::make_shared<MatmulBenchOptions>();
  command->add_option("--size", options->size, "M, N and K where they are not given")
      ->check(positive())
      ->capture_default_str();
  command->add_option("--m", options->m, "Rows of c")->check(positive());
  command->add_option("--n", options->n, "Columns of c")->check(positive());
  command->add_option("--k", options->k, "Summed dimension")->check(positive());
  command->add_option("--layout", options->layout, "Which product: nn, nt, tn or all")
      ->check(CLI::IsMember({"nn", "nt", "tn", "all"}))
      ->capture_default_str();
  add_dtype_option(*command, options->precision);
  command->add_flag("--f32-memory", options->f32_memory, "With --dtype: a, b and c in memory as f32, factors rounded when they are read");
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
