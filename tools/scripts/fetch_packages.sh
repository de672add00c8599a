#!/usr/bin/env bash
# Unpacks packages of another Debian suite, with all they depend on down to the C library, into a folder: neither root nor
# a chroot, and nothing on the machine changes. Programs of it run through its own loader:
#   DIR/run PROGRAM ARGUMENT...     libraries it lacks come from the machine
# Usage: tools/scripts/fetch_packages.sh DIR SUITE[,SUITE...] NAME[/SUITE][=VERSION]...
# The suites are looked for on the mirror the machine already uses. A version that is gone from it is replaced by the newest there, with a
# message. The versions are printed to stderr and written to DIR/versions; DIR/requested has the arguments. Exit 1, with the reason, when they
# cannot be had; then DIR is as it was, so that a broken download never looks like a finished one.
set -euo pipefail
target=$1
IFS=, read -r -a suites <<<"$2"
shift 2
requested="$*"

die() {
  printf 'fetch: %s cannot be had: %s\n' "$*" "$reason" >&2
  exit 1
}

reason='this is not Debian'
grep -qs '^ID=debian' /etc/os-release || die "$@"
mirror=$(apt-get indextargets --format "\$(REPO_URI)" 'Created-By: Packages' 'Component: main' 2>/dev/null |
  awk '!/security/ { print; exit }')
reason="apt has no mirror"
[[ $mirror ]] || die "$@"

mkdir -p "$(dirname "$target")"
scratch=$(mktemp -d "$(realpath "$(dirname "$target")")/unpack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{lists,cache/archives}/partial "$scratch/root"
: >"$scratch/status"
for suite in "${suites[@]}"; do
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$suite"
done >"$scratch/sources.list"
apt_options=(-o Acquire::Retries=3 -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=1
  -o Dir::Etc::SourceList="$scratch/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o Dir::State::Lists="$scratch/lists" -o Dir::State::Status="$scratch/status" -o Dir::Cache="$scratch/cache")
apt() { apt-get -qq "${apt_options[@]}" "$@" >>"$scratch/log" 2>&1; }

# NAME[/SUITE][=VERSION] -> what apt is to install. A build that was repeated for one architecture has "+b1" behind its version.
choose() {
  local package=${1%%=*} version='' found
  if [[ $1 == *=* ]]; then version=${1#*=}; fi
  found=$(apt-cache "${apt_options[@]}" madison "${package%%/*}" 2>>"$scratch/log" |
    awk -F ' *[|] *' -v version="$version" '$2 == version || index($2, version "+b") == 1 { print $2; exit }')
  if [[ $version && $found ]]; then
    printf '%s=%s' "${package%%/*}" "$found"
  else
    if [[ $version ]]; then printf 'fetch: %s %s is gone from the mirror; the newest there is taken\n' "${package%%/*}" "$version" >&2; fi
    printf '%s' "$package"
  fi
}

download() {
  local wanted=() package
  apt update || return 1
  for package in "$@"; do wanted+=("$(choose "$package")"); done
  apt install --yes --download-only --no-install-recommends "${wanted[@]}"
}

if ! download "$@"; then
  reason=$(grep '^E: ' "$scratch/log" | tail -1) || reason='apt gave no reason'
  die "$@"
fi
for package in "$scratch"/cache/archives/*.deb; do dpkg -x "$package" "$scratch/root"; done

loader=$(cd "$scratch/root" && find usr/lib* -name 'ld-linux*.so.*' | head -1)
libraries=$(dirname "$(cd "$scratch/root" && find usr/lib -name 'libc.so.6' | head -1)")
reason='no C library among them'
[[ $loader && $libraries != . ]] || die "$@"
cat >"$scratch/root/run" <<RUN
#!/usr/bin/env bash
# Runs a program with the loader and the libraries of this folder.
here=\$(cd "\$(dirname "\${BASH_SOURCE[0]}")" && pwd)
exec "\$here/$loader" --library-path "\$here/$libraries:/$libraries" "\$@"
RUN
chmod +x "$scratch/root/run"

for package in "$@"; do
  name=${package%%[/=]*}
  dpkg-deb --show --showformat='${Package} ${Version}\n' "$scratch/cache/archives/${name}_"*.deb
done >"$scratch/root/versions"
printf '%s\n' "$requested" >"$scratch/root/requested"
rm -rf "$target"
mv "$scratch/root" "$target"
printf 'fetch: %s has %s\n' "$target" "$(paste -sd, "$target/versions" | sed 's/,/, /g')" >&2
