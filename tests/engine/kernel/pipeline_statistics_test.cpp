#include "engine/kernel/pipeline_statistics.h"

#include "model/ops/elementwise.h"
#include "shaders/embedded_shaders.h"
#include "tests/common/support.h"

namespace lapilli::test {
namespace {

const Kernel& some_kernel(KernelLibrary& kernels) {
  const uint32_t subgroup = kernels.device().caps().subgroup_size;
  return kernels.get("square_sum", {{args::SPEC_WORKGROUP, subgroup}, {args::SPEC_SUBGROUP, subgroup}}, subgroup);
}

// Most software drivers lack the extension; tests/drivers/radv_kernels.py tests a driver that has it.
TEST(PipelineStatistics, Device_ReportsThemOrTheMissingExtension) {
  try {
    Device telling({.pipeline_statistics = true, .record_only = true});
    KernelLibrary kernels(telling, embedded_shaders());
    EXPECT_FALSE(read_pipeline_statistics(telling, some_kernel(kernels)).empty());
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME), std::string::npos) << error.what();
  }
}

TEST(PipelineStatistics, DeviceCreatedWithoutThem_FailsTheCheck) {
  EXPECT_DEATH(read_pipeline_statistics(device(), some_kernel(kernels())), "square_sum");
}

TEST(RecordOnly, Program_CompilesAndCountsWithoutMemory) {
  Device recording({.record_only = true});
  KernelLibrary kernels(recording, embedded_shaders());
  Arena arena(recording.caps());
  const uint32_t n = 1U << 20;
  const Tensor x = reserve_tensor(arena, {n}, "x"), y = reserve_tensor(arena, {n}, "y");
  // More than the device has; it is never allocated.
  while (arena.planned_bytes() <= recording.query_available_bytes()) arena.reserve(recording.caps().max_allocation_bytes / 256 * 256, "rest");
  arena.commit(recording);
  Program program(recording, "recorded", true);
  Ops ops{program, kernels};
  program.fill(x.slice(), 0);
  add(ops, y, x, x);
  program.copy(x.slice(), y.slice());
  program.finish();
  EXPECT_EQ(recording.allocated_bytes(), 0U);
  EXPECT_EQ(program.dispatch_count(), 1U);
  EXPECT_EQ(program.barrier_count(), 2U);
  ASSERT_EQ(kernels.all().size(), 1U);
  EXPECT_EQ(kernels.all().front()->name(), "add");
  EXPECT_FALSE(kernels.all().front()->constants().empty());
  EXPECT_DEATH(program.submit(), "only records");
  EXPECT_DEATH(write_slice(recording, x.slice(), std::vector<float>(4)), "only records");
}

}  // namespace
}  // namespace lapilli::test
