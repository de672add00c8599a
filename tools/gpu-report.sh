#!/usr/bin/env bash
# A report on Lapilli on this machine's GPU, to attach to a bug or a table of results: builds, lists the devices,
# runs every bench at sizes fit for the device, plans a short training run and does it. Needs no network once built. A command that
# fails leaves its error in the report. On a CPU driver it takes about five minutes.
# Usage: tools/gpu-report.sh [--device D] [--quick] [-o FOLDER]
#   --device D  as everywhere: index, UUID or part of the name
#   --quick     tiny shapes: checks that everything runs; its times mean nothing
#   -o FOLDER   where report.md, report.json and the benches' pages go (default: build/report-<device>)
# $LAPILLI names another program than build/lapilli; nothing is built then.
set -euo pipefail

usage() {
  sed -n '/^# Usage/,/^# \$LAPILLI/s/^# \{0,1\}//p' "$0" >&2
  exit "$1"
}

device=() size='' folder=''
while (($#)); do
  case $1 in
    --device) device=(--device "${2:?--device needs a value}") && shift ;;
    --quick) size=quick ;;
    -o) folder=$(realpath -m "${2:?-o needs a folder}") && shift ;;
    -h | --help) usage 0 ;;
    *) usage 2 ;;
  esac
  shift
done

cd "$(dirname "$0")/.."
if [[ ! ${LAPILLI:-} ]]; then
  if [[ ! -x build/lapilli ]]; then
    tools/scripts/setup.sh
    tools/scripts/build.sh lapilli
  elif command -v ninja >/dev/null; then
    ninja -C build lapilli # rebuild changes; needs no network for compilers or drivers
  fi
fi
lapilli=${LAPILLI:-build/lapilli}
commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo 'not known: no git')

work=$(mktemp -d "${TMPDIR:-/tmp}/lapilli-report.XXXXXX")
trap 'rm -rf "$work"' EXIT
: >"$work/sections.md"
: >"$work/sections.json"
failures=0
kernel_statistics=VK_KHR_pipeline_executable_properties # needed by bench kernels; few CPU drivers have it

# What a report can hold of stdin: valid UTF-8, and of the control characters tabs and line ends.
only_text() { { iconv -c -f utf-8 -t utf-8 || true; } | tr -d '\000-\010\013-\037'; }

# A text from stdin as a JSON string.
json_string() {
  sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g' |
    awk 'BEGIN { printf "\"" } NR > 1 { printf "%s", "\\n" } { printf "%s", $0 } END { printf "\"" }'
}

# Runs `lapilli ARGUMENT...` as one section of both reports. Inside, the scratch folder is called "report", and a FILE that the
# command leaves there becomes the section's "result": JSON, or an array of the lines of a .jsonl.
section() { # title, FILE or '', arguments
  local title=$1 result=$2 code=0 begin=$SECONDS shown text=null page='' verdict=''
  shift 2
  shown=$(printf ' %q' "$@")
  shown="lapilli${shown//"$work"/report}"
  printf '== %s\n' "$shown" >&2
  timeout --kill-after=10 900 "$lapilli" "$@" >"$work/raw" 2>&1 </dev/null || code=$?
  only_text <"$work/raw" | sed "s#$work#report#g" >"$work/output"
  if ((code == 1)) && grep -q "lacks $kernel_statistics" "$work/raw"; then
    verdict='This driver cannot.'
  elif ((code != 0)); then
    verdict="Failed with exit code $code."
    failures=$((failures + 1))
    printf '   failed with exit code %d\n' "$code" >&2
  elif [[ $result == *.jsonl && -s $work/$result ]]; then
    text="[$(paste -sd, "$work/$result")]"
  elif [[ $result && -s $work/$result ]]; then
    text=$(<"$work/$result")
  fi
  if [[ -s $work/${result%.json}.html ]]; then page=${result%.json}.html; fi
  {
    # shellcheck disable=SC2016  # the backticks are Markdown's
    printf '\n## %s\n\n`%s`\n\n' "$title" "$shown"
    [[ ! $verdict ]] || printf '**%s**\n\n' "$verdict"
    printf '```\n'
    sed 's/```/` ` `/g' "$work/output"
    printf '```\n'
    [[ ! $page ]] || printf '\n[The same with charts](%s)\n' "$page"
  } >>"$work/sections.md"
  {
    [[ ! -s $work/sections.json ]] || printf ',\n'
    printf '{"title": %s, "command": %s, "exit_code": %d, "seconds": %d, "output": %s, "page": %s, "result": %s}' \
      "$(json_string <<<"$title")" "$(json_string <<<"$shown")" "$code" $((SECONDS - begin)) "$(json_string <"$work/output")" \
      "$([[ $page ]] && json_string <<<"$page" || printf null)" "$text"
  } >>"$work/sections.json"
}

