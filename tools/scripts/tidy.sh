#!/usr/bin/env bash
# Runs one version of clang-tidy, unpacked into build/judges/, by .clang-tidy over the C++ files and the headers they include. It compiles
# nothing. Two cores take about ten minutes for all files; name some to be quicker.
# Usage: tools/scripts/tidy.sh [FILE...]    exit 1 with what it finds; $JOBS processes at once (default: one a core)
set -euo pipefail
cd "$(dirname "$0")/../.."
version=22.1.8

folder=build/judges/clang-tidy-$version
program=$folder/clang_tidy/data/bin/clang-tidy
[[ -x $program ]] || tools/scripts/fetch_wheel.sh "$folder" clang-tidy $version

# Commands without precompiled headers, which are for the compiler that made them.
cmake -S . -B build/tidy -G Ninja -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >/dev/null

files=("$@")
if ((! ${#files[@]})); then
  listed=$(git -c safe.directory='*' ls-files '*.cpp')
  while IFS= read -r file; do # drivers of the tests are built elsewhere
    if grep -qF "\"file\": \"$PWD/$file\"" build/tidy/compile_commands.json; then files+=("$file"); fi
  done <<<"$listed"
fi
printf 'tidy: clang-tidy %s, %d files\n' $version ${#files[@]}
if printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "${JOBS:-$(nproc)}" "$program" -p build/tidy --quiet --warnings-as-errors='*'; then
  echo 'tidy: nothing found'
else
  exit 1
fi
