#!/usr/bin/env python3
"""Runs the tests of a build within a time limit, and reports what ran and what did not.

Usage: run_tests.py [--build DIR] [--seconds S] [--grace S] [--filter REGEX] [--part NAME]... [--require-drivers]

The programs are those that CMake registers with ctest; runner/parts.py defines what runs on which driver, and for how
long. Each part first runs wide (every test, some of its parameters), then deep (the others). Every commit starts at
another place, so that different runs cover different tests. Without --seconds everything runs.

Exit code 1 if a test failed, a part ran less than its minimum within --grace seconds more, or nothing ran.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from runner import parts as plan
from runner import programs, results

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOREVER = 1e9  # seconds


class Tests:
    """What CMake registered: scripts, and GoogleTest programs (label gtest) with their cases."""

    def __init__(self, build):
        listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True, capture_output=True, text=True).stdout
        self.registered = []
        for test in json.loads(listing)["tests"]:
            properties = {it["name"]: it["value"] for it in test.get("properties", [])}
            labels = properties.get("LABELS", [])
            self.registered.append({
                "name": test["name"], "command": test["command"], "gtest": "gtest" in labels,
                "label": next((label for label in labels if label != "gtest"), ""),
                "environment": dict(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", [])),
                "skip_code": properties.get("SKIP_RETURN_CODE")})


class Job:
    """Cases of one file of a GoogleTest program, or one script."""

    def __init__(self, test, wrapper, environment, file="", cases=()):
        self.test, self.environment, self.cases = test, test["environment"] | environment, list(cases)
        self.name = file or test["name"]
        # A script runs `lapilli` itself; the wrapper goes before programs only.
        self.command = [*wrapper, *test["command"]] if test["gtest"] else test["command"]

    @property
    def names(self):
        return self.cases if self.test["gtest"] else [self.test["name"]]

    def run(self, deadline, collector):
        """-> the names that did not end before the deadline"""
        if self.test["gtest"]:
            return programs.run_cases(self.command, self.environment, self.cases, deadline, collector)
        ended = programs.run_script(self.test["name"], self.command, self.environment, self.test["skip_code"], deadline, collector)
        return [] if ended else [self.test["name"]]


def make_jobs(part, tests, environment, name_filter, turn):
    """-> (wide, deep) lists of jobs, rotated by `turn`"""
    wide, deep = [], []
    for test in tests.registered:
        if test["label"] != part.label:
            continue
        if not test["gtest"]:
            if not part.wrapper and name_filter(test["name"]) and re.search(part.only, test["name"]):
                (wide if part.scripts_first else deep).append(Job(test, (), environment))
            continue
        listed = programs.list_cases(test["command"], test["environment"])
        listed = [case for case in listed if name_filter(case[1]) and re.search(part.only, case[1])]
        for jobs, cases in zip((wide, deep), plan.split_by_width(listed, part.wide, turn)):
            for file in dict.fromkeys(file for file, _ in cases):
                jobs.append(Job(test, part.wrapper, environment, file, [name for of, name in cases if of == file]))
    return [jobs[turn % len(jobs):] + jobs[:turn % len(jobs)] if jobs else [] for jobs in (wide, deep)]


def run_jobs(jobs, workers, deadline, cap, collector):
    """Runs jobs side by side until the deadline, each for `cap` seconds at most. -> jobs with what did not run"""
    left, lock = [], threading.Lock()

    def run(job):
        began, count, names = time.monotonic(), len(job.names), job.names
        if began < deadline:
            names = job.run(min(deadline, began + cap), collector)
            print(f"   {job.name}: {count - len(names)} of {count} in {time.monotonic() - began:.0f} s", flush=True)
        if names:
            job.cases = names
            with lock:
                left.append(job)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, jobs))
    return left


def run_part(part, tests, arguments, share_s, hard_deadline):
    """-> (Collector, names that did not run, sentence on a driver that is missing, or '')"""
    collector = results.Collector()
    environment = plan.driver_environment(part)
    if environment is None:
        return collector, [], "no such driver here"
    if part.wrapper:
        probe = subprocess.run([*part.wrapper, str(pathlib.Path(arguments.build, "lapilli")), "devices"], capture_output=True, text=True)
        if probe.returncode != 0:
            return collector, [], (probe.stderr.strip().splitlines() or ["no such driver here"])[-1]
    wide, deep = make_jobs(part, tests, environment, arguments.name_filter, arguments.turn)
    if not wide and not deep:
        return collector, [], ""
    print(f"\n== {part.name}: {part.about}; {sum(len(job.names) for job in wide + deep)} tests"
          + (f", {share_s / 60:.1f} minutes" if share_s < FOREVER else ""), flush=True)
    began = time.monotonic()
    deadline = began + share_s
    left = run_jobs(wide, arguments.jobs, deadline, share_s / 4 if part.wide > 1 else share_s, collector)
    left = run_jobs(left + deep, arguments.jobs, deadline, share_s, collector)
    minimum = 0 if arguments.filter else part.minimum
    while left and collector.count("passed") < minimum and time.monotonic() < hard_deadline:
        # Small steps: no more than the minimum asks for.
        left = run_jobs(left, arguments.jobs, min(hard_deadline, time.monotonic() + 60), 60, collector)
    print(f"{part.name}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return collector, [name for job in left for name in job.names], ""


def report(part, collector, not_run, missing, arguments):
    """Prints the results of a part. -> whether it passed"""
    passed, failed, skipped = ([it for it in collector.results if it.verdict == verdict] for verdict in ("passed", "failed", "skipped"))
    if missing:
        print(f"{part.name}: not run: {missing}")
        return not arguments.require_drivers
    print(f"{part.name}: {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped, {len(not_run)} not run for lack of time")
    for result in failed:
        print(f"  FAILED  {result.name}: {result.reason}")
    for reason, names in results.by_reason(skipped).items():
        print(f"  skipped {results.some_of(names)}: {reason}")
    if not_run:
        print(f"  not run {results.some_of(sorted(not_run), 6)}")
    for result in sorted(passed, key=lambda it: -it.seconds)[:3]:
        print(f"  slow    {result.name}: {result.seconds:.1f} s")
    enough = bool(arguments.filter) or len(passed) >= part.minimum
    if not enough:
        print(f"  TOO FEW {len(passed)} tests passed, and {part.minimum} are the minimum")
    return enough and not failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--seconds", type=float, default=FOREVER, help="for all parts together")
    parser.add_argument("--grace", type=float, default=0, help="more seconds, for parts that have not reached their minimum")
    parser.add_argument("--filter", default="", help="only tests whose name this matches; minimums do not count then")
    parser.add_argument("--part", action="append", choices=[part.name for part in plan.PARTS], help="only this part; can be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--require-drivers", action="store_true", help="a driver that is missing is a failure")
    parser.add_argument("--turn", type=int, help="where to begin; default: the number of commits")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    # A shell starts programs in its background with these ignored; tests of signals need them as they are.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    arguments.name_filter = re.compile(arguments.filter).search
    if arguments.turn is None:
        count = subprocess.run(["git", "rev-list", "--count", "HEAD"], capture_output=True, text=True).stdout.strip()
        arguments.turn = int(count or 0)

    began = time.monotonic()
    tests = Tests(arguments.build)
    parts = [part for part in plan.PARTS if not arguments.part or part.name in arguments.part]
    done = []
    for position, part in enumerate(parts):
        left_s = max(0.0, began + arguments.seconds - time.monotonic())
        share_s = left_s * part.share / sum(it.share for it in parts[position:]) if arguments.seconds < FOREVER else FOREVER
        done.append((part, *run_part(part, tests, arguments, share_s, began + arguments.seconds + arguments.grace)))

    print(f"\ntests took {(time.monotonic() - began) / 60:.1f} minutes")
    good = [report(*it, arguments) for it in done]
    total = {verdict: sum(collector.count(verdict) for _, collector, _, _ in done) for verdict in ("passed", "failed", "skipped")}
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    if total["passed"] == 0:
        print("no test ran" + (f": none matches '{arguments.filter}'" if arguments.filter else ""))
    return 0 if all(good) and total["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
