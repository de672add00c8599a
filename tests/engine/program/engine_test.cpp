#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <latch>
#include <thread>

#include "engine/program/transfer.h"
#include "model/matmul/matmul.h"
#include "model/ops/elementwise.h"
#include "shaders/embedded_shaders.h"
#include "shaders/ops/args.h"
#include "tests/common/support.h"

namespace lapilli::test {
namespace {

TEST(Arena, AliasScopes_ShareMemoryAndKeepTheLargest) {
  Arena arena(device().caps());
  const Slice before = arena.reserve(1000, "a");
  Slice first, second;
  {
    Arena::AliasScope alias_scope(arena);
    first = arena.reserve(5000, "b");
    alias_scope.next();
    second = arena.reserve(700, "c");
  }
  const Slice after = arena.reserve(100, "d");
  EXPECT_TRUE(first.overlaps(second));
  EXPECT_FALSE(first.overlaps(after));
  EXPECT_FALSE(second.overlaps(after));
  EXPECT_FALSE(before.overlaps(first));
  EXPECT_EQ(arena.planned_bytes(), 1024U + 5120U + 256U);
}

TEST(Arena, ReservationLargerThanOneAllocation_IsAnErrorWithTheReason) {
  Arena arena(device().caps());
  EXPECT_THROW(arena.reserve(device().caps().max_allocation_bytes + 1, "activations"), Error);
}

TEST(Arena, PlanBeyondTheDevice_IsAnErrorBeforeAnythingIsAllocated) {
  Arena arena(device().caps());
  const uint64_t piece = device().caps().max_allocation_bytes / 256 * 256;
  while (arena.planned_bytes() <= device().query_available_bytes()) arena.reserve(piece, "activations");
  const uint64_t held = device().allocated_bytes();
  try {
    arena.commit(device());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("activations"), std::string::npos) << error.what();
  }
  EXPECT_EQ(device().allocated_bytes(), held);
}

TEST(Arena, SliceOutsideItsParent_FailsTheCheck) {
  Arena arena(device().caps());
  const Slice slice = arena.reserve(100, "a");
  EXPECT_DEATH(slice.sub(60, 41), "60 \\+ 41 > 100");
}

// Each dispatch reads the result of the previous one: wrong barriers give wrong sums, missing ones a wrong count.
TEST(Program, DependentDispatches_AreOrdered_IndependentOnesAreNot) {
  Bench bench;
  const uint32_t n = 4099;
  const auto values = random_values(n, 1);
  const Tensor x = bench.input({n}, values), y = bench.output({n}), z = bench.output({n}), w = bench.output({n});
  bench.run([&](Ops& ops) {
    add(ops, y, x, x);
    EXPECT_EQ(ops.program.barrier_count(), 0U);
    add(ops, w, x, x);  // reads what is read, writes elsewhere
    EXPECT_EQ(ops.program.barrier_count(), 0U);
    add(ops, z, y, y);  // after the write of y
    EXPECT_EQ(ops.program.barrier_count(), 1U);
    add(ops, y, z, x);  // after the write of z, and the read of y
    EXPECT_EQ(ops.program.barrier_count(), 2U);
    EXPECT_EQ(ops.program.dispatch_count(), 4U);
  });
  std::vector<float> expected;
  for (const float v : values) expected.push_back((v + v) + (v + v) + v);
  EXPECT_EQ(bench.read(y), expected);
}

TEST(Program, PartsOfOneRange_DoNotWaitForEachOther_WhatReadsThemDoes) {
  Bench bench;
  const Tensor x = bench.input({64}, random_values(64, 1)), y = bench.output({64}), z = bench.output({64});
  bench.run([&](Ops& ops) {
    add(ops, y.part(1), x, x);
    add(ops, y.part(2), x, x);
    EXPECT_EQ(ops.program.barrier_count(), 0U);
    add(ops, y.part(2), x, x);
    EXPECT_EQ(ops.program.barrier_count(), 1U);
    add(ops, z, y, x);
    EXPECT_EQ(ops.program.barrier_count(), 2U);
    add(ops, y.part(1), x, x);  // after the read
    EXPECT_EQ(ops.program.barrier_count(), 3U);
  });
}

TEST(Program, OverlappingSlices_AreSeenAsOne) {
  Bench bench;
  const Tensor x = bench.input({4, 8}, random_values(32, 2)), y = bench.output({2, 8});
  bench.run([&](Ops& ops) {
    add(ops, x.row_range(1, 2), x.row_range(0, 2), x.row_range(0, 2));
    add(ops, y, x.row_range(2, 2), x.row_range(2, 2));  // row 2 was written, rows 3 not
    EXPECT_EQ(ops.program.barrier_count(), 1U);
  });
}

TEST(Program, Replay_RunsTheSameWorkOnCurrentData) {
  Arena arena(device().caps());
  const Tensor x = reserve_tensor(arena, {64}, "test");
  arena.commit(device());
  write_slice(device(), x.slice(), std::vector<float>(64, 1.0F));
  Program program(device(), "doubling");
  Ops ops{program, kernels()};
  add(ops, x, x, x);
  program.finish();
  for (int i = 0; i < 5; ++i) program.run();
  EXPECT_EQ(read_slice<float>(device(), x.slice()), std::vector<float>(64, 32.0F));
}

TEST(Program, LongWork_IsSplitIntoSeveralSubmissions_WithTheSameResult) {
  Arena arena(device().caps());
  const Tensor a = reserve_tensor(arena, {8, 8}, "test"), b = reserve_tensor(arena, {8, 8}, "test"), c = reserve_tensor(arena, {8, 8}, "test");
  arena.commit(device());
  write_slice(device(), a.slice(), std::vector<float>(64, 0.5F));
  write_slice(device(), b.slice(), std::vector<float>(64, 0.25F));
  Program program(device(), "long");
  Ops ops{program, kernels()};
  matmul_nn(ops, c, a, b);
  for (int i = 0; i < 8; ++i)  // a declared cost of a second on any device
    program.dispatch(ops.kernel("add", ops.row_workgroup(), {{args::SPEC_ELEMENTS, 64}}), args::AddArgs{.y = c, .a = c, .b = c, .count = 64}, 1,
                     {.bytes = 5e9});
  program.finish();
  EXPECT_GE(program.submission_count(), 8U);
  program.run();
  EXPECT_EQ(read_slice<float>(device(), c.slice()), std::vector<float>(64, 256.0F));
}

// Here it only exceeds its time limit.
TEST(ProgramDeathTest, Timeout_EndsTheProcess_WithAdvice) {
  const std::filesystem::path program_file = std::filesystem::read_symlink("/proc/self/exe");
  if (program_file.filename() != "lapilli_tests") GTEST_SKIP() << "started by " << program_file << ", by which the test cannot start itself again";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Arena arena(device().caps());
  const Tensor x = reserve_tensor(arena, {512, 512}, "test"), y = reserve_tensor(arena, {512, 512}, "test");
  arena.commit(device());
  Program program(device(), "endless");
  Ops ops{program, kernels()};
  for (int i = 0; i < 20; ++i) matmul_nn(ops, y, x, x);
  program.finish();
  EXPECT_EXIT(
      {
        spdlog::set_default_logger(spdlog::stderr_logger_st("test"));
        program.submit();
        program.wait(1e-6);
      },
      ::testing::ExitedWithCode(1), "endless has not ended on .* hangs.*update the driver");
}

// More than a dispatch holds in x go into y, few of them beyond the range.
TEST(Program, ManyWorkgroups_AllRun) {
  Bench bench;
  const uint32_t n = 70001;
  const auto values = random_values(n, 1);
  const Tensor x = bench.input({n}, values), y = bench.output({n});
  bench.run([&](Ops& ops) {
    const uint32_t subgroup = ops.caps().subgroup_size;
    ops.program.dispatch(ops.kernel("add", subgroup, {{args::SPEC_ELEMENTS, 1}}), args::AddArgs{.y = y, .a = x, .b = x, .count = n}, n);
  });
  std::vector<float> expected;
  for (const float v : values) expected.push_back(v + v);
  EXPECT_EQ(bench.read(y), expected);
}

const Kernel& get_add(KernelLibrary& library, uint32_t elements) {
  const uint32_t subgroup = library.device().caps().subgroup_size;
  return library.get("add", {{args::SPEC_WORKGROUP, subgroup}, {args::SPEC_SUBGROUP, subgroup}, {args::SPEC_ELEMENTS, elements}}, subgroup);
}

TEST(Program, Submissions_AreSplitByTheMeasuredRate) {
  Device recording({.record_only = true});
  Arena arena(recording.caps());
  const Tensor x = reserve_tensor(arena, {64}, "test");
  arena.commit(recording);
  const auto submissions = [&](const Cost& cost) {
    Program program(recording, "long");
    KernelLibrary library(recording, embedded_shaders());
    Ops ops{program, library};
    for (int i = 0; i < 40; ++i)
      program.dispatch(ops.kernel("add", ops.row_workgroup(), {{args::SPEC_ELEMENTS, 64}}), args::AddArgs{.y = x, .a = x, .b = x, .count = 64}, 1,
                       cost);
    program.finish();
    return program.submission_count();
  };
  const uint64_t flops_before = submissions({.flops = 1e12}), bytes_before = submissions({.bytes = 5e9});
  recording.set_measured_peak(1e9);  // below the assumed minimum rate of any device
  EXPECT_EQ(submissions({.flops = 1e12}), flops_before);
  recording.set_measured_peak(1e15);
  EXPECT_LT(submissions({.flops = 1e12}), flops_before / 8);
  EXPECT_LT(submissions({.bytes = 5e9}), bytes_before / 8);
}

// Recording does not wait for kernels, so a library may be destroyed while some are queued and others are being
// compiled.
TEST(KernelLibrary, EndsWhileItCompiles) {
  Device card(DeviceOptions{.validation = true});
  {
    KernelLibrary library(card, embedded_shaders());
    for (uint32_t elements = 1; elements <= 64; ++elements) get_add(library, elements);
    EXPECT_EQ(library.all().size(), 64U);
  }
  EXPECT_EQ(card.validation_messages(), 0U);
}

TEST(KernelLibrary, EveryKernel_IsCompiledAfterWait) {
  KernelLibrary library(device(), embedded_shaders());
  const Kernel& one = get_add(library, 3);
  EXPECT_EQ(&get_add(library, 3), &one);
  const Kernel& other = get_add(library, 4);
  library.wait();
  EXPECT_NE(one.compiled(), CompiledKernel{});
  EXPECT_NE(other.compiled(), CompiledKernel{});
  EXPECT_NE(one.compiled(), other.compiled());
}

TEST(Profile, Scopes_CoverTheProgramAndAddUp) {
  Arena arena(device().caps());
  const Tensor x = reserve_tensor(arena, {256, 256}, "test"), y = reserve_tensor(arena, {256, 256}, "test");
  arena.commit(device());
  Program program(device(), "profiled", /*profiled=*/true);
  Ops ops{program, kernels()};
  {
    const Program::Scope outer(program, "outer");
    add(ops, y, x, x);
    const Program::Scope inner(program, "inner");
    matmul_nn(ops, y, x, x);
  }
  program.finish();
  // On a GPU the driver would wait for timestamps that are never written.
  EXPECT_DEATH((void)program.take_profile(), "profiled has no profile before it has run");
  const int64_t before_ns = steady_now_ns();
  program.run();
  const int64_t after_ns = steady_now_ns();
  const Profile profile = program.take_profile();
  ASSERT_EQ(profile.spans.size(), 2U);
  EXPECT_EQ(profile.spans[0].scope, "outer");
  EXPECT_EQ(profile.spans[1].scope, "outer/inner");
  EXPECT_EQ(profile.spans[1].flops, 2.0 * 256 * 256 * 256);
  EXPECT_GT(profile.spans[1].ns, 0);
  EXPECT_EQ(profile.spans[0].begin_ns, 0);
  EXPECT_NEAR(profile.spans[1].begin_ns, profile.spans[0].ns, 1);
  // The drift of both clocks between the run and the calibration: far less than a microsecond.
  const auto slack_ns = static_cast<int64_t>(profile.deviation_ns.value_or(0)) + 1000;
  EXPECT_GE(profile.begin_host_ns, before_ns - slack_ns);
  if (profile.deviation_ns) {
    EXPECT_LE(profile.begin_host_ns + static_cast<int64_t>(profile.total_ns()), after_ns + slack_ns);
  }
  EXPECT_NEAR(profile.by_scope()[0].ns + profile.by_scope()[1].ns, profile.total_ns(), 1);
  ASSERT_EQ(profile.by_part().size(), 1U);
  EXPECT_EQ(profile.by_part()[0].scope, "outer");
  EXPECT_NEAR(profile.by_part()[0].ns, profile.total_ns(), 1);
}

TEST(Device, UnknownSelector_IsAnErrorThatListsTheDevices) {
  try {
    const Device missing(DeviceOptions{.selector = "no such card"});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(device().caps().name), std::string::npos) << error.what();
  }
}

