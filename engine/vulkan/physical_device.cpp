#include "engine/vulkan/physical_device.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "engine/vulkan/cooperative_matrix.h"
#include "engine/vulkan/device_policy.h"
#include "engine/vulkan/driver_quirks.h"
#include "engine/vulkan/suitability.h"

namespace lapilli {

namespace {

std::vector<VkExtensionProperties> extensions_of(VkPhysicalDevice physical) {
  uint32_t count = 0;
  vk_check(vkEnumerateDeviceExtensionProperties(physical, nullptr, &count, nullptr), "vkEnumerateDeviceExtensionProperties");
  std::vector<VkExtensionProperties> extensions(count);
  vk_check(vkEnumerateDeviceExtensionProperties(physical, nullptr, &count, extensions.data()), "vkEnumerateDeviceExtensionProperties");
  return extensions;
}

std::string format_uuid(const uint8_t (&uuid)[VK_UUID_SIZE]) {
  std::string text;
  for (const uint8_t byte : uuid) text += fmt::format("{:02x}", byte);
  return text;
}

std::string format_version(uint32_t version) {
  return fmt::format("{}.{}.{}", VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version), VK_API_VERSION_PATCH(version));
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// The index of the largest heap that kernels use at full speed.
uint32_t arena_heap(const VkPhysicalDeviceMemoryProperties& memory) {
  uint32_t best = 0;
  for (uint32_t i = 0; i < memory.memoryHeapCount; ++i) {
    const bool local = (memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
    const bool best_local = (memory.memoryHeaps[best].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
    if (local > best_local || (local == best_local && memory.memoryHeaps[i].size > memory.memoryHeaps[best].size)) best = i;
  }
  return best;
}

}  // namespace

bool has_extension(VkPhysicalDevice physical, const char* name) {
  return std::ranges::any_of(extensions_of(physical), [&](const VkExtensionProperties& e) { return std::strcmp(e.extensionName, name) == 0; });
}

uint32_t find_compute_queue_family(VkPhysicalDevice physical) {
  uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families.data());
  uint32_t found = UINT32_MAX;
  for (uint32_t i = 0; i < count; ++i) {
    if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) continue;
    // Prefer a queue with timestamps to a dedicated compute queue.
    if (found == UINT32_MAX || families[found].timestampValidBits < families[i].timestampValidBits) found = i;
  }
  return found;
}

std::optional<std::string> why_unusable(VkPhysicalDevice physical) {
  VkPhysicalDeviceProperties core;
  vkGetPhysicalDeviceProperties(physical, &core);
  ReportedLimits limits{.name = core.deviceName, .api_version = core.apiVersion, .type = core.deviceType};
  if (core.apiVersion < VK_API_VERSION_1_3) return why_unsuitable(limits);  // it does not know the structures below
  VkPhysicalDeviceVulkan13Properties p13{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
  VkPhysicalDeviceVulkan11Properties p11{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, .pNext = &p13};
  VkPhysicalDeviceProperties2 properties{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &p11};
  vkGetPhysicalDeviceProperties2(physical, &properties);
  VkPhysicalDeviceVulkan12Features f12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &f12};
  vkGetPhysicalDeviceFeatures2(physical, &features);
  limits.buffer_device_address = f12.bufferDeviceAddress == VK_TRUE;
  limits.compute_queue = find_compute_queue_family(physical) != UINT32_MAX;
  limits.subgroup_operations = p11.subgroupSupportedOperations;
  limits.subgroup_stages = p11.subgroupSupportedStages;
  limits.min_subgroup_size = p13.minSubgroupSize;
  limits.max_subgroup_size = p13.maxSubgroupSize;
  limits.required_subgroup_size_stages = p13.requiredSubgroupSizeStages;
  limits.max_workgroup_invocations = core.limits.maxComputeWorkGroupInvocations;
  limits.max_workgroup_size_x = core.limits.maxComputeWorkGroupSize[0];
  limits.max_shared_bytes = core.limits.maxComputeSharedMemorySize;
  return why_unsuitable(limits);
}

uint64_t query_available_bytes(VkPhysicalDevice physical) {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  VkPhysicalDeviceMemoryProperties2 memory{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
  vkGetPhysicalDeviceMemoryProperties2(physical, &memory);
  // Mesa's RADV without a GPU has no memory, and crashes for some chip families when queried for a budget.
  if (memory.memoryProperties.memoryHeaps[arena_heap(memory.memoryProperties)].size == 0) return 0;
  const bool known = has_extension(physical, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (known) memory.pNext = &budget;
  vkGetPhysicalDeviceMemoryProperties2(physical, &memory);
  const uint32_t heap = arena_heap(memory.memoryProperties);
  if (!known) return memory.memoryProperties.memoryHeaps[heap].size;
  const uint64_t total = budget.heapBudget[heap], used = budget.heapUsage[heap];
  return total > used ? total - used : 0;
}

DeviceCaps query_caps(VkInstance instance, VkPhysicalDevice physical) {
  VkPhysicalDeviceVulkan11Properties p11{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
  VkPhysicalDeviceVulkan12Properties p12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES, .pNext = &p11};
  VkPhysicalDeviceVulkan13Properties p13{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES, .pNext = &p12};
  VkPhysicalDeviceProperties2 p{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &p13};
  vkGetPhysicalDeviceProperties2(physical, &p);

  VkPhysicalDeviceVulkan11Features f11{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceVulkan12Features f12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &f11};
  VkPhysicalDeviceFeatures2 f{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &f12};
  vkGetPhysicalDeviceFeatures2(physical, &f);

  VkPhysicalDeviceMemoryProperties memory;
  vkGetPhysicalDeviceMemoryProperties(physical, &memory);

  const VkPhysicalDeviceProperties& core = p.properties;
  DeviceCaps caps;
  caps.name = core.deviceName;
  caps.driver = fmt::format("{} {}", p12.driverName, p12.driverInfo);
  caps.api_version = format_version(core.apiVersion);
  caps.uuid = format_uuid(p11.deviceUUID);
  caps.type = core.deviceType;
  caps.vendor_id = core.vendorID;
  caps.device_id = core.deviceID;
  caps.driver_version = core.driverVersion;
  caps.driver_id = p12.driverID;
  const char* mesa = std::strstr(p12.driverInfo, "Mesa ");
  if (mesa != nullptr) caps.mesa_version = static_cast<uint32_t>(std::atoi(mesa + 5));
  caps.subgroup_size = p11.subgroupSize;
  caps.min_subgroup_size = p13.minSubgroupSize;
  caps.max_subgroup_size = p13.maxSubgroupSize;
  caps.max_workgroup_invocations = core.limits.maxComputeWorkGroupInvocations;
  caps.max_groups_x = core.limits.maxComputeWorkGroupCount[0];
  caps.max_shared_bytes = core.limits.maxComputeSharedMemorySize;
  caps.max_allocation_bytes = std::min<uint64_t>(p11.maxMemoryAllocationSize, p13.maxBufferSize);
  caps.memory_bytes = memory.memoryHeaps[arena_heap(memory)].size;
  caps.available_bytes = query_available_bytes(physical);
  caps.timestamp_period_ns = static_cast<double>(core.limits.timestampPeriod);
  uint32_t family_count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &family_count, nullptr);
  std::vector<VkQueueFamilyProperties> families(family_count);
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &family_count, families.data());
  const uint32_t family = find_compute_queue_family(physical);
  caps.timestamp_bits = family < family_count ? families[family].timestampValidBits : 0;
  if (caps.timestamp_bits == 0) caps.timestamp_period_ns = 0;
  caps.int64 = f.features.shaderInt64;
  caps.float16 = f12.shaderFloat16;
  caps.storage16 = f11.storageBuffer16BitAccess;
  caps.has_shader_objects = has_extension(physical, VK_EXT_SHADER_OBJECT_EXTENSION_NAME);
  const MatrixFeatures matrices = query_matrix_features(instance, physical);
  caps.bfloat16 = matrices.bfloat16;
  caps.cooperative_matrix = matrices.cooperative_matrix;
  caps.cooperative_matrix2 = matrices.cooperative_matrix2;
  caps.max_matrix_dimension = matrices.max_dimension;
  caps.matrix_shared_bytes = matrices.shared_bytes;
  apply_policy(caps, matrices);
  apply_quirks(caps);
  return caps;
}

VkPhysicalDevice choose_physical_device(VkInstance instance, const std::vector<VkPhysicalDevice>& usable, const std::string& selector) {
  std::vector<DeviceCaps> caps;
  for (const VkPhysicalDevice physical : usable) caps.push_back(query_caps(instance, physical));
  if (selector.empty()) {
    const auto best = std::ranges::max_element(caps, {}, [](const DeviceCaps& c) { return device_preference(c.type); });
    return usable[static_cast<size_t>(best - caps.begin())];
  }
  const bool is_index = std::ranges::all_of(selector, [](unsigned char c) { return std::isdigit(c); }) && selector.size() < 4;
  std::string known;
  for (size_t i = 0; i < usable.size(); ++i) {
    if (is_index ? std::stoul(selector) == i : caps[i].uuid == lower(selector) || lower(caps[i].name).find(lower(selector)) != std::string::npos)
      return usable[i];
    known += fmt::format("{}{}: {}", i == 0 ? "" : ", ", i, caps[i].name);
  }
  throw Error("no Vulkan device matches '{}'; there is {}", selector, known);
}

}  // namespace lapilli
