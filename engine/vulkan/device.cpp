#include "engine/vulkan/device.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include "engine/base/environment.h"
#include "engine/base/log.h"
#include "engine/vulkan/cooperative_matrix.h"
#include "engine/vulkan/device_policy.h"
#include "engine/vulkan/physical_device.h"

namespace lapilli {

const char* vk_result_name(VkResult result) {
  switch (result) {
    case VK_SUCCESS: return "VK_SUCCESS";
    case VK_TIMEOUT: return "VK_TIMEOUT";
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "out of device memory";
    case VK_ERROR_DEVICE_LOST: return "the device was lost (driver crash, or a watchdog ended work that ran too long)";
    case VK_ERROR_INITIALIZATION_FAILED: return "initialization failed";
    case VK_ERROR_LAYER_NOT_PRESENT: return "a layer is not installed";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "an extension is missing";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "a feature is missing";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "no compatible driver";
    default: return "unexpected result";
  }
}

void vk_check(VkResult result, const char* call) {
  if (result >= 0) return;
  const std::string sentence = fmt::format("Vulkan: {} failed: {} ({})", call, vk_result_name(result), static_cast<int>(result));
  if (result == VK_ERROR_DEVICE_LOST) throw DeviceLost(sentence);
  throw Error(sentence);
}

namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

bool has_layer(const char* name) {
  uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  return std::ranges::any_of(layers, [&](const VkLayerProperties& l) { return std::strcmp(l.layerName, name) == 0; });
}

VKAPI_ATTR VkBool32 VKAPI_CALL count_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                             const VkDebugUtilsMessengerCallbackDataEXT* data, void* counter) {
  ++*static_cast<std::atomic<uint64_t>*>(counter);
  log_message(LogLevel::error, "validation: {}", data->pMessage);
  return VK_FALSE;
}

VkDebugUtilsMessengerCreateInfoEXT messenger_info(std::atomic<uint64_t>* counter) {
  return {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
          .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
          .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
          .pfnUserCallback = count_message,
          .pUserData = counter};
}

constexpr const char* kNoDriver =
    "no Vulkan device was found; install your GPU's Vulkan driver, or Mesa's, which also runs on a plain CPU "
    "(Debian, Ubuntu: apt install mesa-vulkan-drivers)";

