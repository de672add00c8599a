// One shape of `lapilli bench loss`: its strategies and the plain matmuls, measured interleaved, checked, and
// described.

#include <algorithm>
#include <memory>

#include "model/loss/linear_cross_entropy.h"
#include "model/transformer/config.h"
#include "tools/bench/bench_loss.h"
#include "tools/common/console.h"
#include "tools/perf/loss_check.h"

namespace lapilli {

namespace {

constexpr uint64_t kMostMatmulBytes = uint64_t{256} << 20U;  // of the matrix [N,V] of the plain matmuls
LossPlan plan_of(const std::string& name, const LossBenchPoint& point) {
  const auto plan = [&](LossStrategy strategy, bool training = true) {
    return plan_loss({.strategy = strategy, .chunk = point.chunk, .memory_mib = point.memory_mib}, point.shape(), training);
  };
  if (name == "evaluate") return plan(LossStrategy::vocab, false);
  if (name == "full") return plan(LossStrategy::full);
  if (name == "tokens") return plan(LossStrategy::tokens);
  if (name == "auto") return plan(LossStrategy::automatic);
  LossPlan vocab = plan(LossStrategy::vocab);
  if (name == "recompute") vocab.logits_buffers = 1;
  if (name == "kept") vocab.logits_buffers = vocab.chunks;
  return vocab;
}

// The kernels of the GEMMs of the loss and of the plain matmuls.
struct BenchProducts {
  Precision precision;
  KernelTuner* tuner;
  Tensor workspace;
  void apply(Ops& ops) const {
    ops.precision = precision;
    ops.tuner = tuner;
    ops.workspace = workspace;
  }
};

// One strategy.
struct LossCase {
  std::string name;
  LossPlan plan;
  std::string left_out = {};  // why it is not measured; empty: measured
  std::string same_as = {};   // the case with the same plan
  uint64_t scratch_bytes = 0, allocated_bytes = 0;
  std::unique_ptr<LinearCrossEntropy> loss = nullptr;
  std::unique_ptr<TimedProgram> program = nullptr;

  bool training() const { return plan.logits_buffers > 0; }
  // Why another case with this plan is skipped.
  std::string reason_for_repeats() const { return left_out.empty() ? "the same as " + name : left_out; }
  std::unique_ptr<LinearCrossEntropy> make(Arena& arena, Device& device, const LossBenchPoint& point) const {
    return std::make_unique<LinearCrossEntropy>(arena, device.caps(), point.shape(), LossOptions(), plan,
                                                matmul_kernel(device.caps(), point.precision));
  }

  // Determines the scratch size, and allocates it alone for a moment, unless it is more than `most_bytes` or than the
  // free device memory minus `batch_bytes`.
  void measure_scratch(Device& device, const LossBenchPoint& point, uint64_t most_bytes, uint64_t batch_bytes) {
    const uint64_t available = device.query_available_bytes();
    try {
      Arena arena(device.caps(), "bench");
      scratch_bytes = make(arena, device, point)->scratch_bytes();
      if (scratch_bytes > most_bytes) left_out = fmt::format("skipped: needs {}", format_bytes(scratch_bytes));
      else if (scratch_bytes + batch_bytes > available)
        left_out = fmt::format("skipped: needs {}, the device has {}", format_bytes(scratch_bytes), format_bytes(available));
      if (!left_out.empty()) return;
      const uint64_t before = device.allocated_bytes();
      arena.commit(device);
      allocated_bytes = device.allocated_bytes() - before;
    } catch (const Error& error) {
      left_out = std::string("skipped: ") + error.what();
    }
  }

