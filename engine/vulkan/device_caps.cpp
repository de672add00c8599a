#include "engine/vulkan/device_caps.h"

namespace lapilli {

const char* to_string(KernelClass kernel_class) {
  switch (kernel_class) {
    case KernelClass::cpu: return "cpu";
    case KernelClass::tiled: return "tiled";
    case KernelClass::coopmat: return "coopmat";
    case KernelClass::coopmat2: return "coopmat2";
  }
  return "unknown";
}

}  // namespace lapilli
