// lapilli bench matmul: c [M,N] = op(a) op(b), in the three layouts of a linear layer. With 16-bit operands all three
// matrices have that type in memory, as in PyTorch; --f32-memory keeps them f32.

#include <algorithm>

#include <fmt/ranges.h>

#include "model/matmul/matmul.h"
#include "model/matmul/matmul_tile.h"
#include "model/transformer/parameters.h"
#include "tools/bench/bench_page.h"
#include "tools/bench/bench_run.h"

namespace lapilli {

namespace {

struct MatmulBenchOptions : BenchOptions {
  uint32_t size = 1024, m = 0, n = 0, k = 0;  // 0: size
  ShapesFromConfig from;                      // overrides these
  std::string layout = "all";
  Precision precision = Precision::f32;
  bool f32_memory = false;
  std::vector<std::string> kernels;  // empty: the device's own
};

constexpr const char* kKernels = "cpu and tiled: f32; coopmat and coopmat2: f16 and bf16, coopmat2 not with --f32-memory";

// Parses "tiled", "coopmat:64", transposing "coopmat:64t", "coopmat2:128x256"; for cpu rows x vectors of the
// device's lanes, "cpu:64x4". Throws Error when the device cannot run it.
MatmulKernel parse_kernel(const DeviceCaps& caps, const std::string& text, Precision precision) {
  const std::string name = text.substr(0, text.find(':')), tile = text.size() > name.size() ? text.substr(name.size() + 1) : "";
  const KernelClass known =
      parse_kernel_class(name, precision, {KernelClass::cpu, KernelClass::tiled, KernelClass::coopmat, KernelClass::coopmat2}, kKernels);
  MatmulKernel kernel{.kernel_class = known, .precision = precision};
  const std::vector<std::string> tiles =
      kernel.kernel_class == KernelClass::coopmat2  ? std::vector<std::string>{"64x64", "128x128", "128x256", "256x128"}
      : kernel.kernel_class == KernelClass::cpu     ? std::vector<std::string>{"64x4", "64x2", "32x4", "32x2", "8x4", "8x2"}
      : kernel.kernel_class == KernelClass::coopmat ? std::vector<std::string>{"32", "64", "128", "32t", "64t", "128t"}
                                                    : std::vector<std::string>{"32", "64", "128"};
  if (!tile.empty() && std::ranges::find(tiles, tile) == tiles.end())
    throw UsageError("--kernel", fmt::format("{} has tiles of {}", name, fmt::join(tiles, ", ")));
  if (!tile.empty()) kernel.tile = static_cast<uint32_t>(std::stoul(tile));
  kernel.transposes = tile.ends_with('t');
  if (tile.find('x') != std::string::npos) kernel.tile_cols = static_cast<uint32_t>(std::stoul(tile.substr(tile.find('x') + 1)));
  if (kernel.kernel_class == KernelClass::coopmat) (void)matmul_kernel(caps, precision);
  const bool in_blocks = kernel.kernel_class == KernelClass::coopmat || kernel.kernel_class == KernelClass::tiled;
  if (in_blocks && kernel.tile != 0 &&
      std::ranges::none_of(matmul_tiles(caps, kernel), [&](const auto& offered) { return offered.first == kernel.tile; }))
    throw Error("{} has no {} tile of {} x {}: it cannot be divided among subgroups of {} lanes", caps.name, name, kernel.tile, kernel.tile,
                caps.subgroup_size);
  if (kernel.kernel_class != KernelClass::coopmat2) return kernel;
  if (const auto reason = why_no_coopmat2(caps, precision)) throw Error("{}", *reason);
  return kernel;
}

struct Layout {
  std::string name, note;
  void (*multiply)(Ops&, Tensor, ConstTensor, ConstTensor, Into, const MatmulOptions&);
  bool a_transposed, b_transposed;
};
const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all{{"nn", "[M,K] [K,N]: gradient of the input", matmul_nn, false, false},
                                       {"nt", "[M,K] [N,K]t: forward", matmul_nt, false, true},
                                       {"tn", "[K,M]t [K,N]: gradient of the weight", matmul_tn, true, false}};
  return all;
}

struct Product {
  const Layout* layout;
  std::string name;
  uint32_t m, n, k;
  Shape a() const { return layout->a_transposed ? Shape{k, m} : Shape{m, k}; }
  Shape b() const { return layout->b_transposed ? Shape{n, k} : Shape{k, n}; }
  Shape c() const { return {m, n}; }
};

// The GEMMs of a layer: y [N,out] = x [N,in] w [out,in]t, and the gradients of x and w.
std::vector<Product> layer_products(const Config& config) {
  const uint32_t tokens = config.data.batch * config.model.context;
  std::vector<Product> products;
  for (const auto& [name, shape] : layer_matrices(config.model)) {
    const uint32_t out = shape[0], in = shape[1];
    for (const Layout& layout : layouts()) {
      Product product{.layout = &layout, .name = name + " " + layout.name, .m = tokens, .n = in, .k = out};
      if (layout.b_transposed) std::swap(product.n, product.k);
      if (layout.a_transposed) std::swap(product.m, product.k);
      products.push_back(product);
    }
  }
  return products;
}

std::vector<Product> chosen_products(const MatmulBenchOptions& options, const std::optional<Config>& config) {
  const auto or_size = [&](uint32_t value) { return value == 0 ? options.size : value; };
  std::vector<Product> products;
  if (config) products = layer_products(*config);
  else
    for (const Layout& layout : layouts()) products.push_back({&layout, layout.name, or_size(options.m), or_size(options.n), or_size(options.k)});
  std::erase_if(products, [&](const Product& product) { return options.layout != "all" && options.layout != product.layout->name; });
  for (const Product& product : products) {
    require_indexable("a", product.m, product.k);
    require_indexable("b", product.k, product.n);
    require_indexable("c", product.m, product.n);
  }
  return products;
}

// Kernels with the suffix for the name of a matmul.
std::vector<std::pair<std::string, MatmulKernel>> chosen_kernels(const MatmulBenchOptions& options, const DeviceCaps& caps, Precision precision) {
  std::vector<std::pair<std::string, MatmulKernel>> kernels;
  for (const std::string& text : options.kernels) {
    kernels.emplace_back(options.kernels.size() > 1 ? " " + text : "", parse_kernel(caps, text, precision));
    if (options.f32_memory && kernels.back().second.kernel_class == KernelClass::coopmat2)
      throw UsageError("--kernel", "coopmat2 does not support --f32-memory");
  }
  if (kernels.empty()) kernels.emplace_back("", matmul_kernel(caps, precision));
  return kernels;
}

void run(const MatmulBenchOptions& options) {
  Precision precision = options.precision;
  const std::optional<Config> config = load_shapes(options.from, *options.command, precision);
  const std::vector<Product> products = chosen_products(options, config);
  BenchRun bench(options);
  bench.compare_with(precision);
  const auto kernels = chosen_kernels(options, bench.device().caps(), precision);

  // All matmuls use the same memory.
  const DType dtype = options.f32_memory ? DType::f32 : storage_type(precision);
  Shape largest_a{0}, largest_b{0}, largest_c{0};
  const auto enlarge = [](Shape& largest, const Shape& shape) { largest = {static_cast<uint32_t>(std::max(largest.elements(), shape.elements()))}; };
  for (const Product& product : products) {
    enlarge(largest_a, product.a());
    enlarge(largest_b, product.b());
    enlarge(largest_c, product.c());
  }
  BenchMemory memory(bench.device());
  const Tensor all_a = memory.random(largest_a, 1, dtype), all_b = memory.random(largest_b, 1, dtype), all_c = memory.zeros(largest_c, dtype);
  memory.commit();

  std::vector<std::unique_ptr<TimedProgram>> programs;
  std::vector<BenchEntry> entries;
  for (const Product& product : products) {
    const Tensor a(all_a.slice(), product.a(), dtype), b(all_b.slice(), product.b(), dtype), c(all_c.slice(), product.c(), dtype);
    BenchEntry entry{.flops = 2.0 * product.m * product.n * product.k,
                     .bytes = static_cast<double>(a.size_bytes() + b.size_bytes() + c.size_bytes()),
                     .note = product.layout->note};
    if (config) {
      entry.facts = {{"m", product.m}, {"n", product.n}, {"k", product.k}};
      for (const auto& [header, value] : {std::pair{"M", product.m}, {"N", product.n}, {"K", product.k}})
        entry.cells.emplace_back(header, fmt::to_string(value));
    }
    for (const auto& [suffix, kernel] : kernels) {
      const auto multiply = [=, how = MatmulOptions{.force = kernel}, layout = product.layout](Ops& ops) {
        layout->multiply(ops, c, a, b, Into::overwrite, how);
      };
      programs.push_back(std::make_unique<TimedProgram>(bench.kernels(), product.name + suffix, multiply));
      entry.benchmark_case = programs.back()->benchmark_case();
      entries.push_back(entry);
    }
  }

  nlohmann::ordered_json shape{{"m", products[0].m}, {"n", products[0].n}, {"k", products[0].k}};
  if (config) shape = {{"config", options.from.config}, {"tokens", config->data.batch * config->model.context}};
  shape.update({{"dtype", to_string(precision)}, {"memory", dtype == DType::f32 ? "f32" : to_string(precision)}});
  BenchReport report = bench.describe("matmul", shape, entries, bench.measure(entries));
  report.page.title = "Matrix multiplication";
  report.page.charts = chart_shares_and_rates(report.json["results"]);
  bench.publish(report);
}

}  // namespace