  void record(KernelLibrary& kernels, const LossBatch& batch, const BenchProducts& with) {
    program = std::make_unique<TimedProgram>(kernels, name, [this, &batch, with](Ops& ops) {
      with.apply(ops);
      const LossOutputs outputs{.nll = batch.nll, .sums = batch.sums, .status = batch.status};
      const LossInputs inputs{.x = batch.x, .w = batch.w, .targets = batch.targets, .weights = batch.weights};
      if (training()) loss->forward_backward(ops, outputs, {.d_x = batch.d_x, .d_w = batch.d_w}, inputs, batch.inverse_weight);
      else loss->forward(ops, outputs, inputs);
    });
  }
};

std::vector<LossCase> make_cases(const std::vector<std::string>& names, const LossBenchPoint& point) {
  std::vector<LossCase> cases;
  for (const std::string& name : names) {
    LossCase next{.name = name, .plan = plan_of(name, point)};
    const auto same = std::ranges::find_if(cases, [&](const LossCase& it) {
      return it.plan.row_chunk == next.plan.row_chunk && it.plan.chunk == next.plan.chunk && it.plan.logits_buffers == next.plan.logits_buffers;
    });
    if (same != cases.end()) next.same_as = same->name;  // the first of them
    cases.push_back(std::move(next));
  }
  return cases;
}

// The plain matmuls of the loss: the baseline.
struct PlainProducts {
  PlainProducts(BenchMemory& memory, const LossBenchPoint& point) : columns(point.vocab) {
    const uint64_t most = std::max<uint64_t>(kMostMatmulBytes / sizeof(float) / point.tokens, 1);
    columns = static_cast<uint32_t>(std::min<uint64_t>(columns, most));
    logits = memory.zeros({point.tokens, static_cast<uint32_t>(padded_row_stride(columns))}, storage_type(point.precision));
    flops = 2.0 * point.tokens * columns * point.dim;
  }
  void record(KernelLibrary& kernels, const LossBatch& batch, const BenchProducts& with) {
    const Tensor z = logits.columns(columns), w = batch.w.row_range(0, columns), d_w = batch.d_w.row_range(0, columns);
    const auto add = [&](const char* name, std::function<void(Ops&)> work) {
      programs.push_back(std::make_unique<TimedProgram>(kernels, name, [with, work = std::move(work)](Ops& ops) {
        with.apply(ops);
        work(ops);
      }));
    };
    add("matmul nt", [=, &batch](Ops& ops) { matmul_nt(ops, z, batch.x, w); });      // [N,V] = [N,D] [V,D]t
    add("matmul nn", [=, &batch](Ops& ops) { matmul_nn(ops, batch.d_x, z, w); });    // [N,D] = [N,V] [V,D]
    add("matmul tn", [=, &batch](Ops& ops) { matmul_tn(ops, d_w, z, batch.x); });  // [V,D] = [N,V]t [N,D]
  }

