#include "engine/vulkan/driver_quirks.h"

#include <limits>

namespace lapilli {

namespace {

constexpr uint32_t kAnyLater = std::numeric_limits<uint32_t>::max();

bool has_more_than_8_lanes(const DeviceCaps& caps) { return caps.subgroup_size > 8; }

// Others concern objects that no caps describe, and stand where these are made: Mesa's RADV without a GPU crashes for some chip families when
// it is queried for a memory budget (query_available_bytes()); validation layers that are older than shader objects report a dispatch with
// one as a dispatch without a pipeline (is_validated()).
constexpr DriverQuirk kQuirks[] = {
    {.name = "overread",
     .driver = VK_DRIVER_ID_MESA_LLVMPIPE,
     .first_mesa = 0,
     .last_mesa = kAnyLater,
     .matches = nullptr,
     .apply =
         [](DeviceCaps& caps) {
           // 16 rows of 262,144 floats; this driver commits memory only when touched.
           caps.overread_padding_bytes = 16U << 20U;
           caps.max_allocation_bytes -= caps.overread_padding_bytes;
         },
     .fault = "Mesa 26.1 runs the body of a loop once more after its end, with all lanes off, and still executes loads from a uniform address: "
              "a row or a block beyond the last",
     .test = "MatmulTuning and LossTuning on Mesa 26.1"},
    {.name = "no-64bit-loads",
     .driver = VK_DRIVER_ID_MESA_LLVMPIPE,
     .first_mesa = 26,
     .last_mesa = kAnyLater,
     .matches = nullptr,
     .apply = [](DeviceCaps& caps) { caps.fast_64bit_loads = false; },
     .fault = "aborts while compiling kernels with many 64-bit loads at 16 lanes, and is slower with them at 8",
     .test = "OddMatmul on Mesa 26.1 with LP_NATIVE_VECTOR_WIDTH=512"},
    {.name = "no-coopmat-at-16-lanes",
     .driver = VK_DRIVER_ID_MESA_LLVMPIPE,
     .first_mesa = 0,
     .last_mesa = kAnyLater,
     .matches = has_more_than_8_lanes,
     .apply = [](DeviceCaps& caps) { caps.matrix_f16 = caps.workgroup_matrix_f16 = caps.workgroup_matrix_bf16 = {}; },
     .fault = "Mesa 26.1 crashes while compiling cooperative matrices at 16 lanes; they work at 8",
     .test = "CoopmatMatmul on Mesa 26.1 with LP_NATIVE_VECTOR_WIDTH=512"},
    {.name = "no-shader-objects",
     .driver = VK_DRIVER_ID_MESA_LLVMPIPE,
     .first_mesa = 0,
     .last_mesa = 24,
     .matches = nullptr,
     .apply = [](DeviceCaps& caps) { caps.shader_objects = false; },
     .fault = "has the extension, but our kernels as shader objects are tested with 25.0 and 26.1 only",
     .test = "none: no such Mesa is at hand"},
};

}  // namespace

std::span<const DriverQuirk> driver_quirks() { return kQuirks; }

void apply_quirks(DeviceCaps& caps) {
  for (const DriverQuirk& quirk : kQuirks) {
    if (caps.driver_id != quirk.driver || caps.mesa_version < quirk.first_mesa || caps.mesa_version > quirk.last_mesa) continue;
    if (quirk.matches != nullptr && !quirk.matches(caps)) continue;
    quirk.apply(caps);
    caps.quirks.emplace_back(quirk.name);
  }
}

}  // namespace lapilli