// `validation_counter` enables the validation layer.
VkInstance create_instance(std::atomic<uint64_t>* validation_counter) {
  const VkApplicationInfo application{.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "lapilli", .apiVersion = VK_API_VERSION_1_3};
  const VkValidationFeatureEnableEXT enabled[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
  VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(validation_counter);
  const VkValidationFeaturesEXT features{.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                         .pNext = &messenger,
                                         .enabledValidationFeatureCount = 1,
                                         .pEnabledValidationFeatures = enabled};
  const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  VkInstanceCreateInfo info{.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
  if (validation_counter != nullptr) {
    if (!has_layer(kValidationLayer))
      throw Error(
          "the Khronos validation layer is requested but not installed (Debian, Ubuntu: apt install "
          "vulkan-validationlayers)");
    info.pNext = &features;
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &kValidationLayer;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &extension;
  }
  VkInstance instance = VK_NULL_HANDLE;
  const VkResult result = vkCreateInstance(&info, nullptr, &instance);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) throw Error(kNoDriver);
  vk_check(result, "vkCreateInstance");
  return instance;
}

std::vector<VkPhysicalDevice> usable_devices(VkInstance instance, std::vector<std::string>* refused = nullptr) {
  uint32_t count = 0;
  vk_check(vkEnumeratePhysicalDevices(instance, &count, nullptr), "vkEnumeratePhysicalDevices");
  std::vector<VkPhysicalDevice> all(count), usable;
  vk_check(vkEnumeratePhysicalDevices(instance, &count, all.data()), "vkEnumeratePhysicalDevices");
  std::vector<std::string> reasons;
  for (const VkPhysicalDevice physical : all) {
    if (auto reason = why_unusable(physical)) reasons.push_back(std::move(*reason));
    else usable.push_back(physical);
  }
  if (all.empty()) throw Error(kNoDriver);
  if (usable.empty()) throw Error("no Vulkan device here can run Lapilli: {}", fmt::join(reasons, "; "));
  if (refused != nullptr) *refused = std::move(reasons);
  return usable;
}

void require_pipeline_statistics(VkInstance instance, VkPhysicalDevice physical) {
  if (has_extension(physical, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME)) return;
  const DeviceCaps caps = query_caps(instance, physical);
  throw Error("the driver of {} ({}) reports no statistics of compiled kernels: it lacks {}", caps.name, caps.driver,
              VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
}

// Validation layers older than shader objects report a dispatch with one as a dispatch without a pipeline.
bool is_validated(VkInstance instance, VkPhysicalDevice physical) {
  // Some versions of the layer support only the older name.
  constexpr const char* kName = "vkGetPhysicalDeviceToolPropertiesEXT";
  const auto get = reinterpret_cast<PFN_vkGetPhysicalDeviceToolPropertiesEXT>(vkGetInstanceProcAddr(instance, kName));
  if (get == nullptr) return true;
  uint32_t count = 0;
  vk_check(get(physical, &count, nullptr), kName);
  std::vector<VkPhysicalDeviceToolProperties> tools(count, {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TOOL_PROPERTIES});
  vk_check(get(physical, &count, tools.data()), kName);
  return std::ranges::any_of(tools, [](const auto& tool) { return (tool.purposes & VK_TOOL_PURPOSE_VALIDATION_BIT) != 0; });
}

constexpr const char* kKhrCalibratedTimestamps = "VK_KHR_calibrated_timestamps";  // younger than the headers we build with

// The extension that reads both clocks at once, under its newer name or its older one, if the device has it for the clock of
// std::chrono::steady_clock, CLOCK_MONOTONIC; else null.
const char* calibrated_timestamps_extension(VkInstance instance, VkPhysicalDevice physical) {
  const std::pair<const char*, const char*> names[] = {
      {kKhrCalibratedTimestamps, "vkGetPhysicalDeviceCalibrateableTimeDomainsKHR"},
      {VK_EXT_CALIBRATED_TIMESTAMPS_EXTENSION_NAME, "vkGetPhysicalDeviceCalibrateableTimeDomainsEXT"}};
  for (const auto& [extension, function] : names) {
    if (!has_extension(physical, extension)) continue;
    const auto list = reinterpret_cast<PFN_vkGetPhysicalDeviceCalibrateableTimeDomainsEXT>(vkGetInstanceProcAddr(instance, function));
    if (list == nullptr) continue;
    uint32_t count = 0;
    if (list(physical, &count, nullptr) != VK_SUCCESS) continue;
    std::vector<VkTimeDomainEXT> domains(count);
    if (list(physical, &count, domains.data()) != VK_SUCCESS) continue;
    const auto has = [&](VkTimeDomainEXT domain) { return std::ranges::find(domains, domain) != domains.end(); };
    if (has(VK_TIME_DOMAIN_DEVICE_EXT) && has(VK_TIME_DOMAIN_CLOCK_MONOTONIC_EXT)) return extension;
  }
  return nullptr;
}

}  // namespace

struct Device::Validation {
  std::atomic<uint64_t> messages{0};
  VkDebugUtilsMessengerEXT messenger = VK_NULL_HANDLE;
};

std::vector<DeviceCaps> list_devices(std::vector<std::string>* refused) {
  prepare_driver_environment();
  const VkInstance instance = create_instance(nullptr);
  std::vector<DeviceCaps> found;
  try {
    for (const VkPhysicalDevice physical : usable_devices(instance, refused)) found.push_back(query_caps(instance, physical));
  } catch (...) {
    vkDestroyInstance(instance, nullptr);
    throw;
  }
  vkDestroyInstance(instance, nullptr);
  return found;
}

Device::Device(const DeviceOptions& options) {
  prepare_driver_environment();
  if (options.validation || environment("LAPILLI_VALIDATION").value_or("0") != "0") validation_ = std::make_unique<Validation>();
  instance_ = create_instance(validation_ ? &validation_->messages : nullptr);
  try {
    choose(options);
    create();
  } catch (...) {
    destroy();
    throw;
  }
}

void Device::choose(const DeviceOptions& options) {
  if (validation_) {
    const auto make = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(vkGetInstanceProcAddr(instance_, "vkCreateDebugUtilsMessengerEXT"));
    const VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(&validation_->messages);
    vk_check(make(instance_, &info, nullptr, &validation_->messenger), "vkCreateDebugUtilsMessengerEXT");
  }
  physical_ = choose_physical_device(instance_, usable_devices(instance_), options.selector);
  if (options.pipeline_statistics) require_pipeline_statistics(instance_, physical_);
  caps_ = query_caps(instance_, physical_);
  if (options.kernel_class) force_kernel_class(caps_, *options.kernel_class);
  if (options.staging) caps_.unified_memory = false;
  if (caps_.shader_objects && (options.pipeline_statistics || is_validated(instance_, physical_))) caps_.shader_objects = false;
  pipeline_statistics_ = options.pipeline_statistics;
  record_only_ = options.record_only;
  queue_family_ = find_compute_queue_family(physical_);
}

void Device::create() {
  const float priority = 1.0F;
  const VkDeviceQueueCreateInfo queue_info{
      .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = queue_family_, .queueCount = 1, .pQueuePriorities = &priority};
  VkPhysicalDeviceVulkan13Features f13{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
                                       .subgroupSizeControl = VK_TRUE,
                                       .computeFullSubgroups = VK_TRUE,
                                       .synchronization2 = VK_TRUE,
                                       .maintenance4 = VK_TRUE};
  MatrixRequest matrices(caps_);
  const bool has_matrices = caps_.matrix_f16 || caps_.matrix_bf16;
  VkPhysicalDeviceVulkan12Features f12{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                       .pNext = matrices.chain(&f13),
                                       .shaderFloat16 = static_cast<bool>(caps_.matrix_f16),
                                       .hostQueryReset = VK_TRUE,
                                       .timelineSemaphore = VK_TRUE,
                                       .bufferDeviceAddress = VK_TRUE,
                                       .vulkanMemoryModel = has_matrices};
  VkPhysicalDeviceVulkan11Features f11{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &f12, .storageBuffer16BitAccess = has_matrices};
  VkPhysicalDeviceFeatures2 features{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &f11};
  features.features.shaderInt64 = caps_.int64;
  std::vector<const char*> extensions;
  if (has_extension(physical_, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME)) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  matrices.add_extensions(extensions);
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics{
      .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, .pipelineExecutableInfo = VK_TRUE};
  if (pipeline_statistics_) {
    extensions.push_back(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    f13.pNext = &statistics;
  }
  VkPhysicalDeviceShaderObjectFeaturesEXT objects{.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_OBJECT_FEATURES_EXT, .shaderObject = VK_TRUE};
  if (caps_.shader_objects) {
    extensions.push_back(VK_EXT_SHADER_OBJECT_EXTENSION_NAME);
    f13.pNext = &objects;
  }
  const char* calibrated = calibrated_timestamps_extension(instance_, physical_);
  if (calibrated != nullptr && caps_.timestamp_period_ns > 0) extensions.push_back(calibrated);
  const VkDeviceCreateInfo info{.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                .pNext = &features,
                                .queueCreateInfoCount = 1,
                                .pQueueCreateInfos = &queue_info,
                                .enabledExtensionCount = static_cast<uint32_t>(extensions.size()),
                                .ppEnabledExtensionNames = extensions.data()};
  vk_check(vkCreateDevice(physical_, &info, nullptr, &device_), "vkCreateDevice");
  vkGetDeviceQueue(device_, queue_family_, 0, &queue_);
  if (calibrated != nullptr && caps_.timestamp_period_ns > 0) {
    const bool is_khr = std::strcmp(calibrated, kKhrCalibratedTimestamps) == 0;
    read_clocks_ = reinterpret_cast<PFN_vkGetCalibratedTimestampsEXT>(vkGetDeviceProcAddr(device_, is_khr ? "vkGetCalibratedTimestampsKHR"
                                                                                                          : "vkGetCalibratedTimestampsEXT"));
  }
}

Device::~Device() {
  CHECK(allocated_bytes_ == 0, "{} bytes of device memory outlive their device", allocated_bytes_);
  destroy();
}

void Device::destroy() {
  vkDestroyDevice(device_, nullptr);
  if (validation_ && validation_->messenger != VK_NULL_HANDLE) {
    const auto destroy = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(vkGetInstanceProcAddr(instance_, "vkDestroyDebugUtilsMessengerEXT"));
    destroy(instance_, validation_->messenger, nullptr);
  }
  vkDestroyInstance(instance_, nullptr);
}

std::optional<Device::ClockPair> Device::read_clocks() const {
  if (read_clocks_ == nullptr) return std::nullopt;
  const VkCalibratedTimestampInfoEXT clocks[] = {
      {.sType = VK_STRUCTURE_TYPE_CALIBRATED_TIMESTAMP_INFO_EXT, .timeDomain = VK_TIME_DOMAIN_DEVICE_EXT},
      {.sType = VK_STRUCTURE_TYPE_CALIBRATED_TIMESTAMP_INFO_EXT, .timeDomain = VK_TIME_DOMAIN_CLOCK_MONOTONIC_EXT}};
  uint64_t values[2] = {}, deviation_ns = 0;
  if (read_clocks_(device_, 2, clocks, values, &deviation_ns) != VK_SUCCESS) return std::nullopt;
  return ClockPair{.ticks = values[0], .host_ns = static_cast<int64_t>(values[1]), .deviation_ns = deviation_ns};
}

uint64_t Device::query_available_bytes() const { return lapilli::query_available_bytes(physical_); }

uint64_t Device::validation_messages() const { return validation_ ? validation_->messages.load() : 0; }

void Device::wait_idle() const { vk_check(vkDeviceWaitIdle(device_), "vkDeviceWaitIdle"); }

void Device::track_allocation(int64_t bytes) {
  allocated_bytes_ += static_cast<uint64_t>(bytes);
  peak_allocated_bytes_ = std::max(peak_allocated_bytes_, allocated_bytes_);
  if (bytes > 0) ++allocation_count_;
}

}  // namespace lapilli
