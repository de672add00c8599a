#!/usr/bin/env bash
# From a new machine to a trained language model: installs missing packages, builds, trains on a synthetic text whose
# entropy is known, and shows what was learned. Data is made once; every call trains in a new folder under runs/.
# Usage: tools/quickstart.sh [TRAIN_OPTION...]   such as --device 1 or --set train.steps=500
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# The value of a number in one line of metrics.jsonl, or nothing.
field() { sed -nE "s/.*\"$1\": *(-?[0-9][-+0-9.eE]*).*/\1/p"; }

event() { grep -E "\"event\": *\"$1\"" "$run/metrics.jsonl" || true; }

tools/scripts/setup.sh
tools/scripts/build.sh lapilli
lapilli=build/lapilli

corpus_bytes=4000000
vocab_size=1024
data=runs/quickstart/data-$corpus_bytes-$vocab_size
if [[ ! -f $data/complete ]]; then
  say 'making text, vocabulary and token shards'
  rm -rf "$data"
  mkdir -p "$data"
  $lapilli corpus synth --bytes $corpus_bytes --seed 1 -o "$data/corpus.txt"
  $lapilli tokenizer train --type unigram --vocab-size $vocab_size -i "$data/corpus.txt" -o "$data/tokenizer.model"
  $lapilli data build --tokenizer "$data/tokenizer.model" -i "$data/corpus.txt" -o "$data/tokens"
  touch "$data/complete"
fi

number=1
while [[ -e runs/quickstart/$number ]]; do number=$((number + 1)); done
run=runs/quickstart/$number

say "training into $run (Ctrl-C stops early and keeps what was learned)"
$lapilli train tools/configs/quickstart.toml --set data.dir="$data/tokens" --run "$run" "$@"

say 'exact evaluation over the whole validation split'
$lapilli eval "$run" --data "$data/tokens" --split val

say 'a sample'
$lapilli generate "$run" --prompt 'The ' --tokens 120 --temperature 0.8 --seed 1

say 'what happened'
init=$(event init)
printf 'loss before training  %.3f nats; a uniform guess over %s tokens has ln|V| = %.3f\n' \
  "$(field loss <<<"$init")" "$(field vocab_size <<<"$init")" "$(field ln_vocab <<<"$init")"
while IFS= read -r line; do
  printf 'step %6d           validation loss %.3f, perplexity %.2f\n' \
    "$(field step <<<"$line")" "$(field loss <<<"$line")" "$(field perplexity <<<"$line")"
done < <(event val)
floor=$(field source_entropy <<<"$init")
if [[ $floor ]]; then printf 'the text itself       %.3f nats: no model does better for long\n' "$floor"; fi
printf '\nfiles: %s/ holds config.toml, tokenizer.model, metrics.jsonl, log.txt and checkpoints/\n' "$run"
printf 'next:  build/lapilli generate %s --prompt "Once upon a time"    build/lapilli train CONFIG.toml ... (README)\n' "$run"
