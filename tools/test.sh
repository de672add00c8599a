#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: all of them on lavapipe under the Khronos validation layer, then
# those that need a device once more on SwiftShader, and every kernel through AMD's compiler. Ends with the totals; exit 0
# only if nothing failed.
# Usage: tools/test.sh [CTEST_OPTION...]   such as -R Loss
# With LAPILLI_TEST_MINUTES=M in the environment, SwiftShader and Mesa 26.1 get no new slice of their tests after M minutes each: an old
# processor compiles their kernels for hours. The next commit begins with another slice, and how many ran is told.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh python3
if grep -qs '^ID=debian' /etc/os-release; then # Ubuntu has no PyTorch package
  tools/setup.sh python3-torch || echo 'test: no PyTorch: the tests that let it judge will be skipped' >&2
fi
tools/build.sh
eval "$(tools/drivers.sh)"

if [[ ! $LAPILLI_LAVAPIPE_ICD ]]; then
  echo 'test: no lavapipe: install mesa-vulkan-drivers' >&2
  exit 1
fi

# Runs ctest on one driver and leaves the results in build/tests-NAME.xml. Failures are counted at the end, so that one
# driver's do not hide the other's.
run_tests() { # name, driver file, ctest options
  local name=$1 driver=$2
  shift 2
  printf '\n== tests on %s\n' "$name"
  rm -f "build/tests-$name.xml"
  VK_DRIVER_FILES=$driver VK_ICD_FILENAMES=$driver ctest --test-dir build -j "$(nproc)" --output-on-failure \
    --output-junit "tests-$name.xml" --test-output-size-passed 100000 --test-output-size-failed 100000 \
    "$@" | grep --line-buffered -vE '^ +Start +[0-9]+:| Passed +[0-9.]+ sec$' || true
}

# The layer's own switch for synchronization checks was renamed; each version reads the name it knows.
VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_VALIDATE_SYNC=true \
  VK_LAYER_ENABLES=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT \
  run_tests lavapipe "$LAPILLI_LAVAPIPE_ICD" -LE '^radv$' "$@"

minutes=${LAPILLI_TEST_MINUTES:-0} # 0: as long as it takes
# Calls its arguments with the number of a slice, 0 to $slices - 1, for all of them or while there is time.
slices=1
if ((minutes)); then slices=60; fi
run_slices() {
  local -r ends=$((SECONDS + 60 * minutes)) first=$(($(git rev-list --count HEAD 2>/dev/null || echo 0) * 7 % slices))
  local run
  for ((run = 0; run < slices; ++run)); do
    if ((minutes && SECONDS > ends)); then break; fi
    "$@" $(((first + run * 13) % slices)) # 13 and 60 have no common divisor: every slice once
  done
  if ((run < slices)); then printf '%s: %d of %d slices of its tests in %d minutes\n' "$2" "$run" "$slices" "$minutes"; fi
}

swiftshader=()
run_swiftshader() { # name, ctest options, slice
  local -r slice=${*: -1}
  swiftshader+=("build/tests-swiftshader-$slice.xml")
  run_tests "swiftshader-$slice" "$LAPILLI_SWIFTSHADER_ICD" -L '^device$' "${@:2:$#-2}" -I "$((slice + 1)),,$slices"
}
if [[ $LAPILLI_SWIFTSHADER_ICD ]]; then
  run_slices run_swiftshader swiftshader "$@"
fi

# Mesa 26.1 runs in a C library of its own, so not under ctest: GoogleTest writes the results itself, a shard a core.
mesa26=()
run_mesa26() { # name, slice
  local shard
  for ((shard = $2 * $(nproc); shard < ($2 + 1) * $(nproc); ++shard)); do
    mesa26+=("build/tests-mesa-26-$shard.xml")
    rm -f "build/tests-mesa-26-$shard.xml"
    GTEST_TOTAL_SHARDS=$((slices * $(nproc))) GTEST_SHARD_INDEX=$shard tools/with_mesa26.sh build/lapilli_tests --gtest_brief=1 \
      --gtest_output="xml:build/tests-mesa-26-$shard.xml" --gtest_filter='*oopmat*:*Training*:*Golden*:*Tuning*:LossTiles*:Distillation*' |
      grep --line-buffered -vE ': Skipped$|does not multiply' &
  done
  wait
}
if tools/with_mesa26.sh build/lapilli devices >/dev/null; then
  printf '\n== tests on mesa-26\n'
  run_slices run_mesa26 mesa-26
fi

if [[ $LAPILLI_RADV_ICD ]]; then
  # No validation layer: Debian 12's does not know the SPIR-V of cooperative matrices. Nothing runs here, and the modules were
  # validated when they were built.
  run_tests radv "$LAPILLI_RADV_ICD" -L '^radv$' "$@"
  # A line a family and Mesa, and their table under one header.
  { sed -nE 's/^.*>?(radv [a-z0-9]+: [0-9]+ kernels)/\1/p' build/tests-radv.xml; awk '/^\|/ && !printed[$0]++' build/tests-radv.xml; } || true
fi

printf '\nbuilt and tested in %d min\n' $(((SECONDS + 30) / 60))
python3 tests/totals.py lavapipe=build/tests-lavapipe.xml \
  swiftshader="$(IFS=, && printf '%s' "${swiftshader[*]}")" \
  mesa-26="$(IFS=, && printf '%s' "${mesa26[*]}")" \
  radv="${LAPILLI_RADV_ICD:+build/tests-radv.xml}"