void add_bench_matmul(Command& bench) {
  Command* command = bench.add_subcommand("matmul", "Matrix multiplication c [M,N] = op(a) op(b), summed over K");
  command
      ->footer(fmt::format("Kernels: {}.\n"
                           "--config: the GEMMs of a layer; for that of the head see lapilli bench loss.\n"
                           "Examples: lapilli bench matmul --m 512 --n 1152 --k 384 --layout nt\n"
                           "          lapilli bench matmul --config tools/configs/quickstart.toml\n"
                           "          lapilli bench matmul --size 4096 --dtype bf16 --kernel coopmat,coopmat2,coopmat2:128x128",
                           kKernels));
  const auto options = std::make_shared<MatmulBenchOptions>();
  Option* size = command->add_option("--size", options->size, "Default for M, N and K")->check(positive())->capture_default_str();
  Option* m = command->add_option("--m", options->m, "Rows of c")->check(positive());
  Option* n = command->add_option("--n", options->n, "Columns of c")->check(positive());
  Option* k = command->add_option("--k", options->k, "Summed dimension")->check(positive());
  add_config_options(*command, options->from, {size, m, n, k});
  command->add_option("--layout", options->layout, "Layout: nn, nt, tn or all")->check(one_of({"nn", "nt", "tn", "all"}))->capture_default_str();
  add_dtype_option(*command, options->precision);
  command->add_flag("--f32-memory", options->f32_memory, "With --dtype: a, b and c in memory as f32, operands rounded when loaded");
  command->add_option("--kernel", options->kernels, "Kernels to compare, with or without a tile: cpu:64x4, tiled, coopmat:128, coopmat2:128x256")
      ->delimiter(',')
      ->type_name("KERNEL[:TILE],...");
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
