#!/usr/bin/env bash
# Builds the tests that need no device with a sanitizer and runs them.
# Usage: tests/sanitizers.sh asan     addresses and undefined behaviour: files, formats, parsers, tokenizers, shards
#        tests/sanitizers.sh tsan     data races: loader, prefetcher, log, checkpoint writer, thread pool
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

run() {
  local program=$1
  shift
  nice build/"$sanitizer"/"$program" --gtest_brief=1 "$@"
}
case $sanitizer in
asan)
  nice tools/scripts/build.sh --preset asan host_tests tokenizer_tests tool_tests >"$probe/log" || { cat "$probe/log"; exit 1; }
  # Death tests fork and abort, which is what they are for.
  run host_tests
  run tokenizer_tests --gtest_filter=-*DeathTest*
  run tool_tests
  ;;
tsan)
  nice tools/scripts/build.sh --preset tsan host_tests tokenizer_tests >"$probe/log" || { cat "$probe/log"; exit 1; }
  export TSAN_OPTIONS=halt_on_error=1
  run host_tests --gtest_filter='CheckpointWriter*:RunFolder*:ThreadPool*:LockFile*:MappedFile*'
  run tokenizer_tests --gtest_filter='Prefetcher*:BatchStream*'
  ;;
esac
