#!/usr/bin/env bash
# Configures and builds everything into build/.  Usage: tools/scripts/build.sh [NINJA_TARGET...]   (default: all)
set -euo pipefail
cd "$(dirname "$0")/../.."

configure=(-S . -B build -G Ninja -DLAPILLI_WERROR="${LAPILLI_WERROR:-OFF}")
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 # share the cache between clones
export CCACHE_SLOPPINESS=pch_defines,time_macros # else nothing with a precompiled header is cached
if command -v ccache >/dev/null; then configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi

tools/scripts/compiler.sh
cmake "${configure[@]}" >/dev/null
ninja -C build -j "$(nproc)" "$@"
