#!/usr/bin/env bash
# Builds the tests that need no device with a sanitizer and runs them.
# Usage: tests/sanitizers.sh asan     addresses and undefined behaviour: files, formats, parsers, tokenizers, shards
#        tests/sanitizers.sh tsan     data races: loader, prefetcher, encoder, log, checkpoint writer, thread pool
# Exit 77 where the compiler has no such sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."
sanitizer=$1

declare -A flags=([asan]=-fsanitize=address,undefined [tsan]=-fsanitize=thread)
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
if ! printf 'int main() {}\n' | c++ -x c++ "${flags[$sanitizer]}" - -o "$probe/probe" 2>/dev/null || ! "$probe/probe" >/dev/null 2>&1; then
  echo "sanitizers: the compiler here has no ${flags[$sanitizer]}, or it does not run" >&2
  exit 77
fi

# Few files, compiled once: for all of the program there are the presets asan and tsan.
folder=build/$sanitizer-host
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
build() {
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
  {
    cmake -S . -B "$folder" -G Ninja -DLAPILLI_HOST_ONLY=ON -DCMAKE_BUILD_TYPE=Debug "${launcher[@]}" \
      -DCMAKE_CXX_FLAGS="${flags[$sanitizer]} -fno-sanitize-recover=all -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS" -DCMAKE_CXX_FLAGS_DEBUG="-O0 -g1" &&
      nice ninja -C "$folder" "$@"
  } >"$probe/log" 2>&1 || {
    cat "$probe/log"
    exit 1
  }
}
run() {
  local program=$1
  shift
  nice "$folder/$program" --gtest_brief=1 "$@"
}
case $sanitizer in
asan)
  build host_tests tokenizer_tests
  run host_tests
  run tokenizer_tests --gtest_filter=-*DeathTest* # they fork and abort, which is what they are for
  ;;
tsan)
  build thread_tests
  TSAN_OPTIONS=halt_on_error=1 run thread_tests
  ;;
esac