TEST(Device, ForcedKernelClass_RestrictsTheCaps_OrIsAnErrorThatNamesWhatIsMissing) {
  const DeviceCaps own = device().caps();
  for (const KernelClass forced : kKernelClasses) {
    const bool of_matrices = forced == KernelClass::coopmat || forced == KernelClass::coopmat2;
    try {
      const Device made(DeviceOptions{.selector = own.uuid, .kernel_class = forced});
      EXPECT_EQ(made.caps().forced_class, forced);
      EXPECT_EQ(made.caps().kernel_class, forced == KernelClass::cpu ? KernelClass::cpu : KernelClass::tiled);
      EXPECT_EQ(made.caps().matrix_f16 || made.caps().matrix_bf16, of_matrices);
      EXPECT_EQ(made.caps().cooperative_matrix2, forced == KernelClass::coopmat2);
      EXPECT_EQ(why_no_coopmat2(made.caps(), Precision::f16).has_value(), forced != KernelClass::coopmat2);
      if (!of_matrices) {
        EXPECT_THROW(matmul_kernel(made.caps(), Precision::f16), Error);
      }
    } catch (const Error& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find(own.name), std::string::npos) << text;
      EXPECT_NE(text.find(to_string(forced)), std::string::npos) << text;
      if (forced == KernelClass::coopmat) {
        EXPECT_FALSE(own.matrix_f16 || own.matrix_bf16);
        EXPECT_NE(text.find("VK_KHR_cooperative_matrix"), std::string::npos) << text;
      } else if (forced == KernelClass::coopmat2) {
        EXPECT_FALSE(own.cooperative_matrix2 && (own.workgroup_matrix_f16 || own.workgroup_matrix_bf16));
        EXPECT_NE(text.find("VK_NV_cooperative_matrix2"), std::string::npos) << text;
      } else {
        EXPECT_EQ(forced, KernelClass::tiled) << text;
        EXPECT_LT(own.max_shared_bytes, 32U << 10U) << text;
      }
    }
  }
}

