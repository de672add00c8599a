#!/usr/bin/env bash
# Finds the two software Vulkan drivers that tests run on, and AMD's, whose compiler needs no card, and prints them as shell
# assignments:
#   eval "$(tools/scripts/drivers.sh)"; VK_DRIVER_FILES=$LAPILLI_SWIFTSHADER_ICD build/lapilli devices
# SwiftShader has no package of its own; Debian's browser carries it. One file of that package is unpacked into
# build/drivers/ (no root, nothing installed). Its version cannot be pinned, for a browser's old ones leave the mirrors with every
# repair: stderr says which came. Where it cannot be had, the variable is empty and stderr says why.
set -euo pipefail
cd "$(dirname "$0")/../.."

swiftshader=$PWD/build/drivers/swiftshader

# Downloads and unpacks in a scratch folder, so that a broken download never looks like a driver.
fetch_swiftshader() {
  local scratch
  if grep -qs '^ID=ubuntu' /etc/os-release; then
    echo 'drivers: no SwiftShader: Ubuntu ships the browser that carries it as a snap' >&2
    return 1
  fi
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/lapilli-drivers.XXXXXX")
  # shellcheck disable=SC2064  # the path as it is now
  trap "rm -rf '$scratch'" EXIT
  mkdir "$scratch/lists"
  local apt=(apt-get -qq -o Acquire::Retries=3 -o APT::Sandbox::User="$(id -un)" -o Dir::State::Lists="$scratch/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
  (
    cd "$scratch"
    "${apt[@]}" update && "${apt[@]}" download chromium-common && dpkg -x chromium-common_*.deb .
  ) >"$scratch/log" 2>&1 || true
  if [[ ! -e $scratch/usr/lib/chromium/libvk_swiftshader.so ]]; then
    printf 'drivers: no SwiftShader: package chromium-common cannot be had from this system (%s)\n' \
      "$(grep '^E: ' "$scratch/log" | tail -1 || true)" >&2
    return 1
  fi
  printf 'drivers: SwiftShader is that of %s\n' "$(cd "$scratch" && printf '%s ' chromium-common_*.deb)" >&2
  mkdir -p "$swiftshader"
  cp "$scratch"/usr/lib/chromium/{libvk_swiftshader.so,vk_swiftshader_icd.json} "$swiftshader"
}

first_file() { # the first argument that is a file, or nothing
  local path
  for path in "$@"; do
    if [[ -f $path ]]; then
      printf '%s' "$path"
      return
    fi
  done
}

if [[ ! -f $swiftshader/vk_swiftshader_icd.json ]]; then fetch_swiftshader || true; fi
printf 'export LAPILLI_LAVAPIPE_ICD=%q\n' "$(first_file /{usr/share,etc}/vulkan/icd.d/lvp_icd*.json)"
printf 'export LAPILLI_SWIFTSHADER_ICD=%q\n' "$(first_file "$swiftshader/vk_swiftshader_icd.json")"
printf 'export LAPILLI_RADV_ICD=%q\n' "$(first_file /{usr/share,etc}/vulkan/icd.d/radeon_icd*.json)"
