#include "engine/kernel/pipeline_statistics.h"

#include <algorithm>

#include "engine/vulkan/extensions.h"

namespace lapilli {

namespace {

StatisticValue value_of(const VkPipelineExecutableStatisticKHR& statistic) {
  switch (statistic.format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return statistic.value.b32 != VK_FALSE;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return statistic.value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR: return statistic.value.f64;
    default: return statistic.value.u64;
  }
}

std::vector<PipelineStatistic> statistics_of(VkDevice device, VkPipeline pipeline, uint32_t executable) {
  const auto get = load_device_function<PFN_vkGetPipelineExecutableStatisticsKHR>(device, "vkGetPipelineExecutableStatisticsKHR");
  const VkPipelineExecutableInfoKHR info{
      .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = executable};
  uint32_t count = 0;
  vk_check(get(device, &info, &count, nullptr), "vkGetPipelineExecutableStatisticsKHR");
  std::vector<VkPipelineExecutableStatisticKHR> found(count, {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR});
  vk_check(get(device, &info, &count, found.data()), "vkGetPipelineExecutableStatisticsKHR");
  std::vector<PipelineStatistic> statistics;
  for (const VkPipelineExecutableStatisticKHR& statistic : found)
    statistics.push_back({.name = statistic.name, .description = statistic.description, .value = value_of(statistic)});
  return statistics;
}

std::vector<PipelineText> texts_of(VkDevice device, VkPipeline pipeline, uint32_t executable) {
  const auto get =
      load_device_function<PFN_vkGetPipelineExecutableInternalRepresentationsKHR>(device, "vkGetPipelineExecutableInternalRepresentationsKHR");
  const VkPipelineExecutableInfoKHR info{
      .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = executable};
  uint32_t count = 0;
  vk_check(get(device, &info, &count, nullptr), "vkGetPipelineExecutableInternalRepresentationsKHR");
  std::vector<VkPipelineExecutableInternalRepresentationKHR> found(count,
                                                                   {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR});
  // The first call returns the sizes, the second writes the texts.
  vk_check(get(device, &info, &count, found.data()), "vkGetPipelineExecutableInternalRepresentationsKHR");
  std::vector<std::string> memory;
  memory.reserve(found.size());  // short strings store their text inline: they must not move
  for (auto& one : found) {
    memory.emplace_back(one.dataSize, '\0');
    one.pData = memory.back().data();
  }
  vk_check(get(device, &info, &count, found.data()), "vkGetPipelineExecutableInternalRepresentationsKHR");
  std::vector<PipelineText> texts;
  for (size_t i = 0; i < found.size(); ++i) {
    const char* text = memory[i].c_str();  // it ends with a 0
    if (found[i].isText != VK_FALSE) texts.push_back({.name = found[i].name, .text = text});
  }
  return texts;
}

}  // namespace

const StatisticValue* PipelineExecutable::find(std::string_view statistic) const {
  const auto found = std::ranges::find(statistics, statistic, &PipelineStatistic::name);
  return found == statistics.end() ? nullptr : &found->value;
}

std::vector<PipelineExecutable> read_pipeline_statistics(const Device& device, const Kernel& kernel) {
  CHECK(device.has_pipeline_statistics(), "statistics of {} from a device made without them", kernel.name());
  const auto get = load_device_function<PFN_vkGetPipelineExecutablePropertiesKHR>(device.handle(), "vkGetPipelineExecutablePropertiesKHR");
  const VkPipelineInfoKHR info{.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = kernel.compiled().pipeline};
  uint32_t count = 0;
  vk_check(get(device.handle(), &info, &count, nullptr), "vkGetPipelineExecutablePropertiesKHR");
  std::vector<VkPipelineExecutablePropertiesKHR> found(count, {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR});
  vk_check(get(device.handle(), &info, &count, found.data()), "vkGetPipelineExecutablePropertiesKHR");
  std::vector<PipelineExecutable> executables;
  for (uint32_t i = 0; i < count; ++i)
    executables.push_back({.name = found[i].name,
                           .subgroup_size = found[i].subgroupSize,
                           .statistics = statistics_of(device.handle(), kernel.compiled().pipeline, i),
                           .texts = texts_of(device.handle(), kernel.compiled().pipeline, i)});
  return executables;
}

}  // namespace lapilli
