#!/usr/bin/env python3
"""A long run: memory, open files and disk must not grow with steps.

Usage: soak.py [STEPS]    default 10,000, of a model of some thousand parameters, with evaluations and checkpoints; needs a device
Prints what was held after a tenth of the steps and at the end; exit 1 if memory or open files grew, or the disk by more than its logs.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "tools"))
from support import LAPILLI, SMALL_CONFIG

# The run's own: resident memory moves by what the C library keeps for threads that come and go with each evaluation.
SLACK_KIB = 1024


def held(process):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]), len(os.listdir(f"/proc/{process.pid}/fd")), int(fields["Threads"])


def disk_bytes(folder, names):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and (path.name in ("metrics.jsonl", "log.txt")) == names)


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    with tempfile.TemporaryDirectory(prefix="lapilli-soak-") as folder:
        folder = pathlib.Path(folder)
        run = lambda *arguments: subprocess.run([LAPILLI, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        run("corpus", "synth", "--bytes", "200k", "--seed", "5", "-o", "text")
        run("tokenizer", "train", "--type", "unigram", "--vocab-size", "400", "-i", "text", "-o", "t.model")
        run("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "data")
        (folder / "small.toml").write_text(SMALL_CONFIG)
        settings = {"data.dir": "data", "train.steps": steps, "train.eval_every": steps // 40, "train.eval_tokens": 2000,
                    "train.checkpoint_every": steps // 50}
        command = [LAPILLI, "train", "small.toml", "--no-tune", "--run", "run"]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, errors="replace")
        rows = []
        for line in process.stdout:
            if not line.startswith("step"):
                continue
            step = int(line.split()[1].split("/")[0])
            if step % (steps // 40) == 0 and step < steps:
                rows.append((step, *held(process), disk_bytes(folder / "run", False)))
        if process.wait() != 0:
            sys.exit(f"soak: the run ended with {process.returncode}")
        first = next(row for row in rows if row[0] >= steps // 10)
        last = rows[-1]
        print("after step  resident KiB  open files  threads  disk without logs")
        for step, resident, files, threads, disk in (first, last):
            print(f"{step:>10}  {resident:>12}  {files:>10}  {threads:>7}  {disk:>17}")
        most = max(row[1] for row in rows if row[0] >= steps // 10)
        problems = []
        if most > first[1] + SLACK_KIB:
            problems.append(f"resident memory grew by {most - first[1]} KiB")
        if max(row[2] for row in rows) > first[2] + 2:  # a checkpoint that is being written
            problems.append("open files grew")
        if last[4] > 2 * first[4]:
            problems.append("the disk grew by more than logs")
        print("; ".join(problems) or f"flat over {last[0] - first[0]} steps")
        sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
