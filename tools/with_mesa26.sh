#!/usr/bin/env bash
# Runs a program on the lavapipe of Mesa 26.1, the software driver that multiplies cooperative matrices (8 lanes wide: at 16 it
# crashes on them), under the newest validation layer. The driver comes from Debian 13's backports, unpacked into build/drivers/
# with its own C library: nothing is installed.
# Usage: tools/with_mesa26.sh PROGRAM ARGUMENT...     exit 77 when the driver cannot be had
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
mesa=$root/build/drivers/mesa-26

if [[ ! -x $mesa/run ]]; then
  "$root/tools/fetch_packages.sh" "$mesa" sid,trixie,trixie-backports mesa-vulkan-drivers/trixie-backports libvulkan1 \
    vulkan-validationlayers || exit 77
fi
library=$(find "$mesa/usr/lib" -name libvulkan_lvp.so -print -quit)
printf '{"ICD": {"api_version": "1.4.0", "library_path": "%s"}, "file_format_version": "1.0.0"}\n' "$library" >"$mesa/lvp.json"
export VK_DRIVER_FILES=$mesa/lvp.json VK_ICD_FILENAMES=$mesa/lvp.json VK_LAYER_PATH=$mesa/usr/share/vulkan/explicit_layer.d
export LP_NATIVE_VECTOR_WIDTH=${LP_NATIVE_VECTOR_WIDTH:-256}
exec "$mesa/run" "$@"
