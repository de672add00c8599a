#!/usr/bin/env bash
# Unpacks one Python package with programs that only judge the code, of exactly this version, into a folder: nothing is installed, and
# Lapilli itself needs none of it.
# Usage: tools/scripts/fetch_wheel.sh DIR PACKAGE VERSION     exit 1, with the reason, when it cannot be had; then there is no DIR
set -euo pipefail
target=$1 package=$2 version=$3

die() {
  printf 'fetch: %s %s cannot be had: %s\n' "$package" "$version" "$1" >&2
  exit 1
}

python=
for candidate in python3 /usr/bin/python3; do
  if "$candidate" -m pip --version >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
[[ $python ]] || die 'no python3 with pip (Debian, Ubuntu: apt install python3-pip)'

mkdir -p "$(dirname "$target")"
scratch=$(mktemp -d "$(realpath "$(dirname "$target")")/unpack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
if ! "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --target "$scratch/root" \
  "$package==$version" >"$scratch/log" 2>&1; then
  reason=$(grep '^ERROR: ' "$scratch/log" | head -1) || reason='pip gave no reason'
  die "${reason#ERROR: }"
fi
rm -rf "$target"
mv "$scratch/root" "$target"