# A bench with its figures and its page, both called NAME.
bench() { # title, NAME, bench, arguments
  section "$1" "$2.json" bench "${@:3}" --save "$work/$2.json" --html "$work/$2.html"
}

# The first value of a key in JSON as `lapilli` writes it.
value_of() { # file, key
  sed -nE "s/^ *\"$2\": (\"(.*)\"|([^\"].*[^,])),?\$/\2\3/p" "$1" 2>/dev/null | head -1 || true
}

"$lapilli" devices --json >"$work/devices.json" 2>/dev/null || true
section 'Devices' devices.json devices
ceiling_sizes=()
[[ $size != quick ]] || ceiling_sizes=(--copy-mib 8 --repeats 2)
bench 'Ceilings: multiply-adds, copies, launches' ceiling ceiling "${ceiling_sizes[@]}" "${device[@]}"

# Sizes by type and speed of the device: the benches should last seconds.
name=$(value_of "$work/ceiling.json" name)
driver=$(value_of "$work/ceiling.json" driver)
kind=$(value_of "$work/ceiling.json" type)
gflops=$(value_of "$work/ceiling.json" ceiling_gflops)
gflops=${gflops%%.*}
if [[ ! $size ]]; then
  size=small
  if [[ $kind && $kind != CPU ]]; then
    ((${gflops:-0} < 1000)) || size=medium
    ((${gflops:-0} < 8000)) || size=large
  fi
fi
model=(tools/configs/quickstart.toml)
common=("${device[@]}")
case $size in
  quick)
    common+=(--repeats 2)
    matmul=(--size 64) attention=(--batch 1 --context 32 --heads 2 --kv-heads 2 --head-width 16)
    loss=(--tokens 64 --vocab 512 --dim 16) vocabulary=400 corpus=60k steps=6
    model+=(--set model.layers=1 --set model.dim=32 --set model.heads=2 --set model.kv_heads=1 --set model.ffn_dim=64 --set model.context=32)
    ;;
  small)
    matmul=(--size 768) attention=(--batch 4 --context 256 --heads 6 --kv-heads 6 --head-width 64)
    loss=(--tokens 512 --vocab 8192 --dim 256) vocabulary=1024 corpus=2M steps=150
    ;;
  medium)
    matmul=(--size 2048) attention=(--batch 4 --context 512 --heads 12 --kv-heads 12 --head-width 64)
    loss=(--tokens 2048 --vocab 32000 --dim 512) vocabulary=4096 corpus=4M steps=500
    model+=(--set model.layers=6 --set model.dim=384 --set model.heads=6 --set model.kv_heads=6 --set model.ffn_dim=1024 --set model.context=256)
    ;;
  large)
    matmul=(--size 4096) attention=(--batch 8 --context 1024 --heads 12 --kv-heads 12 --head-width 64)
    loss=(--tokens 8192 --vocab 50257 --dim 768) vocabulary=4096 corpus=8M steps=500
    model+=(--set model.layers=12 --set model.dim=768 --set model.heads=12 --set model.kv_heads=12 --set model.ffn_dim=2048
      --set model.context=512 --set optim.lr=1e-3)
    ;;
esac

step=(step "${model[@]}" --vocab-size "$vocabulary" --profile "${common[@]}")

