#pragma once
// Shared by the benches: options, the device, and a report with all measurements interleaved with the device's ceiling:
// multiply-adds, or cooperative matrices of the precision.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/transformer/config.h"
#include "tools/common/command_options.h"
#include "tools/html/chart.h"
#include "tools/perf/ceilings.h"

namespace lapilli {

struct BenchOptions {
  std::string device;
  std::optional<KernelClass> kernels;  // of bench step
  uint32_t repeats = 0;  // 0: as many as fit into `seconds`
  double seconds = 8;
  bool as_json = false;
  std::string save;  // file for the JSON, in addition to the output; empty: none
  std::string html;  // file for a page with charts; empty: none
  const Command* command = nullptr;  // the parsed command
};
void add_bench_options(Command& command, BenchOptions& options);
inline void add_dtype_option(Command& command, Precision& precision) {
  add_dtype_option(command, precision, "Precision of GEMM operands: f32, f16 or bf16; accumulation is f32");
}

// The class of that name. Wrong usage unless it is one of `known` and supports the precision; `about` lists the
// kernels.
KernelClass parse_kernel_class(const std::string& name, Precision precision, std::initializer_list<KernelClass> known, const char* about);

// --config and --set: a training configuration that gives the shapes, instead of the `excluded` options.
struct ShapesFromConfig {
  std::string config;  // empty: none
  std::vector<std::string> sets;
};
void add_config_options(Command& command, ShapesFromConfig& from, std::initializer_list<Option*> excluded);
// The configuration, if given; sets `precision` to its precision unless --dtype was given. Throws Error.
std::optional<Config> load_shapes(const ShapesFromConfig& from, const Command& command, Precision& precision);

// One measurement, with the work of its algorithm (0: unknown).
struct BenchEntry {
  BenchmarkCase benchmark_case;  // without `run`: skipped, with the reason in `note`
  double flops = 0, bytes = 0;
  nlohmann::ordered_json facts = nlohmann::ordered_json::object();  // further keys for --json
  std::vector<std::pair<std::string, std::string>> cells = {};      // further table columns: (header, text)
  std::string note = {};                                            // further text
};

struct BenchFigures {
  Timing ceiling;
  double ceiling_rate = 0;       // FLOP/s
  std::vector<Timing> timings;  // of the entries; 0 repeats: skipped
};

// A report as JSON, as text and as a page.
struct BenchReport {
  // {"bench", "device", "shape", "ceiling_gflops", "results"}, and "left_out" if entries were skipped.
  nlohmann::ordered_json json;
  std::string text;  // shape and table
  ChartPage page;    // facts and table; the bench adds title and charts
};

class BenchRun {
 public:
  explicit BenchRun(const BenchOptions& options);
  BenchRun(const BenchRun&) = delete;

  Device& device() { return device_; }
  KernelLibrary& kernels() { return kernels_; }
  const BenchOptions& options() const { return options_; }

  // The following entries are GEMMs in this precision: the ceiling becomes the device's matrix rate if it can be
  // measured, else it stays the multiply-add rate. Call it before recording anything.
  void compare_with(Precision precision);
  FmaCeiling& fma_ceiling();

  // Measures the entries interleaved with the ceiling. The result may be used for facts and cells before describe().
  BenchFigures measure(const std::vector<BenchEntry>& entries);
  BenchReport describe(const std::string& bench, const nlohmann::ordered_json& shape, const std::vector<BenchEntry>& entries,
                       const BenchFigures& figures);
  std::string device_line() const;  // "llvmpipe (lavapipe 25.0.7, 16 lanes)"
  std::vector<std::string> page_facts() const;  // common to all pages: device, command, date

  // Prints and saves according to the options.
  void publish(const BenchReport& report) const;
  void save(const nlohmann::ordered_json& json) const;

 private:
  BenchOptions options_;
  Device device_;
  KernelLibrary kernels_;
  // The reference for "of ceiling", and the first row of each table.
  struct Ceiling {
    BenchmarkCase benchmark_case;
    double flops = 0;
    std::string form;
  };
  Ceiling ceiling();

  std::optional<FmaCeiling> fma_ceiling_;  // created at the first use, which takes half a second
  std::optional<MatrixCeiling> matrix_ceiling_;
};

// Wrong usage unless a matrix of so many rows and columns can be indexed by the kernels (below 2^31 elements).
void require_indexable(const char* what, uint64_t rows, uint64_t cols);

void add_bench_matmul(Command& bench);
void add_bench_ceiling(Command& bench);
void add_bench_kernels(Command& bench);
void add_bench_attention(Command& bench);
void add_bench_loss(Command& bench);
void add_bench_step(Command& bench);
void add_bench_generate(Command& bench);

}  // namespace lapilli