// The path of discrete GPUs, on a device with unified memory: every byte goes through staging buffers.
TEST(Transfer, StagingPath_CarriesTheSameBytes) {
  Device card(DeviceOptions{.validation = true, .staging = true});
  {
    Arena arena(card.caps());
    TransferRegion in(card, arena, 4096, "in", Direction::to_device), out(card, arena, 4096, "out", Direction::to_host);
    const Slice stored = arena.reserve(4096, "kept");
    arena.commit(card);
    KernelLibrary library(card, embedded_shaders());
    Program program(card, "transfer");
    Ops ops{program, library};
    in.record(program);
    const Tensor x(in.device_slice(), {1024}), y(out.device_slice(), {1024});
    add(ops, y, x, x);
    out.record(program);
    program.finish();
    const std::vector<float> values = random_values(1024, 3);
    std::memcpy(in.host().data(), values.data(), 4096);
    program.run();
    std::vector<float> doubled(1024);
    std::memcpy(doubled.data(), out.host().data(), 4096);
    for (size_t i = 0; i < 1024; ++i) EXPECT_EQ(doubled[i], 2 * values[i]);
    write_slice(card, stored, values);
    EXPECT_EQ(read_slice<float>(card, stored), values);
  }
  EXPECT_EQ(card.validation_messages(), 0U);
}

}  // namespace
}  // namespace lapilli::test