  uint32_t columns;  // of V
  Tensor logits;     // [N,columns], rows gapped
  double flops = 0;  // of each
  std::vector<std::unique_ptr<TimedProgram>> programs;
};

// Kernels declare the work of all rows, but skip masked ones. FLOPs are proportional to the valid rows; bytes are not
// (every strip of w is read for any row), so they are given only if all rows are valid.
nlohmann::ordered_json phases_to_json(const Profile& profile, double valid_share) {
  auto phases = nlohmann::ordered_json::array();
  for (const ProfileSpan& span : profile.spans) {
    const double flops = span.flops * valid_share;
    nlohmann::ordered_json phase{{"name", span.scope}, {"ms", span.ns * 1e-6}, {"share", span.ns / profile.total_ns()}, {"flops", flops}};
    if (flops > 0 && span.ns > 0) phase["gflops"] = flops / span.ns;
    if (valid_share == 1) phase["bytes"] = span.bytes;
    if (valid_share == 1 && span.ns > 0) phase["gb_per_s"] = span.bytes / span.ns;
    phases.push_back(std::move(phase));
  }
  return phases;
}

std::string phases_table(const std::vector<BenchEntry>& entries) {
  TextTable table({"phases of the last round", "time", "share", "GFLOP/s", "GB/s"});
  bool any = false;
  const auto rate = [](const nlohmann::ordered_json& phase, const char* key) {
    return phase.contains(key) ? fmt::format("{:.1f}", phase[key].get<double>()) : "";
  };
  for (const BenchEntry& entry : entries)
    for (const auto& phase : entry.facts.value("phases", nlohmann::ordered_json::array())) {
      any = true;
      table.add({entry.benchmark_case.name + ": " + phase["name"].get<std::string>(), format_seconds(phase["ms"].get<double>() * 1e-3),
                 fmt::format("{:.1f} %", 100 * phase["share"].get<double>()), rate(phase, "gflops"), rate(phase, "gb_per_s")});
    }
  return any ? "\n" + table.to_string() : "This device has no timestamps: phases and bytes are not available.\n";
}

BenchEntry entry_of(const LossCase& it, const LossBenchPoint& point, size_t valid) {
  BenchEntry entry{.benchmark_case = {.name = it.name, .run = nullptr}, .note = it.left_out};
  if (!it.left_out.empty()) {
    if (!it.same_as.empty()) entry.facts["same_as"] = it.same_as;
    return entry;
  }
  entry.benchmark_case = it.program->benchmark_case();
  entry.flops = (it.training() ? 6.0 : 2.0) * static_cast<double>(valid) * point.dim * point.vocab;
  if (valid == point.tokens)
    for (const ProfileSpan& span : it.program->profile().spans) entry.bytes += span.bytes;
  // The unfused loss stores the logits and, for training, their gradient.
  const uint64_t plain_bytes = (it.training() ? 2 : 1) * sizeof(float) * point.tokens * point.vocab;
  entry.note = fmt::format("{} x {} rows, {} x {} columns", it.plan.row_chunks, it.plan.row_chunk, it.plan.chunks, it.plan.chunk);
  if (it.training()) entry.note += it.plan.logits_buffers == it.plan.chunks ? ", kept" : fmt::format(", {} kept", it.plan.logits_buffers);
  entry.facts = {
      {"plan", entry.note},        {"range", it.plan.row_chunk},      {"ranges", it.plan.row_chunks},      {"chunk", it.plan.chunk},
      {"chunks", it.plan.chunks},  {"slabs", it.plan.logits_buffers}, {"scratch_bytes", it.scratch_bytes}, {"allocated_bytes", it.allocated_bytes},
      {"plain_bytes", plain_bytes}};
  if (it.training())  // the computed FLOPs, including recomputation
    entry.facts["flops_done"] = it.plan.flops_per_logit_and_dim(point.vocab) * static_cast<double>(valid) * point.dim * point.vocab;
  if (entry.bytes > 0) entry.cells = {{"moved", format_bytes(static_cast<uint64_t>(entry.bytes))}};
  entry.cells.insert(entry.cells.end(), {{"scratch", format_bytes(it.scratch_bytes)},
                                         {"allocated", format_bytes(it.allocated_bytes)},
                                         {"unfused", format_bytes(plain_bytes)}});
  return entry;
}

// Results of a case that need all timings.
void add_findings(BenchEntry& entry, LossCase& it, const Timing& timing, double matmul_rate, LossCheck& check, double valid_share,
                  const nlohmann::ordered_json& all_valid) {
  if (entry.flops > 0) {
    const double share = entry.flops / timing.median / matmul_rate;
    entry.facts["share_of_matmul"] = share;
    entry.cells.insert(entry.cells.begin(), {"of matmul", fmt::format("{:.1f} %", 100 * share)});
  }
  for (const auto& result : all_valid.is_null() ? nlohmann::ordered_json::array() : all_valid["results"]) {
    if (result["name"] != it.name) continue;
    const double relative = timing.median * 1e3 / result["median_ms"].get<double>();
    entry.facts["time_of_all_valid"] = relative;
    entry.cells.emplace_back("of all valid", fmt::format("{:.3f}", relative));
  }
  const Profile profile = it.program->profile();
  if (!profile.spans.empty()) entry.facts["phases"] = phases_to_json(profile, valid_share);
  if (check.count() == 0) return;
  const LossError error = check.error([&] { it.program->run(); }, it.training());
  entry.facts["checked_rows"] = check.count();
  entry.facts["nll_error_nats"] = error.nll_nats;
  entry.cells.emplace_back("nll error", fmt::format("{:.1e}", error.nll_nats));
  if (!it.training()) return;
  entry.facts["d_x_relative_error"] = error.d_x;
  entry.cells.emplace_back("d_x error", fmt::format("{:.1e}", error.d_x));
  entry.facts["d_w_relative_error"] = error.d_w;
  entry.cells.emplace_back("d_w error", fmt::format("{:.1e}", error.d_w));
}

}  // namespace

const std::vector<std::string>& loss_strategy_names() {
  static const std::vector<std::string> names{"evaluate", "full", "tokens", "recompute", "vocab", "kept", "auto"};
  return names;
}

BenchReport bench_loss_point(BenchRun& bench, KernelTuner& tuner, const LossBenchPoint& point, const std::vector<std::string>& strategies,
                             uint64_t max_scratch_bytes, const nlohmann::ordered_json& all_valid, bool with_phases) {
  BenchMemory memory(bench.device());
  const LossBatch batch(memory, point.shape(), point.valid_fraction, point.precision);
  const BenchProducts with{
      .precision = point.precision, .tuner = &tuner, .workspace = reserve_matmul_workspace(memory.arena(), bench.device().caps())};
  const uint64_t batch_bytes = memory.planned_bytes();
  std::vector<LossCase> cases = make_cases(strategies, point);
  std::optional<Arena::AliasScope> shared(memory.arena());  // one of them runs at a time
  PlainProducts products(memory, point);
  for (LossCase& it : cases) {
    if (it.same_as.empty()) it.measure_scratch(bench.device(), point, max_scratch_bytes, batch_bytes);
    else it.left_out = std::ranges::find(cases, it.same_as, &LossCase::name)->reason_for_repeats();
    if (!it.left_out.empty()) continue;
    shared->next();
    it.loss = it.make(memory.arena(), bench.device(), point);
  }
  shared.reset();
  memory.commit();

  std::vector<BenchEntry> entries;
  products.record(bench.kernels(), batch, with);
  for (const auto& program : products.programs) entries.push_back({.benchmark_case = program->benchmark_case(), .flops = products.flops});
  for (LossCase& it : cases) {
    if (it.left_out.empty()) it.record(bench.kernels(), batch, with);
    entries.push_back(entry_of(it, point, batch.valid.size()));
  }
  const BenchFigures figures = bench.measure(entries);

  double product_seconds = 0;
  for (size_t i = 0; i < products.programs.size(); ++i) product_seconds += figures.timings[i].median;
  const double nt_rate = products.flops / figures.timings[0].median;
  const double all_rate = static_cast<double>(products.programs.size()) * products.flops / product_seconds;
  LossCheck check(bench.device(), batch);
  const double valid_share = static_cast<double>(batch.valid.size()) / point.tokens;
  for (size_t i = 0; i < cases.size(); ++i) {
    const size_t at = products.programs.size() + i;
    if (cases[i].left_out.empty())
      add_findings(entries[at], cases[i], figures.timings[at], cases[i].training() ? all_rate : nt_rate, check, valid_share, all_valid);
  }

  nlohmann::ordered_json shape{
      {"tokens", point.tokens}, {"valid_tokens", batch.valid.size()},  {"valid_fraction", point.valid_fraction}, {"vocab", point.vocab},
      {"dim", point.dim},       {"dtype", to_string(point.precision)}, {"memory_mib", point.memory_mib}};
  if (point.chunk != 0) shape["chunk"] = point.chunk;
  shape["matmul_columns"] = products.columns;
  BenchReport report = bench.describe("loss", shape, entries, figures);
  report.json["matmul_gflops"] = all_rate * 1e-9;
  if (with_phases) report.text += phases_table(entries);
  return report;
}

}  // namespace lapilli
