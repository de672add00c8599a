#!/usr/bin/env bash
# Installs what building and running Lapilli needs, on Debian 12, Debian 13 and Ubuntu 24.04, as root or with sudo.
# Says nothing when nothing is missing.  Usage: tools/scripts/setup.sh [EXTRA_PACKAGE...]
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config ccache git               # build
  glslc spirv-tools                                         # shaders
  libvulkan-dev vulkan-validationlayers mesa-vulkan-drivers # Vulkan, its validation layer, and a driver that needs no GPU
  libsentencepiece-dev libprotobuf-dev                      # SentencePiece's .pc file requires protobuf's
  libpcre2-dev                                              # how byte-level BPE cuts text into words
  zlib1g-dev libzstd-dev                                    # compressed texts
  libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libxxhash-dev libtomlplusplus-dev
  libgtest-dev
)

die() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

system=unknown
if [[ -r /etc/os-release ]]; then
  # shellcheck source=/dev/null
  system=$(. /etc/os-release && printf '%s-%s' "${ID:-unknown}" "${VERSION_ID:-rolling}")
fi
case $system in # Boost.PFR came with 1.75; Debian 12's default is 1.74
  debian-12) packages+=(libboost1.81-dev) ;;
  debian-1[3-9] | debian-rolling | ubuntu-2[4-9].*) packages+=(libboost-dev) ;;
  *)
    die "this script supports Debian 12, Debian 13 and Ubuntu 24.04, not '$system'; install these yourself (Debian's names) \
and run tools/scripts/build.sh: ${packages[*]} and Boost headers 1.75 or newer"
    ;;
esac
packages+=("$@")
optional=(libjs-chart.js) # put into the program, for the charts of the pages it writes; without it they have tables only

installed=$'\n'$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" "${optional[@]}" 2>/dev/null || true)$'\n'
missing=()
for package in "${packages[@]}"; do
  [[ $installed == *$'\n'"$package installed"$'\n'* ]] || missing+=("$package")
done
missing_optional=()
for package in "${optional[@]}"; do
  [[ $installed == *$'\n'"$package installed"$'\n'* ]] || missing_optional+=("$package")
done
((${#missing[@]} + ${#missing_optional[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null || ! { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
    if ((! ${#missing[@]})); then exit 0; fi # what is missing can be done without
    die "not root and no usable sudo; have an administrator install: ${missing[*]}"
  fi
  as_root=(sudo)
fi

scratch=$(mktemp -d "${TMPDIR:-/tmp}/lapilli-setup.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
log=$scratch/log
apt_options=(-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "${apt_options[@]}" "$@" >>"$log" 2>&1; }

wanted=("${missing[@]}" "${missing_optional[@]}")
printf 'setup: installing %s\n' "${wanted[*]}"

# Lavapipe from Debian 12's backports trains twice as fast as the stock one. Apt is shown that suite, on the mirror the
# machine already uses, through a private copy of its source list: the machine's own list does not change.
if [[ $system == debian-12 && " ${missing[*]} " == *' mesa-vulkan-drivers '* ]]; then
  mirror=$(apt-get indextargets --format "\$(RELEASE) \$(REPO_URI)" 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "bookworm" { print $2; exit }')
  if [[ $mirror ]]; then
    eval "$(apt-config shell source_parts Dir::Etc::sourceparts/d)"
    mkdir "$scratch/parts" "$scratch/lists"
    find "${source_parts:?}" -maxdepth 1 \( -name '*.list' -o -name '*.sources' \) -exec cp -L -t "$scratch/parts" {} +
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s bookworm-backports main\n' "$mirror" \
      >"$scratch/parts/lapilli-backports.list"
    apt_options+=(-o Dir::Etc::SourceParts="$scratch/parts" -o Dir::State::Lists="$scratch/lists")
  fi
fi

apt update || true # one broken source must not stop us; what matters is whether the packages can be had
if [[ -d $scratch/parts ]] && apt install --simulate mesa-vulkan-drivers/bookworm-backports; then
  missing=("${missing[@]/#mesa-vulkan-drivers/mesa-vulkan-drivers/bookworm-backports}")
fi
if ((${#missing[@]})) && ! apt install --yes --no-install-recommends --no-remove "${missing[@]}"; then
  reason=$(grep '^E: ' "$log" | tail -1) || reason='it gave no reason'
  if grep -qE 'Could not (resolve|connect)|Temporary failure resolving|Network is unreachable' "$log"; then
    die "no network: apt cannot reach its package mirror; with a network, run this again, or install: ${missing[*]}"
  fi
  die "apt could not install ${missing[*]} ($reason)"
fi
if ((${#missing_optional[@]})) && ! apt install --yes --no-install-recommends --no-remove "${missing_optional[@]}"; then
  printf 'setup: %s cannot be had: pages will have no charts\n' "${missing_optional[*]}" >&2
fi
