#!/usr/bin/env python3
"""Compares a training step with PyTorch's of the same shape, on the same machine: interleaved runs and their ratio.

Usage: tools/scripts/compare_torch.py CONFIG.toml --vocab-size V [--rounds 3] [--precision bf16] [--device cuda] [--compile] [--set a.b=value]...

Needs a Python with PyTorch (--python, default: the one that runs this) and build/lapilli. Both sides run forward, backward, clipping and
AdamW on random tokens; PyTorch's model is that of tests/torch/train_reference.py, whatever the configuration's norm and position are.
Prints a table, or with --json one object.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def output_of(command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"compare_torch: {' '.join(map(str, command[:4]))} ... ended with {done.returncode}")
    return json.loads(done.stdout)


def require_torch(python):
    if subprocess.run([python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode != 0:
        sys.exit(f"compare_torch: {python} has no PyTorch: name one that has, such as --python /usr/bin/python3 for Debian's python3-torch")


def run_lapilli(arguments):
    sets = [f"train.precision={arguments.precision}", *arguments.set]
    report = output_of([ROOT / "build/lapilli", "bench", "step", arguments.config, "--vocab-size", arguments.vocab_size, "--json",
                        "--seconds", arguments.seconds, *(word for value in sets for word in ("--set", value))])
    step = next(result for result in report["results"] if result["name"] == "step")
    return report["device"]["name"], report["shape"], step["median_ms"], report["ceiling_gflops"]


def run_torch(arguments, shape):
    sequences = shape["tokens_per_step"] // shape["context"]
    numbers = [shape["layers"], shape["heads"], shape["dim"], shape["context"], sequences, shape["vocab"]]
    return output_of([arguments.python, ROOT / "tests/torch/train_reference.py", "--step-only", ",".join(map(str, numbers)), "--repeat",
                      arguments.repeat, "--device", arguments.device, "--dtype", arguments.precision, *(["--compile"] if arguments.compile else [])])


def spread(times):
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("Usage: ")[1])
    parser.add_argument("config")
    parser.add_argument("--vocab-size", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--precision", choices=("f32", "f16", "bf16"), default="f32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    require_torch(arguments.python)

    ours, theirs = [], []
    for _ in range(arguments.rounds):
        device, shape, milliseconds, ceiling = run_lapilli(arguments)
        ours.append(milliseconds)
        torch = run_torch(arguments, shape)
        theirs.append(torch["median_ms"])
    ratio = statistics.median(theirs) / statistics.median(ours)
    report = {"config": arguments.config, "precision": arguments.precision, "shape": shape, "rounds": arguments.rounds,
              "lapilli": {"device": device, "ceiling_gflops": ceiling, **spread(ours)},
              "torch": {"version": torch["torch"], "device": torch["device"], "threads": torch["threads"],
                        "matmul_gflops": torch["matmul_gflops"], **spread(theirs)},
              "lapilli_per_torch_speed": ratio}
    if arguments.json:
        return print(json.dumps(report, indent=2))
    print(f"{arguments.config}, V {shape['vocab']}, {shape['tokens_per_step']} tokens a step, {arguments.precision}; {arguments.rounds} rounds, interleaved")
    for name, side in (("lapilli", report["lapilli"]), ("torch", report["torch"])):
        rate = shape["tokens_per_step"] / side["median_ms"] * 1e3
        print(f"  {name:8} {side['median_ms']:10.1f} ms ({side['min_ms']:.1f} - {side['max_ms']:.1f}) {rate:12,.0f} tokens/s   {side['device']}")
    print(f"  speed {ratio:.2f} of PyTorch {torch['torch']}'s, whose matmul makes {torch['matmul_gflops']:.0f} GFLOP/s beside a ceiling of {ceiling:.0f}")


if __name__ == "__main__":
    main()
