#!/usr/bin/env bash
# Formats the tracked C++ files in place, by .clang-format and with one version of clang-format, unpacked into build/judges/: the same result
# on every system. Shaders are left out: clang-format takes [[unroll]] for an end of a line.
# Usage: tools/scripts/format.sh            formats
#        tools/scripts/format.sh --check    prints what would change as a diff; exit 1 where something would, 77 when clang-format cannot be had
set -euo pipefail
cd "$(dirname "$0")/../.."
version=20.1.8
last_column=147 # of a comment, see .clang-format

case ${1:-} in
  '' | --check) ;;
  *)
    sed -n '2,/^set/{/^#/p}' "$0" >&2
    exit 2
    ;;
esac

folder=build/judges/clang-format-$version
program=$folder/clang_format/data/bin/clang-format
fetch() { [[ -x $program ]] || tools/scripts/fetch_wheel.sh "$folder" clang-format $version; }
mkdir -p build/judges
if ! (flock 9 && fetch) 9>build/judges/lock; then # one process fetches, others wait
  if [[ ${CI:-} ]]; then exit 1; fi
  echo "format: nothing was checked: clang-format $version cannot be had"
  exit 77
fi

if ! listed=$(git -c safe.directory='*' ls-files '*.cpp' '*.h'); then
  echo 'format: nothing was checked: this is no git checkout'
  exit 77
fi
files=()
while IFS= read -r file; do
  if [[ -f $file ]]; then files+=("$file"); fi
done <<<"$listed"

# In a copy, and what differs is copied back: files that are formatted keep their times, and nothing is compiled again.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/lapilli-format.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
tar cf - .clang-format "${files[@]}" | tar xf - -C "$scratch"
(cd "$scratch" && "$OLDPWD/$program" -i "${files[@]}")

changed=0
for file in "${files[@]}"; do
  cmp -s "$file" "$scratch/$file" && continue
  changed=$((changed + 1))
  if [[ ${1:-} == --check ]]; then
    diff -u --label "a/$file" --label "b/$file" "$file" "$scratch/$file" || true
  else
    cat "$scratch/$file" >"$file"
  fi
done
long=$(awk -v last=$last_column 'length > last && /\/\/[^"]*$/ { printf "%s:%d: a comment ends behind column %d\n", FILENAME, FNR, last }' "${files[@]}")
if [[ $long ]]; then printf '%s\n' "$long"; fi

if [[ ${1:-} != --check ]]; then
  printf 'format: clang-format %s changed %d of %d files\n' $version $changed ${#files[@]}
elif ((changed)) || [[ $long ]]; then
  printf 'format: clang-format %s would change %d of %d files; tools/scripts/format.sh does\n' $version $changed ${#files[@]}
  exit 1
else
  printf 'format: %d files are as clang-format %s has them\n' ${#files[@]} $version
fi
