#!/usr/bin/env bash
# Builds the fuzzers (clang with libFuzzer) into build/fuzz and runs each: one process a parser, as many at once as there are cores.
# Usage: tools/scripts/fuzz.sh [SECONDS] [PARSER...]   default: 600 seconds each, all parsers
# Inputs grow in build/fuzz/corpus/PARSER; what crashes is left as build/fuzz/PARSER.crash-*: put it into tests/fuzz/corpus/PARSER, where a test
# replays it. Exit 1 when a parser crashed.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-600}
shift || true
all=(shard state safetensors tokenizer tuning cache config nats metrics dataset tokens hfconfig bytebpe gguf)
parsers=("${@:-${all[@]}}")
targets=()
for parser in "${parsers[@]}"; do targets+=("fuzz_$parser"); done
tools/scripts/build.sh --preset fuzz "${targets[@]}"

fuzz() {
  local parser=$1 corpus=build/fuzz/corpus/$1
  mkdir -p "$corpus"
  LAPILLI_SEEDS=$corpus build/fuzz/"fuzz_$parser" >/dev/null 2>&1
  local kept=()
  if [[ -d tests/fuzz/corpus/$parser ]]; then kept=("tests/fuzz/corpus/$parser"); fi
  # Leaks are looked for by the tests; here they would be those of an input that was refused.
  if ASAN_OPTIONS=allocator_may_return_null=1 build/fuzz/"fuzz_$parser" -max_total_time="$2" -max_len=16384 -rss_limit_mb=4096 -timeout=30 \
    -artifact_prefix="build/fuzz/$parser." "$corpus" "${kept[@]}" >"build/fuzz/$parser.log" 2>&1; then
    printf '%-12s %s\n' "$parser" "$(grep -E '^Done' "build/fuzz/$parser.log")"
  else
    printf '%-12s CRASHED: build/fuzz/%s.log\n' "$parser" "$parser"
    return 1
  fi
}
export -f fuzz
printf '%s\n' "${parsers[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {} '"$seconds"