section 'Kernels as the driver compiles them' kernels.json bench kernels "${device[@]}" --save "$work/kernels.json"
bench 'Matrix multiplication' matmul matmul "${matmul[@]}" "${common[@]}"
bench 'Attention' attention attention "${attention[@]}" "${common[@]}"
bench 'Loss' loss loss "${loss[@]}" "${common[@]}"
bench 'A training step' step "${step[@]}" --explain
for dtype in f16 bf16; do
  grep -qs "\"matrix_$dtype\": \[" "$work/ceiling.json" || continue # not supported by the device's matrix units
  bench "Matrix multiplication in $dtype" "matmul-$dtype" matmul "${matmul[@]}" --dtype $dtype "${common[@]}"
  bench "Attention with $dtype" "attention-$dtype" attention "${attention[@]}" --dtype $dtype "${common[@]}"
  bench "Loss with $dtype" "loss-$dtype" loss "${loss[@]}" --dtype $dtype "${common[@]}"
  bench "A training step with $dtype" "step-$dtype" "${step[@]}" --set train.precision=$dtype
done
training=("${model[@]}" --set train.steps="$steps")
section 'What training will take' plan.json plan "${training[@]}" --vocab-size "$vocabulary" "${device[@]}" --save "$work/plan.json"
section 'Text to train on' '' corpus synth --bytes "$corpus" --seed 1 -o "$work/corpus.txt"
section 'Its vocabulary' '' tokenizer train --type unigram --vocab-size "$vocabulary" -i "$work/corpus.txt" -o "$work/tokenizer.model"
section 'Its tokens' '' data build --tokenizer "$work/tokenizer.model" -i "$work/corpus.txt" -o "$work/tokens"
section 'Training' run/metrics.jsonl train "${training[@]}" --set data.dir="$work/tokens" --run "$work/run" --profile 5 "${device[@]}"
"$lapilli" eval "$work/run" --data "$work/tokens" --json "${device[@]}" >"$work/eval.json" 2>/dev/null || true
section 'Evaluation' eval.json eval "$work/run" --data "$work/tokens" "${device[@]}"

version=$("$lapilli" --version 2>&1 | tail -1)
# shellcheck source=/dev/null
system=$( (. /etc/os-release && printf '%s' "$PRETTY_NAME") 2>/dev/null || uname -s)
kernel=$(uname -srm)
processor=$(sed -nE 's/^(model name|Hardware)\s*: //p' /proc/cpuinfo 2>/dev/null | head -1 || true)
processor="${processor:-$(uname -m)}, $(nproc) threads"
date=$(date -u +%Y-%m-%dT%H:%M:%SZ)
facts=(device "${name:-not known}" driver "${driver:-not known}" type "${kind:-not known}" version "$version" commit "$commit"
  system "$system" kernel "$kernel" processor "$processor" date "$date" size "$size" failures "$failures")

slug=$(tr -cs 'A-Za-z0-9\n' - <<<"${name:-unknown}" | sed 's/^-*//; s/-*$//')
folder=${folder:-build/report-$slug}
mkdir -p "$folder"
{
  printf '# Lapilli on %s\n\n| | |\n|---|---|\n' "${name:-an unknown device}"
  for ((i = 0; i < ${#facts[@]}; i += 2)); do printf '| %s | %s |\n' "${facts[i]}" "${facts[i + 1]//|/\\|}"; done
  cat "$work/sections.md"
} >"$work/report.md"
{
  printf '{'
  for ((i = 0; i < ${#facts[@]}; i += 2)); do printf '"%s": %s,\n' "${facts[i]}" "$(json_string <<<"${facts[i + 1]}")"; done
  printf '"sections": [\n'
  cat "$work/sections.json"
  printf '\n]}\n'
} >"$work/report.json"
shopt -s nullglob
files=("$work"/report.{md,json} "$work"/*.html)
mv "${files[@]}" "$folder/"
((failures == 0)) || printf '%d commands failed; the report says how\n' "$failures" >&2
printf 'report      %s\n' "${files[@]/#"$work"/$folder}"
