// lapilli bench matmul: c [M,N] = op(a) op(b), in the three layouts that a linear layer needs. With factors of 16 bits all three
// matrices lie in memory in their type, as PyTorch's would; --f32-memory keeps them f32.

#include <algorithm>

#include <fmt/ranges.h>

#include "model/matmul.h"
#include "tools/bench.h"
#include "tools/bench_page.h"

namespace lapilli {

namespace {

struct MatmulBenchOptions : BenchOptions {
  uint32_t size = 1024, m = 0, n = 0, k = 0;  // 0: size
  std::string layout = "all";
  Precision precision = Precision::f32;
  bool f32_memory = false;
  std::vector<std::string> kernels;  // empty: the device's own
};

constexpr const char* kKernels = "scalar and tiled multiply f32; coopmat and coopmat2 f16 and bf16, coopmat2 not from --f32-memory";

// "tiled", "coopmat:64", "coopmat2:128x256". Throws Error where the device cannot run it.
MatmulKernel parse_kernel(const DeviceCaps& caps, const std::string& text, Precision precision) {
  const std::string name = text.substr(0, text.find(':')), tile = text.size() > name.size() ? text.substr(name.size() + 1) : "";
  MatmulKernel kernel{.kernel_class = KernelClass::scalar, .precision = precision};
  for (const KernelClass each : {KernelClass::scalar, KernelClass::tiled, KernelClass::coopmat, KernelClass::coopmat2})
    if (name == to_string(each)) kernel.kernel_class = each;
  const bool of_16_bits = kernel.kernel_class == KernelClass::coopmat || kernel.kernel_class == KernelClass::coopmat2;
  if (name != to_string(kernel.kernel_class) || of_16_bits != (precision != Precision::f32))
    throw CLI::ValidationError("--kernel", fmt::format("no kernel '{}' for {}: {}", name, to_string(precision), kKernels));
  const std::vector<std::string> tiles = kernel.kernel_class == KernelClass::coopmat2 ? std::vector<std::string>{"64x64", "128x128", "128x256", "256x128"}
                                         : kernel.kernel_class == KernelClass::scalar ? std::vector<std::string>{}
                                                                                      : std::vector<std::string>{"32", "64", "128"};
  if (!tile.empty() && std::ranges::find(tiles, tile) == tiles.end())
    throw CLI::ValidationError("--kernel", fmt::format("{} has tiles of {}", name, tiles.empty() ? "one size" : fmt::format("{}", fmt::join(tiles, ", "))));
  if (!tile.empty()) kernel.tile = static_cast<uint32_t>(std::stoul(tile));
  if (tile.find('x') != std::string::npos) kernel.tile_cols = static_cast<uint32_t>(std::stoul(tile.substr(tile.find('x') + 1)));
  if (kernel.kernel_class == KernelClass::coopmat) (void)matmul_kernel(caps, precision);
  if (kernel.kernel_class != KernelClass::coopmat2) return kernel;
  if (const auto reason = why_no_coopmat2(caps, precision)) throw Error("{}", *reason);
  return kernel;
}

void run(const MatmulBenchOptions& options) {
  const auto or_size = [&](uint32_t value) { return value == 0 ? options.size : value; };
  const uint32_t m = or_size(options.m), n = or_size(options.n), k = or_size(options.k);
  require_indexable("a", m, k);
  require_indexable("b", k, n);
  require_indexable("c", m, n);
  BenchRun bench(options);
  bench.compare_with(options.precision);
  const DeviceCaps& caps = bench.device().caps();
  std::vector<std::pair<std::string, MatmulKernel>> kernels;  // with what is put behind the layout's name
  for (const std::string& text : options.kernels) {
    kernels.emplace_back(options.kernels.size() > 1 ? " " + text : "", parse_kernel(caps, text, options.precision));
    if (options.f32_memory && kernels.back().second.kernel_class == KernelClass::coopmat2)
      throw CLI::ValidationError("--kernel", "coopmat2 takes no --f32-memory");
  }
  if (kernels.empty()) kernels.emplace_back("", matmul_kernel(caps, options.precision));
  BenchMemory memory(bench.device());
  const DType dtype = options.f32_memory ? DType::f32 : storage_type(options.precision);
  const Tensor a = memory.random({m, k}, 1, dtype), b = memory.random({k, n}, 1, dtype), c = memory.zeros({m, n}, dtype);
  memory.commit();

  const auto wanted = [&](const char* layout) { return options.layout == "all" || options.layout == layout; };
  const double flops = 2.0 * m * n * k, bytes = static_cast<double>(a.size_bytes() + b.size_bytes() + c.size_bytes());
  std::vector<std::unique_ptr<TimedProgram>> programs;
  std::vector<BenchEntry> entries;
  const auto add = [&](const char* layout, const char* note, const std::function<void(Ops&, const MatmulOptions&)>& record) {
    if (!wanted(layout)) return;
    for (const auto& [suffix, kernel] : kernels) {
      programs.push_back(std::make_unique<TimedProgram>(bench.kernels(), layout + suffix, [record, force = kernel](Ops& ops) { record(ops, {.force = force}); }));
      entries.push_back({.contender = programs.back()->contender(), .flops = flops, .bytes = bytes, .note = note});
    }
  };
  add("nn", "[M,K] [K,N]: gradient of the input", [=](Ops& ops, const MatmulOptions& how) { matmul_nn(ops, c, a, b, Into::overwrite, how); });
  add("nt", "[M,K] [N,K]t: forward", [=](Ops& ops, const MatmulOptions& how) { matmul_nt(ops, c, a, b.reshaped({n, k}), Into::overwrite, how); });
  add("tn", "[K,M]t [K,N]: gradient of the weight",
      [=](Ops& ops, const MatmulOptions& how) { matmul_tn(ops, c, a.reshaped({k, m}), b, Into::overwrite, how); });
  const nlohmann::ordered_json shape{{"m", m}, {"n", n}, {"k", k}, {"dtype", to_string(options.precision)},
                                     {"memory", dtype == DType::f32 ? "f32" : to_string(options.precision)}};
  BenchReport report = bench.describe("matmul", shape, entries, bench.measure(entries));
  report.page.title = "Matrix products";
  report.page.charts = chart_shares_and_rates(report.json["results"]);
  bench.publish(report);
}

}  // namespace

void add_bench_matmul(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("matmul", "Matrix products c [M,N] = op(a) op(b), summed over K");
  command->footer(fmt::format("Kernels: {}.\nExamples: lapilli bench matmul --m 512 --n 1152 --k 384 --layout nt\n"
                              "          lapilli bench matmul --size 4096 --dtype bf16 --kernel coopmat,coopmat2,coopmat2:128x128", kKernels));
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
  command->add_option("--kernel", options->kernels, "Kernels to compare, with or without a tile: tiled, coopmat:128, coopmat2:128x256")
      ->delimiter(',')
      ->type_name("KERNEL[:TILE],...");
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
