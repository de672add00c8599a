// lapilli devices: every Vulkan device with its capabilities and kernel class.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "tools/common/command_options.h"
#include "tools/common/console.h"
#include "tools/common/device_report.h"

namespace lapilli {

const char* device_type_name(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return "discrete GPU";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return "integrated GPU";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return "virtual GPU";
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return "CPU";
    default: return "other";
  }
}

namespace {

nlohmann::ordered_json shape_to_json(const MatrixShape& shape) {
  if (!shape) return nullptr;
  return {shape.rows, shape.cols, shape.depth};
}

}  // namespace

nlohmann::ordered_json device_to_json(const DeviceCaps& caps) {
  return {{"name", caps.name},
          {"type", device_type_name(caps.type)},
          {"driver", caps.driver},
          {"api_version", caps.api_version},
          {"uuid", caps.uuid},
          {"vendor_id", caps.vendor_id},
          {"device_id", caps.device_id},
          {"driver_version", caps.driver_version},
          {"kernel_class", to_string(caps.kernel_class)},
          {"subgroup_size", caps.subgroup_size},
          {"min_subgroup_size", caps.min_subgroup_size},
          {"max_subgroup_size", caps.max_subgroup_size},
          {"max_workgroup_invocations", caps.max_workgroup_invocations},
          {"max_shared_bytes", caps.max_shared_bytes},
          {"memory_bytes", caps.memory_bytes},
          {"available_bytes", caps.available_bytes},
          {"max_allocation_bytes", caps.max_allocation_bytes},
          {"unified_memory", caps.unified_memory},
          {"timestamp_period_ns", caps.timestamp_period_ns},
          {"int64", caps.int64},
          {"float16", caps.float16},
          {"storage16", caps.storage16},
          {"bfloat16", caps.bfloat16},
          {"cooperative_matrix", caps.cooperative_matrix},
          {"matrix_f16", shape_to_json(caps.matrix_f16)},
          {"matrix_bf16", shape_to_json(caps.matrix_bf16)},
          {"cooperative_matrix2", caps.cooperative_matrix2},
          {"workgroup_matrix_f16", shape_to_json(caps.workgroup_matrix_f16)},
          {"workgroup_matrix_bf16", shape_to_json(caps.workgroup_matrix_bf16)},
          {"max_matrix_dimension", caps.max_matrix_dimension},
          {"matrix_shared_bytes", caps.matrix_shared_bytes},
          {"quirks", caps.quirks}};
}

namespace {

std::string subgroup_text(const DeviceCaps& caps) {
  if (caps.min_subgroup_size == caps.max_subgroup_size) return fmt::format("{} lanes", caps.subgroup_size);
  return fmt::format("{} lanes ({} to {})", caps.subgroup_size, caps.min_subgroup_size, caps.max_subgroup_size);
}

std::string matrix_text(const DeviceCaps& caps) {
  const auto shape_text = [](const char* name, const MatrixShape& shape) {
    return shape ? fmt::format("{} {}x{}x{}", name, shape.rows, shape.cols, shape.depth) : fmt::format("no {}", name);
  };
  std::string text = fmt::format("{}, {}, sums in f32", shape_text("f16", caps.matrix_f16), shape_text("bf16", caps.matrix_bf16));
  if (caps.workgroup_matrix_f16 || caps.workgroup_matrix_bf16)
    text += fmt::format("; of a workgroup: multiples of {}, {}, up to {}, {} of shared memory kept for them",
                        shape_text("f16", caps.workgroup_matrix_f16), shape_text("bf16", caps.workgroup_matrix_bf16), caps.max_matrix_dimension,
                        format_bytes(caps.matrix_shared_bytes));
  return text;
}

std::string features_text(const DeviceCaps& caps) {
  const std::pair<const char*, bool> features[] = {{"int64", caps.int64},
                                                   {"float16", caps.float16},
                                                   {"16-bit storage", caps.storage16},
                                                   {"bfloat16", caps.bfloat16},
                                                   {"cooperative matrix (KHR)", caps.cooperative_matrix},
                                                   {"cooperative matrix 2 (NV)", caps.cooperative_matrix2}};
  std::string has, lacks;
  for (const auto& [name, there] : features) (there ? has : lacks) += fmt::format("{}{}", (there ? has : lacks).empty() ? "" : ", ", name);
  return fmt::format("{}{}{}", has.empty() ? "none" : has, lacks.empty() ? "" : "; not ", lacks);
}

std::string device_text(size_t index, const DeviceCaps& caps) {
  const std::pair<const char*, std::string> rows[] = {
      {"type", device_type_name(caps.type)},
      {"driver", fmt::format("{}, Vulkan {}", caps.driver, caps.api_version)},
      {"uuid", caps.uuid},
      {"kernels", caps.kernel_class == KernelClass::cpu ? "cpu (register tiles, no shared memory)" : "tiled (shared-memory tiles)"},
      {"memory", fmt::format("{}, {} free, {} in one allocation{}", format_bytes(caps.memory_bytes), format_bytes(caps.available_bytes),
                             format_bytes(caps.max_allocation_bytes), caps.unified_memory ? ", shared with the host" : "")},
      {"subgroup", subgroup_text(caps)},
      {"workgroup", fmt::format("{} invocations, {} shared memory", caps.max_workgroup_invocations, format_bytes(caps.max_shared_bytes))},
      {"features", features_text(caps)},
      {"matrices", matrix_text(caps)},
      {"quirks", caps.quirks.empty() ? "none" : fmt::format("{}", fmt::join(caps.quirks, ", "))},
      {"timestamps", caps.timestamp_period_ns > 0 ? fmt::format("{:.3g} ns a tick", caps.timestamp_period_ns) : "none"}};
  std::string text = fmt::format("{}: {}\n", index, caps.name);
  for (const auto& [name, value] : rows) text += fmt::format("   {:<11} {}\n", name, value);
  return text;
}

void list(bool as_json) {
  std::vector<std::string> refused;
  const std::vector<DeviceCaps> devices = list_devices(&refused);
  if (as_json) {
    auto array = nlohmann::ordered_json::array();
    for (size_t i = 0; i < devices.size(); ++i) {
      nlohmann::ordered_json entry{{"index", i}};
      entry.update(device_to_json(devices[i]));
      array.push_back(std::move(entry));
    }
    print(json_text(array, 2) + "\n");
    return;
  }
  for (size_t i = 0; i < devices.size(); ++i) print(device_text(i, devices[i]));
  for (const std::string& why : refused) print(fmt::format("not offered: {}\n", why));
}

}  // namespace

void add_devices_command(Command& program) {
  Command* command = program.add_subcommand("devices", "List Vulkan devices, their capabilities and kernels");
  command->footer("--device takes the number in front of a device, its UUID or a part of its name.");
  const auto as_json = std::make_shared<bool>(false);
  command->add_flag("--json", *as_json, "Print a JSON array instead of text");
  command->callback([as_json] { list(*as_json); });
}

}  // namespace lapilli
