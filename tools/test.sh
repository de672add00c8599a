#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests: those that need no device, all on lavapipe under the Khronos validation
# layer, those of 16-bit training on Mesa 26.1's lavapipe, and again on SwiftShader, and every kernel through AMD's compiler.
# Ends with what ran and what did not; exit 0 only if nothing failed and every driver ran its minimum.
# Usage: tools/test.sh [RUN_TESTS_OPTION...]   such as --filter Loss, --part lavapipe (tests/run_tests.py --help)
# With LAPILLI_TEST_MINUTES=M all of it, installing and building included, ends after about M minutes; tests/runner/parts.py
# says how the time is spent.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/scripts/setup.sh python3 python3-pip # pip: for the pinned clang-format (tools/scripts/format.sh)
if grep -qs '^ID=debian' /etc/os-release; then # Ubuntu has no PyTorch package
  tools/scripts/setup.sh python3-torch || echo 'test: no PyTorch: the tests that let it judge will be skipped' >&2
fi
tools/scripts/build.sh
eval "$(tools/scripts/drivers.sh)"
if [[ ! $LAPILLI_LAVAPIPE_ICD ]]; then
  echo 'test: no lavapipe: install mesa-vulkan-drivers' >&2
  exit 1
fi
printf 'installed and built in %d min\n' $(((SECONDS + 30) / 60))

limit=()
if [[ ${LAPILLI_TEST_MINUTES:-} ]]; then
  left=$((LAPILLI_TEST_MINUTES * 60 - SECONDS))
  if ((left < 60)); then left=60; fi
  # A slow machine may take 25 minutes more for what every run has to test.
  limit=(--seconds "$left" --grace 1500)
fi
exec python3 tests/run_tests.py "${limit[@]}" "$@"
