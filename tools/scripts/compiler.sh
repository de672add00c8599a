#!/usr/bin/env bash
# 16-bit cooperative matrices need a shader compiler with GL_KHR_cooperative_matrix, GL_NV_cooperative_matrix2
# and GL_EXT_bfloat16. Where the installed glslc does not, a newer one is unpacked into build/compiler/ (seconds, nothing is
# installed); where that cannot be had, Lapilli builds without those kernels and says so. Its version is pinned: what comes out of it is
# part of what a run repeats to the bit.
set -euo pipefail
cd "$(dirname "$0")/../.."
packages='glslc=2026.4-1 spirv-tools=2026.4~rc2-1'

knows_all() { # a glslc
  local extension
  for extension in GL_KHR_cooperative_matrix GL_NV_cooperative_matrix2 GL_EXT_bfloat16; do
    printf '#version 460\n#extension %s : require\nvoid main() {}\n' "$extension" |
      "$1" --target-env=vulkan1.3 -fshader-stage=compute -Werror -o /dev/null - 2>/dev/null || return 1
  done
}

# What was unpacked for other versions than these is replaced.
if [[ ! -f build/compiler/requested || $(<build/compiler/requested) == "$packages" ]] &&
  [[ -x build/compiler/glslc ]] && knows_all build/compiler/glslc; then exit 0; fi
if [[ ! -x build/compiler/glslc ]] && knows_all glslc; then exit 0; fi
# shellcheck disable=SC2086  # two words
tools/scripts/fetch_packages.sh build/compiler sid $packages || exit 0
for program in glslc spirv-val; do
  printf '#!/usr/bin/env bash\nhere=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)\nexec "$here/run" "$here/usr/bin/%s" "$@"\n' \
    "$program" >"build/compiler/$program"
  chmod +x "build/compiler/$program"
done
knows_all build/compiler/glslc || echo 'compiler: the newer glslc does not support cooperative matrices either' >&2
