#include "engine/vulkan/cooperative_matrix.h"

#include <numeric>

#include "engine/vulkan/physical_device.h"

namespace lapilli {

namespace {

// The best shape for a subgroup in this type with f32 accumulators: 16 x 16 x 16 if supported (fastest on today's
// matrix units), else the largest.
MatrixShape best_shape(const std::vector<VkCooperativeMatrixPropertiesKHR>& known, VkComponentTypeKHR operands) {
  MatrixShape best;
  for (const VkCooperativeMatrixPropertiesKHR& p : known) {
    if (p.AType != operands || p.BType != operands || p.CType != VK_COMPONENT_TYPE_FLOAT32_KHR || p.ResultType != VK_COMPONENT_TYPE_FLOAT32_KHR ||
        p.scope != VK_SCOPE_SUBGROUP_KHR || p.saturatingAccumulation)
      continue;
    const MatrixShape shape{p.MSize, p.NSize, p.KSize};
    if (shape.rows == 16 && shape.cols == 16 && shape.depth == 16) return shape;
    // The smallest tile and stage of our kernels are 32 long, and loads take 8 operands at once.
    const auto fits = [](uint32_t size) { return size % 8 == 0 && 32 % size == 0; };
    if (!fits(shape.rows) || !fits(shape.cols) || !fits(shape.depth)) continue;
    if (shape.rows * shape.cols * shape.depth > best.rows * best.cols * best.depth) best = shape;
  }
  return best;
}

using FlexibleDimensions = std::vector<VkCooperativeMatrixFlexibleDimensionsPropertiesNV>;

// The granularity of matrices of these types in workgroups of `threads` threads.
MatrixShape granularity(const FlexibleDimensions& known, VkComponentTypeKHR operands, VkComponentTypeKHR sums, uint32_t threads) {
  for (const VkCooperativeMatrixFlexibleDimensionsPropertiesNV& p : known)
    if (p.AType == operands && p.BType == operands && p.CType == sums && p.ResultType == sums && p.scope == VK_SCOPE_WORKGROUP_KHR &&
        !p.saturatingAccumulation && p.workgroupInvocations == threads)
      return {p.MGranularity, p.NGranularity, p.KGranularity};
  return {};
}

// The granularity that works for workgroups of 128 and of 256, with accumulators of each of the types.
MatrixShape granularity(const FlexibleDimensions& known, VkComponentTypeKHR operands, std::initializer_list<VkComponentTypeKHR> sums) {
  MatrixShape all{1, 1, 1};
  for (const VkComponentTypeKHR type : sums)
    for (const uint32_t threads : {128U, 256U}) {
      const MatrixShape shape = granularity(known, operands, type, threads);
      if (!shape) return {};
      all = {std::lcm(all.rows, shape.rows), std::lcm(all.cols, shape.cols), std::lcm(all.depth, shape.depth)};
    }
  return all;
}

void query_workgroup_matrices(VkInstance instance, VkPhysicalDevice physical, MatrixFeatures& result) {
  if (!has_extension(physical, VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME)) return;
  VkPhysicalDeviceCooperativeMatrix2FeaturesNV has{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV};
  VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &has};
  vkGetPhysicalDeviceFeatures2(physical, &features);
  VkPhysicalDeviceCooperativeMatrix2PropertiesNV limits{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_PROPERTIES_NV};
  VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &limits};
  vkGetPhysicalDeviceProperties2(physical, &properties);
  result.cooperative_matrix2 = has.cooperativeMatrixWorkgroupScope && has.cooperativeMatrixFlexibleDimensions &&
                               has.cooperativeMatrixPerElementOperations && has.cooperativeMatrixTensorAddressing && has.cooperativeMatrixReductions;
  const auto list = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV>(
      vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV"));
  if (!result.cooperative_matrix2 || list == nullptr) return;
  result.max_dimension = limits.cooperativeMatrixFlexibleDimensionsMaxDimension;
  result.shared_bytes = limits.cooperativeMatrixWorkgroupScopeReservedSharedMemory;
  if (limits.cooperativeMatrixWorkgroupScopeMaxWorkgroupSize < 256) return;
  uint32_t count = 0;
  vk_check(list(physical, &count, nullptr), "vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV");
  FlexibleDimensions known(count, {.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_FLEXIBLE_DIMENSIONS_PROPERTIES_NV});
  vk_check(list(physical, &count, known.data()), "vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV");
  // A tile of f16 is rounded as a whole; bf16 element by element (matmul_coopmat2.comp).
  result.workgroup_f16 = granularity(known, VK_COMPONENT_TYPE_FLOAT16_KHR, {VK_COMPONENT_TYPE_FLOAT32_KHR, VK_COMPONENT_TYPE_FLOAT16_KHR});
  result.workgroup_bf16 = granularity(known, VK_COMPONENT_TYPE_BFLOAT16_KHR, {VK_COMPONENT_TYPE_FLOAT32_KHR});
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
  result.cooperative_matrix = matrix.cooperativeMatrix && v12.vulkanMemoryModel;  // our SPIR-V uses that memory model
  result.bfloat16 = bfloat16.shaderBFloat16Type;

  if (result.cooperative_matrix) query_workgroup_matrices(instance, physical, result);

  const auto list = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR>(
      vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
  if (!result.cooperative_matrix || list == nullptr) return result;
  uint32_t count = 0;
  vk_check(list(physical, &count, nullptr), "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
  std::vector<VkCooperativeMatrixPropertiesKHR> known(count, {.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR});
  vk_check(list(physical, &count, known.data()), "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
  result.f16 = best_shape(known, VK_COMPONENT_TYPE_FLOAT16_KHR);
  if (bfloat16.shaderBFloat16CooperativeMatrix) result.bf16 = best_shape(known, VK_COMPONENT_TYPE_BFLOAT16_KHR);
  else result.workgroup_bf16 = {};
  return result;
}

MatrixRequest::MatrixRequest(const DeviceCaps& caps)
    : matrices_(caps.matrix_f16 || caps.matrix_bf16),
      bfloat16_(static_cast<bool>(caps.matrix_bf16)),
      workgroup_matrices_(caps.workgroup_matrix_f16 || caps.workgroup_matrix_bf16),
      matrix_features_{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR, .cooperativeMatrix = VK_TRUE},
      bfloat16_features_{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR,
                         .shaderBFloat16Type = VK_TRUE,
                         .shaderBFloat16CooperativeMatrix = VK_TRUE},
      workgroup_features_{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV,
                          .cooperativeMatrixWorkgroupScope = VK_TRUE,
                          .cooperativeMatrixFlexibleDimensions = VK_TRUE,
                          .cooperativeMatrixReductions = VK_TRUE,
                          .cooperativeMatrixPerElementOperations = VK_TRUE,
                          .cooperativeMatrixTensorAddressing = VK_TRUE} {}

void MatrixRequest::add_extensions(std::vector<const char*>& extensions) const {
  if (matrices_) extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
  if (bfloat16_) extensions.push_back(VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME);
  if (workgroup_matrices_) extensions.push_back(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME);
}

void* MatrixRequest::chain(void* next) {
  if (bfloat16_) {
    bfloat16_features_.pNext = next;
    next = &bfloat16_features_;
  }
  if (workgroup_matrices_) {
    workgroup_features_.pNext = next;
    next = &workgroup_features_;
  }
  if (matrices_) {
    matrix_features_.pNext = next;
    next = &matrix_features_;
  }
  return next;
}

}  // namespace lapilli
