#pragma once
// Known faults of drivers, and what we do about each. Internal to the engine.

#include <span>

#include "engine/vulkan/device_caps.h"

namespace lapilli {

struct DriverQuirk {
  const char* name;
  VkDriverId driver;
  uint32_t first_mesa, last_mesa;        // major versions of Mesa, both included
  bool (*matches)(const DeviceCaps&);    // more conditions, or null
  void (*apply)(DeviceCaps&);            // changes decisions
  const char* fault;                     // what goes wrong without it
  const char* test;                      // fails on such a driver without it
};
std::span<const DriverQuirk> driver_quirks();

// Applies those that match the device, and adds their names to caps.quirks.
void apply_quirks(DeviceCaps& caps);

}  // namespace lapilli
