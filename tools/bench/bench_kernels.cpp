// lapilli bench kernels: compiler statistics of every kernel - registers, spills, occupancy. Runs nothing.

#include <algorithm>
#include <map>
#include <optional>

#include "engine/base/file.h"
#include "engine/base/json.h"
#include "engine/kernel/pipeline_statistics.h"
#include "shaders/common/args.h"
#include "shaders/embedded_shaders.h"
#include "tools/bench/bench_run.h"
#include "tools/common/console.h"
#include "tools/common/device_report.h"
#include "tools/perf/amd_assembly.h"
#include "tools/perf/kernel_variants.h"

namespace lapilli {

namespace {

struct KernelBenchOptions {
  std::string device;
  bool as_json = false;
  std::string save;  // a file for the JSON, whatever is printed; empty: none
};

// The statistics shown in the table, by the names of Mesa's RADV (AMD). Statistics of other drivers are shown under
// their own names.
struct Column {
  const char* header;
  const char* key;  // in --json
  std::vector<std::string_view> statistics;  // added up
};
const std::vector<Column>& amd_columns() {
  static const std::vector<Column> columns{{"VGPRs", "vgprs", {"VGPRs"}},
                                           {"SGPRs", "sgprs", {"SGPRs"}},
                                           {"spilled", "spilled_registers", {"Spilled VGPRs", "Spilled SGPRs"}},
                                           {"scratch B", "scratch_bytes", {"Scratch size"}},
                                           {"LDS B", "lds_bytes", {"LDS size"}},
                                           {"waves/SIMD", "subgroups_per_simd", {"Subgroups per SIMD"}},
                                           {"code B", "code_bytes", {"Code size"}},
                                           {"cycles", "inverse_throughput", {"Inverse Throughput"}}};
  return columns;
}

constexpr const char* kAboutAmd =
    "VGPRs, SGPRs: registers of a subgroup. LDS: shared memory of a workgroup. waves/SIMD: subgroups that fit a SIMD at once; on\n"
    "RDNA the driver counts one of 64 lanes as two.\n"
    "cycles: RADV's \"Inverse Throughput\", cycles of a SIMD for 64 invocations, by a static model with 8 iterations of every loop\n"
    "(4 of an inner one) and every uniform branch taken half the time. It can compare versions of a kernel with the same loops, but\n"
    "not tiles, whose loops the compiler may unroll or not. FMA share: share of multiply-adds in the vector instructions of a\n"
    "matmul's loop, counted in the assembly. It is an upper bound for the matmul's share of the peak multiply-add rate; waiting\n"
    "for memory lowers it further. --json also has the counts for matrix instructions and the multiply-adds of the model.\n";

const std::map<uint32_t, const char*>& constant_names() {
  static const std::map<uint32_t, const char*> names{{args::SPEC_WORKGROUP, "workgroup"},
                                                     {args::SPEC_SUBGROUP, "subgroup"},
                                                     {args::SPEC_TILE_ROWS, "rows"},
                                                     {args::SPEC_TILE_COLS, "cols"},
                                                     {args::SPEC_TILE_DEPTH, "depth"},
                                                     {args::SPEC_HEAD_WIDTH, "head_width"},
                                                     {args::SPEC_VARIANT, "variant"},
                                                     {args::SPEC_ELEMENTS, "elements"},
                                                     {args::SPEC_VOCAB_BLOCK, "vocab_block"},
                                                     {args::SPEC_ALIGNED, "aligned"},
                                                     {args::SPEC_FRAGMENT_ROWS, "fragment_rows"},
                                                     {args::SPEC_FRAGMENT_COLS, "fragment_cols"},
                                                     {args::SPEC_FRAGMENT_DEPTH, "fragment_depth"},
                                                     {args::SPEC_SUBGROUPS_M, "subgroups_m"},
                                                     {args::SPEC_A_TYPE, "a_type"},
                                                     {args::SPEC_B_TYPE, "b_type"},
                                                     {args::SPEC_C_TYPE, "c_type"},
                                                     {args::SPEC_EPILOGUE, "epilogue"},
                                                     {args::SPEC_SOFTCAP, "softcap"},
                                                     {args::SPEC_NONLINEARITY, "nonlinearity"},
                                                     {args::SPEC_WIDTH, "width"},
                                                     {args::SPEC_CONTEXT, "context"},
                                                     {args::SPEC_ROTARY, "rotary"},
                                                     {args::SPEC_TRANSPOSES, "transposes"}};
  return names;
}

uint32_t constant(const Kernel& kernel, uint32_t id) {
  const auto found = std::ranges::find(kernel.constants(), id, &SpecConstant::id);
  return found == kernel.constants().end() ? 0 : found->value;
}

// "128x128x16 variant 3": the constants that not every kernel has.
std::string describe_constants(const Kernel& kernel) {
  const uint32_t rows = constant(kernel, args::SPEC_TILE_ROWS), depth = constant(kernel, args::SPEC_TILE_DEPTH);
  std::string text;
  if (rows != 0) text = fmt::format("{}x{}", rows, constant(kernel, args::SPEC_TILE_COLS)) + (depth == 0 ? "" : fmt::format("x{}", depth));
  for (const auto& [id, value] : kernel.constants()) {
    const bool shown = id == args::SPEC_SUBGROUP || id == args::SPEC_TILE_ROWS || id == args::SPEC_TILE_COLS || id == args::SPEC_TILE_DEPTH;
    if (!shown) text += fmt::format("{}{} {}", text.empty() ? "" : " ", constant_names().at(id), value);
  }
  return text;
}

nlohmann::ordered_json to_json(const StatisticValue& value) {
  return std::visit([](auto v) { return nlohmann::ordered_json(v); }, value);
}
std::string to_text(const StatisticValue& value) {
  return std::visit([](auto v) { return fmt::format("{}", v); }, value);
}
double to_number(const StatisticValue& value) {
  return std::visit([](auto v) { return static_cast<double>(v); }, value);
}

// Empty unless the driver reports all of them.
std::optional<uint64_t> column_value(const Column& column, const PipelineExecutable& executable) {
  uint64_t sum = 0;
  for (const std::string_view name : column.statistics) {
    const StatisticValue* value = executable.find(name);
    if (value == nullptr) return std::nullopt;
    sum += static_cast<uint64_t>(to_number(*value));
  }
  return sum;
}

std::string_view assembly_of(const PipelineExecutable& executable) {
  const auto found = std::ranges::find(executable.texts, "Assembly", &PipelineText::name);
  return found == executable.texts.end() ? std::string_view() : found->text;
}

// For the main loop of a matmul (matmul_tiled.glsl, matmul_coopmat.glsl); one iteration is one stage.
std::optional<VectorWork> loop_iteration(const Kernel& kernel, const PipelineExecutable& executable) {
  const uint32_t depth = constant(kernel, args::SPEC_TILE_DEPTH);
  if (depth == 0) return std::nullopt;
  const uint32_t elements = constant(kernel, args::SPEC_TILE_ROWS) * constant(kernel, args::SPEC_TILE_COLS);
  return find_loop_iteration(assembly_of(executable), elements * depth / constant(kernel, args::SPEC_WORKGROUP), executable.subgroup_size);
}

struct KernelReport {
  const Kernel* kernel;
  PipelineExecutable executable;
};

std::vector<KernelReport> read_reports(const KernelLibrary& kernels) {
  std::vector<KernelReport> reports;
  for (const Kernel* kernel : kernels.all())
    for (PipelineExecutable& executable : read_pipeline_statistics(kernels.device(), *kernel)) reports.push_back({kernel, std::move(executable)});
  if (reports.empty() || std::ranges::all_of(reports, [](const KernelReport& r) { return r.executable.statistics.empty(); }))
    throw Error("the driver of {} ({}) has the extension for kernel statistics, but reports none", kernels.device().caps().name,
                kernels.device().caps().driver);
  return reports;
}

nlohmann::ordered_json to_json(const KernelReport& report) {
  nlohmann::ordered_json constants, statistics;
  for (const auto& [id, value] : report.kernel->constants()) constants[constant_names().at(id)] = value;
  for (const PipelineStatistic& statistic : report.executable.statistics) statistics[statistic.name] = to_json(statistic.value);
  nlohmann::ordered_json json{{"name", report.kernel->name()},
                              {"constants", constants},
                              {"executable", report.executable.name},
                              {"subgroup_size", report.executable.subgroup_size}};
  for (const Column& column : amd_columns())
    if (const auto value = column_value(column, report.executable)) json[column.key] = *value;
  if (const auto iteration = loop_iteration(*report.kernel, report.executable))
    json["loop_turn"] = {
        {"instructions", iteration->instructions}, {"matrix_products", iteration->matrix_products}, {"multiply_adds", iteration->multiply_adds}};
  if (const auto overlap = find_fetch_overlap(assembly_of(report.executable))) json["fetch_overlap"] = *overlap;
  json["modelled_multiply_adds"] = count_modelled_multiply_adds(assembly_of(report.executable), report.executable.subgroup_size);
  json["statistics"] = statistics;
  return json;
}

TextTable amd_table(const std::vector<KernelReport>& reports) {
  std::vector<std::string> header{"kernel", "constants"};
  for (const Column& column : amd_columns()) header.emplace_back(column.header);
  header.emplace_back("FMA share");
  TextTable table(header);
  for (const KernelReport& report : reports) {
    std::vector<std::string> row{report.kernel->name(), describe_constants(*report.kernel)};
    for (const Column& column : amd_columns()) row.push_back(fmt::format("{}", column_value(column, report.executable).value_or(0)));
    const auto iteration = loop_iteration(*report.kernel, report.executable);
    row.push_back(iteration && iteration->matrix_products == 0 ? fmt::format("{:.0f} %", 100 * iteration->multiply_adds / iteration->instructions)
                                                               : "");
    table.add(row);
  }
  return table;
}

// All statistics of the driver, under its own names.
TextTable plain_table(const std::vector<KernelReport>& reports) {
  std::vector<std::string> header{"kernel", "constants", "subgroup"}, names;
  for (const KernelReport& report : reports)
    for (const PipelineStatistic& statistic : report.executable.statistics)
      if (std::ranges::find(names, statistic.name) == names.end()) names.push_back(statistic.name);
  header.insert(header.end(), names.begin(), names.end());
  TextTable table(header);
  for (const KernelReport& report : reports) {
    std::vector<std::string> row{report.kernel->name(), describe_constants(*report.kernel), fmt::format("{}", report.executable.subgroup_size)};
    for (const std::string& name : names) {
      const StatisticValue* value = report.executable.find(name);
      row.push_back(value == nullptr ? "" : to_text(*value));
    }
    table.add(row);
  }
  return table;
}

void run(const KernelBenchOptions& options) {
  Device device({.selector = options.device, .pipeline_statistics = true, .record_only = true});
  KernelLibrary kernels(device, embedded_shaders());
  compile_kernel_forms(kernels);
  const std::vector<KernelReport> reports = read_reports(kernels);
  const DeviceCaps& caps = device.caps();
  auto list = nlohmann::ordered_json::array();
  for (const KernelReport& report : reports) list.push_back(to_json(report));
  const std::string json = json_text({{"bench", "kernels"}, {"device", device_to_json(caps)}, {"kernels", list}}, 2) + "\n";
  if (!options.save.empty()) write_file_atomically(options.save, json);
  if (options.as_json) return print(json);
  print(fmt::format("{} ({}): subgroups of {} (the device can {} to {})\n", caps.name, caps.driver, caps.subgroup_size, caps.min_subgroup_size,
                    caps.max_subgroup_size));
  const bool amd = std::ranges::all_of(amd_columns(), [&](const Column& c) { return column_value(c, reports.front().executable).has_value(); });
  print((amd ? amd_table(reports) : plain_table(reports)).to_string());
  if (amd) print(kAboutAmd);
}

}  // namespace

void add_bench_kernels(Command& bench) {
  Command* command = bench.add_subcommand("kernels", "Compiler statistics of every kernel: registers, spills, occupancy");
  command->footer(
      "Compiles every form of every kernel that training uses on the device, and runs none. Needs a driver with\n"
      "VK_KHR_pipeline_executable_properties. The RADV of Mesa 25 and older can run AMD's compiler without a GPU\n"
      "(for that of Mesa 26: tools/scripts/with_mesa26.sh --card FAMILY):\n"
      "RADV_FORCE_FAMILY=navi31 VK_DRIVER_FILES=/usr/share/vulkan/icd.d/radeon_icd.json lapilli bench kernels");
  const auto options = std::make_shared<KernelBenchOptions>();
  add_device_option(*command, options->device);
  command->add_flag("--json", options->as_json, "Print JSON instead of a table");
  add_save_option(*command, options->save);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
