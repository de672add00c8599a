#!/usr/bin/env bash
# Runs a program on the lavapipe of Mesa 26.1, the software driver with cooperative matrices (8 lanes wide: at 16 it
# crashes on them), under the newest validation layer; or, with --card, on its RADV with a simulated AMD GPU
# (tests/drivers/amd_card.cpp), to compile shaders with AMD's compiler. The drivers come from Debian 13's backports, unpacked into
# build/drivers/ with their own C library: nothing is installed.
# Usage: tools/scripts/with_mesa26.sh [--card FAMILY] PROGRAM ARGUMENT...     exit 77 when the driver cannot be had
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mesa=$root/build/drivers/mesa-26

driver=lvp
if [[ ${1:-} == --card ]]; then
  driver=radeon
  export LAPILLI_AMD_CARD=$2
  shift 2
fi

# Pinned: kernels that one driver compiles right, another may not. libdrm-dev: the headers that the card is built with.
packages='mesa-vulkan-drivers/trixie-backports=26.1.6-1~bpo13+1 libvulkan1=1.4.363.0-1 vulkan-validationlayers=1.4.363.0-1 libdrm-dev=2.4.134-3'
# What was unpacked for other versions than these is replaced.
is_there() { [[ -e $mesa/usr/include/libdrm/amdgpu.h && (! -f $mesa/requested || $(<"$mesa/requested") == "$packages") ]]; }
# shellcheck disable=SC2086  # a word for each package
fetch() { is_there || "$root/tools/scripts/fetch_packages.sh" "$mesa" sid,trixie,trixie-backports $packages; }
if ! is_there; then
  mkdir -p "$root/build/drivers"
  # One process fetches, others wait. What was there before is better than nothing.
  (flock 9 && fetch) 9>"$root/build/drivers/lock" || [[ -e $mesa/usr/include/libdrm/amdgpu.h ]] || exit 77
fi

# Files are written under another name and renamed: another run may be reading them.
preload=()
if [[ $driver == radeon ]]; then
  card=$mesa/amd_card.so
  if [[ ! $card -nt $root/tests/drivers/amd_card.cpp ]]; then
    "${CXX:-c++}" -std=c++20 -O2 -Wall -Wextra -Werror -fPIC -shared -isystem "$mesa/usr/include/libdrm" -idirafter "$mesa/usr/include" \
      "$root/tests/drivers/amd_card.cpp" -o "$card.$$"
    mv -f "$card.$$" "$card"
  fi
  preload=(--preload "$card")
fi
library=$(find "$mesa/usr/lib" -name "libvulkan_$driver.so" -print -quit)
manifest=$mesa/$driver.json
printf '{"ICD": {"api_version": "1.4.0", "library_path": "%s"}, "file_format_version": "1.0.0"}\n' "$library" >"$manifest.$$"
mv -f "$manifest.$$" "$manifest"
export VK_DRIVER_FILES=$manifest VK_ICD_FILENAMES=$manifest VK_LAYER_PATH=$mesa/usr/share/vulkan/explicit_layer.d
export LP_NATIVE_VECTOR_WIDTH=${LP_NATIVE_VECTOR_WIDTH:-256}
exec "$mesa/run" "${preload[@]}" "$@"
