// lapilli bench ceiling: what the device can do at most: multiply-adds, copies, launches.

#include "tools/bench.h"

namespace lapilli {

namespace {

constexpr uint64_t kMib = uint64_t{1} << 20U;

struct CeilingOptions : BenchOptions {
  uint64_t copy_mib = 0;  // 0: by the device
};

void run(const CeilingOptions& options) {
  BenchRun bench(options);
  const uint64_t bytes = options.copy_mib != 0 ? options.copy_mib * kMib : ceiling_copy_bytes(bench.device().caps());
  const Shape shape{static_cast<uint32_t>(bytes / sizeof(float))};
  BenchMemory memory(bench.device());
  const Tensor source = memory.zeros(shape), destination = memory.zeros(shape), word = memory.zeros({1});
  memory.commit();

  TimedProgram copy(bench.kernels(), "copy", [&](Ops& ops) { ops.program.copy(destination.slice(), source.slice()); });
  TimedProgram empty(bench.kernels(), "empty dispatch", [&](Ops& ops) { record_empty_dispatch(ops, word, false); });
  TimedProgram ordered(bench.kernels(), "the same after a barrier", [&](Ops& ops) { record_empty_dispatch(ops, word, true); });
  Program round_trip(bench.device(), "round trip");
  Ops ops{round_trip, bench.kernels()};
  record_empty_dispatch(ops, word, true);
  round_trip.finish();
  const Contender submit{"submit and wait", [&] { return wall_seconds([&] { round_trip.run(); }); }};

  bench.report("ceiling", {{"copy_bytes", bytes}},
               {{.contender = copy.contender(), .bytes = 2.0 * static_cast<double>(bytes), .note = "read + written"},
                {.contender = empty.contender()},
                {.contender = ordered.contender()},
                {.contender = submit, .note = "host's clock"}});
}

}  // namespace

void add_bench_ceiling(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("ceiling", "f32 multiply-adds, copy bandwidth, cost of a launch: the device's limits");
  const auto options = std::make_shared<CeilingOptions>();
  command->add_option("--copy-mib", options->copy_mib, "Size of the copy (default: 512, on a CPU 128, less where memory is short)")
      ->check(CLI::Range(1, 2047))
      ->type_name("MIB");
  add_bench_options(*command, *options);
  command->callback([options] { run(*options); });
}

}  // namespace lapilli
