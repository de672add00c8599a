"""Runs test programs and reads their results while they run.

Many GoogleTest cases share one process, and with it the device and its compiled kernels: on a software driver nearly all the time
of a test is the driver's compiler. A crash fails the current case; the later cases run in a new process. One that is
still running at its deadline is ended, and the case it was in counts as not run: no test fails because a machine is slow.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

from runner.results import Result, judge

STARTED = re.compile(r"\[ RUN      \] (\S+)")
ENDED = re.compile(r"\[(       OK |  FAILED  |  SKIPPED )\] (\S+?)(?:, where .*)? \((\d+) ms\)")
VERDICTS = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}


class Process:
    """A program, its output line by line, and the end of it at a deadline (time.monotonic)."""

    def __init__(self, command, environment, deadline):
        self._process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         stdin=subprocess.DEVNULL, text=True, errors="replace", start_new_session=True)
        self.out_of_time = False
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self):
        self.out_of_time = True
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # with whatever it has started itself
        except ProcessLookupError:
            pass

    def lines(self):
        yield from self._process.stdout

    def wait(self):
        """-> exit code, negative for a signal"""
        code = self._process.wait()
        self._timer.cancel()
        return code


def list_cases(command, environment):
    """-> [(file, case name)], in the order in which the program runs them"""
    with tempfile.TemporaryDirectory() as folder:
        listing = pathlib.Path(folder, "tests.json")
        subprocess.run([*command, "--gtest_list_tests", f"--gtest_output=json:{listing}"], env=os.environ | environment, check=True,
                       stdout=subprocess.DEVNULL)
        suites = json.loads(listing.read_text())["testsuites"]
    return [(pathlib.Path(case["file"]).name, f"{suite['name']}.{case['name']}") for suite in suites for case in suite["testsuite"]]


def reason_for_skip(output):
    """GoogleTest prints 'file:line: Skipped' and the reason below; a script's reason is its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line, following in zip(lines, lines[1:]):
        if line.endswith(": Skipped"):
            return following
    return lines[-1] if lines else "no reason given"


def run_cases(command, environment, cases, deadline, collector):
    """Runs GoogleTest cases until the deadline. -> those that did not end"""
    left = list(cases)
    while left and time.monotonic() < deadline:
        with tempfile.NamedTemporaryFile("w", suffix=".flags") as flags:  # thousands of names are too long for a command line
            flags.write("--gtest_filter=" + ":".join(left))
            flags.flush()
            process = Process([*command, f"--gtest_flagfile={flags.name}"], environment, deadline)
            running, output, ended, failed = None, [], set(), False
            for line in process.lines():
                started, end = STARTED.search(line), ENDED.search(line)
                if started:
                    running, output = started.group(1), []
                    continue
                output.append(line)
                if end and end.group(2) == running:
                    verdict, text = VERDICTS[end.group(1).strip()], "".join(output)
                    reason = {"skipped": reason_for_skip(text), "failed": "see its output"}.get(verdict, "")
                    result = judge(running, verdict, int(end.group(3)) / 1e3, text, reason)
                    collector.add(result)
                    failed = failed or result.verdict == "failed"
                    ended.add(running)
                    running, output = None, []
            code = process.wait()
        left = [case for case in left if case not in ended]
        if process.out_of_time:
            break
        if running:
            collector.add(Result(running, "failed", f"its process ended with {code}", 0.0, "".join(output)))
            left.remove(running)
        elif left or (code != 0 and not failed):
            # Every case passed, but the program failed: a crash at exit, or unknown case names.
            collector.add(Result(f"{cases[0]} ...", "failed", f"the process ended with {code}, {len(left)} cases did not run", 0.0, "".join(output)))
            return []
    return left


def run_script(name, command, environment, skip_code, deadline, collector):
    """Runs one program whose exit code is the result. -> whether it ended before the deadline"""
    began = time.monotonic()
    process = Process(command, environment, deadline)
    output = "".join(process.lines())
    code = process.wait()
    if process.out_of_time:
        return False
    seconds = time.monotonic() - began
    if code == skip_code:
        collector.add(judge(name, "skipped", seconds, output, reason_for_skip(output)))
    elif code == 0:
        collector.add(judge(name, "passed", seconds, output))
    else:
        collector.add(judge(name, "failed", seconds, output, f"exit code {code}"))
    return True
