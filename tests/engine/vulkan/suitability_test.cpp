// What a device must have before it is offered: each refusal has its own sentence.
#include "engine/vulkan/suitability.h"

#include <gtest/gtest.h>

#include <functional>

namespace lapilli::test {
namespace {

// A device with exactly what is needed.
ReportedLimits sufficient() {
  return {.name = "Card",
          .api_version = VK_API_VERSION_1_3,
          .type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU,
          .buffer_device_address = true,
          .compute_queue = true,
          .subgroup_operations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_VOTE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                 VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT,
          .subgroup_stages = VK_SHADER_STAGE_COMPUTE_BIT,
          .min_subgroup_size = 8,
          .max_subgroup_size = 32,
          .required_subgroup_size_stages = VK_SHADER_STAGE_COMPUTE_BIT,
          .max_workgroup_invocations = 256,
          .max_workgroup_size_x = 256,
          .max_shared_bytes = 32768};
}

TEST(Suitability, ExactlyWhatIsNeeded_IsOffered) { EXPECT_EQ(why_unsuitable(sufficient()), std::nullopt); }

TEST(Suitability, EachThingMissing_HasItsOwnSentence) {
  struct Lack {
    std::function<void(ReportedLimits&)> take;
    std::string says;
  };
  const auto without = [](VkSubgroupFeatureFlags operation) { return [=](ReportedLimits& device) { device.subgroup_operations &= ~operation; }; };
  for (const Lack& lack : std::vector<Lack>{
           {[](ReportedLimits& device) { device.api_version = VK_MAKE_API_VERSION(0, 1, 2, 198); }, "Card has Vulkan 1.2.198, 1.3 is needed"},
           {[](ReportedLimits& device) { device.buffer_device_address = false; }, "Card has no buffer device addresses"},
           {[](ReportedLimits& device) { device.compute_queue = false; }, "Card has no compute queue"},
           {[](ReportedLimits& device) { device.subgroup_stages = VK_SHADER_STAGE_FRAGMENT_BIT; },
            "Card lacks subgroup operations in compute shaders"},
           {without(VK_SUBGROUP_FEATURE_BASIC_BIT), "Card lacks subgroup basic operations in compute shaders"},
           {without(VK_SUBGROUP_FEATURE_VOTE_BIT), "Card lacks subgroup vote in compute shaders"},
           {without(VK_SUBGROUP_FEATURE_ARITHMETIC_BIT), "Card lacks subgroup arithmetic in compute shaders"},
           {without(VK_SUBGROUP_FEATURE_BALLOT_BIT), "Card lacks subgroup ballot in compute shaders"},
           {without(VK_SUBGROUP_FEATURE_SHUFFLE_BIT), "Card lacks subgroup shuffle in compute shaders"},
           {[](ReportedLimits& device) { device.required_subgroup_size_stages = VK_SHADER_STAGE_FRAGMENT_BIT; },
            "Card has subgroups of 8 to 32 lanes, and compute shaders cannot require one of these sizes"},
           {[](ReportedLimits& device) { device.max_workgroup_invocations = 128; }, "Card has workgroups of at most 128 invocations, 256 are needed"},
           {[](ReportedLimits& device) { device.max_workgroup_size_x = 128; }, "Card has workgroups of at most 128 invocations in x, 256 are needed"},
           {[](ReportedLimits& device) { device.max_shared_bytes = 16384; }, "Card has 16 KiB of shared memory, 32 are needed"}}) {
    ReportedLimits device = sufficient();
    lack.take(device);
    EXPECT_EQ(why_unsuitable(device), lack.says);
  }
}

TEST(Suitability, OneSubgroupSize_NeedsNoPipelineThatRequiresIt) {
  ReportedLimits device = sufficient();
  device.min_subgroup_size = 32;
  device.required_subgroup_size_stages = 0;
  EXPECT_EQ(why_unsuitable(device), std::nullopt);
}

TEST(Suitability, CpuDriver_NeedsNoSharedMemoryForTiles) {
  ReportedLimits device = sufficient();
  device.type = VK_PHYSICAL_DEVICE_TYPE_CPU;
  device.max_shared_bytes = 16384;
  EXPECT_EQ(why_unsuitable(device), std::nullopt);
}

}  // namespace
}  // namespace lapilli::test
