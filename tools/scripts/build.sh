#!/usr/bin/env bash
# Configures and builds everything into build/.  Usage: tools/scripts/build.sh [--preset NAME] [NINJA_TARGET...]   (default: all)
# With a preset (tools/presets/: asan, tsan, debug, clang, release) into build/NAME.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=build
configure=(-S . -G Ninja -DLAPILLI_WERROR="${LAPILLI_WERROR:-OFF}")
if [[ ${1:-} == --preset ]]; then
  preset=${2:-}
  if [[ ! -f tools/presets/$preset.cmake ]]; then
    known=(tools/presets/*.cmake)
    known=("${known[@]##*/}")
    printf 'build: there is no preset "%s"; there are: %s\n' "$preset" "${known[*]%.cmake}" >&2
    exit 2
  fi
  folder=build/$preset
  configure+=(-C "tools/presets/$preset.cmake")
  shift 2
fi
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 # what one clone compiled, another need not
export CCACHE_SLOPPINESS=pch_defines,time_macros # else nothing with a precompiled header is cached
if command -v ccache >/dev/null; then configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi

tools/scripts/compiler.sh
cmake "${configure[@]}" -B "$folder" >/dev/null
ninja -C "$folder" -j "$(nproc)" "$@"
