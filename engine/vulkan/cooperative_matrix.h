#pragma once
// Cooperative matrices: the shapes a device supports, and the features to enable. Internal to the engine.

#include <vector>

#include "engine/vulkan/device_caps.h"

namespace lapilli {

struct MatrixFeatures {
  bool cooperative_matrix = false, bfloat16 = false;
  MatrixShape f16, bf16;  // per subgroup, with f32 accumulators
  // VK_NV_cooperative_matrix2, as in DeviceCaps.
  bool cooperative_matrix2 = false;
  MatrixShape workgroup_f16, workgroup_bf16;
  uint32_t max_dimension = 0, shared_bytes = 0;
};
MatrixFeatures query_matrix_features(VkInstance instance, VkPhysicalDevice physical);

// The extensions and features for vkCreateDevice that `caps` reports. Must outlive the call.
class MatrixRequest {
 public:
  explicit MatrixRequest(const DeviceCaps& caps);
  MatrixRequest(const MatrixRequest&) = delete;
  MatrixRequest& operator=(const MatrixRequest&) = delete;

  void add_extensions(std::vector<const char*>& extensions) const;
  // Puts its features in front of a pNext chain.
  void* chain(void* next);

 private:
  bool matrices_, bfloat16_, workgroup_matrices_;
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix_features_{};
  VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16_features_{};
  VkPhysicalDeviceCooperativeMatrix2FeaturesNV workgroup_features_{};
};

}  // namespace lapilli
