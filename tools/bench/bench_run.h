#pragma once
// What the benches share: options, the device, and a report in which everything is measured in turn with the device's
// ceiling: multiply-adds, or the matrices of its precision.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/transformer/config.h"
#include "tools/perf/ceilings.h"
#include "tools/html/chart.h"
#include "tools/common/command_options.h"

namespace lapilli {

struct BenchOptions {
  std::string device;
  uint32_t repeats = 0;  // 0: what fits into `seconds`
  double seconds = 8;
  bool as_json = false;
  std::string save;  // a file for the JSON, whatever is printed; empty: none
  std::string html;  // a file for a page with charts; empty: none
  const Command* command = nullptr;  // what was asked for
};
void add_bench_options(Command& command, BenchOptions& options);
// --dtype: to what the factors of products are rounded.
void add_dtype_option(Command& command, Precision& precision);

// The class of that name. Wrong usage unless it is one of those `known` and multiplies in the precision; `about` tells what there is.
KernelClass parse_kernel_class(const std::string& name, Precision precision, std::initializer_list<KernelClass> known, const char* about);

// --config and --set: a training configuration to take shapes from, instead of what the `excluded` options say.
struct ShapesFromConfig {
  std::string config;  // empty: none
  std::vector<std::string> sets;
};
void add_config_options(Command& command, ShapesFromConfig& from, std::initializer_list<Option*> excluded);
// The configuration, if there is one; `precision` becomes its own unless --dtype was given. Throws Error.
std::optional<Config> load_shapes(const ShapesFromConfig& from, const Command& command, Precision& precision);

// One thing measured, with the work its algorithm asks for (0: does not say).
struct BenchEntry {
  Contender contender;  // without `run` it is left out, and `note` says why
  double flops = 0, bytes = 0;
  nlohmann::ordered_json facts = nlohmann::ordered_json::object();  // beside the figures: in --json as they are
  std::vector<std::pair<std::string, std::string>> cells = {};      // the same for people: (header, text) of further columns
  std::string note = {};                                            // and as a sentence
};

struct BenchFigures {
  Timing ceiling;
  double ceiling_rate = 0;       // FLOP/s
  std::vector<Timing> timings;  // of the entries; 0 repeats: left out
};

// The same for scripts and for people.
struct BenchReport {
  // {"bench", "device", "shape", "ceiling_gflops", "results"}, and "left_out" when something was.
  nlohmann::ordered_json json;
  std::string text;  // shape and table
  ChartPage page;    // facts and table; a title and charts are the bench's to add
};

class BenchRun {
 public:
  explicit BenchRun(const BenchOptions& options);
  BenchRun(const BenchRun&) = delete;

  Device& device() { return device_; }
  KernelLibrary& kernels() { return kernels_; }
  const BenchOptions& options() const { return options_; }

  // What is measured from now on are products in this precision: where the device's matrices can be measured, they are the ceiling, else
  // multiply-adds stay it. Before anything is recorded.
  void compare_with(Precision precision);
  FmaCeiling& fma_ceiling();

  // Measures the entries in turn with the ceiling. What it gives may go into facts and cells before describe().
  BenchFigures measure(const std::vector<BenchEntry>& entries);
  BenchReport describe(const std::string& bench, const nlohmann::ordered_json& shape, const std::vector<BenchEntry>& entries,
                       const BenchFigures& figures);
  std::string device_line() const;  // "llvmpipe (lavapipe 25.0.7, 16 lanes)"
  std::vector<std::string> page_facts() const;  // which every page begins with: device, command, date

  // Prints and saves as the options ask.
  void publish(const BenchReport& report) const;
  void save(const nlohmann::ordered_json& json) const;

 private:
  BenchOptions options_;
  Device device_;
  KernelLibrary kernels_;
  // What "of ceiling" means, and the first row of each table.
  struct Ceiling {
    Contender contender;
    double flops = 0;
    std::string form;
  };
  Ceiling ceiling();

  std::optional<FmaCeiling> fma_ceiling_;  // made when first measured: that takes half a second
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

}  // namespace lapilli
