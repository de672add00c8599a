#include "engine/cooperative_matrix.h"

#include "engine/physical_device.h"

namespace lapilli {

namespace {

// Of the shapes a subgroup multiplies in this type with f32 sums: 16 x 16 x 16 where there is one (what matrix units of today
// are fastest at), else the largest.
MatrixShape best_shape(const std::vector<VkCooperativeMatrixPropertiesKHR>& known, VkComponentTypeKHR factors) {
  MatrixShape best;
  for (const VkCooperativeMatrixPropertiesKHR& p : known) {
    if (p.AType != factors || p.BType != factors || p.CType != VK_COMPONENT_TYPE_FLOAT32_KHR || p.ResultType != VK_COMPONENT_TYPE_FLOAT32_KHR ||
        p.scope != VK_SCOPE_SUBGROUP_KHR || p.saturatingAccumulation)
      continue;
    const MatrixShape shape{p.MSize, p.NSize, p.KSize};
    if (shape.rows == 16 && shape.cols == 16 && shape.depth == 16) return shape;
    // The smallest tile and stage that kernels use are 32 long, and loads take 8 factors at once.
    const auto fits = [](uint32_t size) { return size % 8 == 0 && 32 % size == 0; };
    if (!fits(shape.rows) || !fits(shape.cols) || !fits(shape.depth)) continue;
    if (shape.rows * shape.cols * shape.depth > best.rows * best.cols * best.depth) best = shape;
  }
  return best;
}

}  // namespace

MatrixFeatures query_matrix_features(VkInstance instance, VkPhysicalDevice physical) {
  MatrixFeatures result;
  const bool matrix_extension = has_extension(physical, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
  const bool bfloat16_extension = has_extension(physical, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME);
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
  VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR};
  VkPhysicalDeviceVulkan12Features v12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v12};
  if (matrix_extension) v12.pNext = &matrix;
  if (bfloat16_extension) (matrix_extension ? matrix.pNext : v12.pNext) = &bfloat16;
  vkGetPhysicalDeviceFeatures2(physical, &features);
  result.cooperative_matrix = matrix.cooperativeMatrix && v12.vulkanMemoryModel;  // their SPIR-V is written for that model
  result.bfloat16 = bfloat16.shaderBFloat16Type;

  const auto list = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR>(
      vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
  if (!result.cooperative_matrix || list == nullptr) return result;
  uint32_t count = 0;
  vk_check(list(physical, &count, nullptr), "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
  std::vector<VkCooperativeMatrixPropertiesKHR> known(count, {.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
  vk_check(list(physical, &count, known.data()), "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
  result.f16 = best_shape(known, VK_COMPONENT_TYPE_FLOAT16_KHR);
  if (bfloat16.shaderBFloat16CooperativeMatrix) result.bf16 = best_shape(known, VK_COMPONENT_TYPE_BFLOAT16_KHR);
  return result;
}

MatrixRequest::MatrixRequest(const DeviceCaps& caps)
    : matrices_(caps.matrix_f16 || caps.matrix_bf16),
      bfloat16_(static_cast<bool>(caps.matrix_bf16)),
      matrix_features_{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, .cooperativeMatrix = VK_TRUE},
      bfloat16_features_{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR,
                         .shaderBFloat16Type = VK_TRUE,
                         .shaderBFloat16CooperativeMatrix = VK_TRUE} {}

void MatrixRequest::add_extensions(std::vector<const char*>& extensions) const {
  if (matrices_) extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
  if (bfloat16_) extensions.push_back(VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME);
}

void* MatrixRequest::chain(void* next) {
  if (bfloat16_) {
    bfloat16_features_.pNext = next;
    next = &bfloat16_features_;
  }
  if (matrices_) {
    matrix_features_.pNext = next;
    next = &matrix_features_;
  }
  return next;
}

}  // namespace lapilli
