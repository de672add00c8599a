#!/usr/bin/env python3
"""Adds up what ctest or GoogleTest wrote, one or more JUnit files per driver, and judges the run.

Usage: totals.py NAME=FILE.xml[,FILE.xml...]...   (NAME= for a driver that is not there)

Prints, per driver, how many tests passed, failed and were skipped (with the reason each test gave), and exits 1 if any
failed. A test in whose output the Vulkan validation layer complained has failed, whatever it says itself.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

COMPLAINT = re.compile(r"^.*(?:Validation Error|VUID-|SYNC-HAZARD|UNASSIGNED-|\[error\] validation:).*$", re.MULTILINE)


def reason_for_skip(output):
    """GoogleTest prints 'file:line: Skipped' and the reason below; a script's reason is its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line, following in zip(lines, lines[1:]):
        if line.endswith(": Skipped"):
            return following
    return lines[-1] if lines else "no reason given"


def judge(test):
    """-> ('passed' | 'failed' | 'skipped', reason)"""
    output = test.findtext("system-out") or ""
    complaint = COMPLAINT.search(output)
    if complaint:
        return "failed", "validation: " + complaint.group(0).strip()[:300]
    if test.find("failure") is not None or test.get("status") == "fail":
        return "failed", "see its output above"
    if test.get("result") == "skipped":  # GoogleTest's own
        return "skipped", test.find("skipped").get("message", "").splitlines()[-1]
    if test.get("status") == "run":
        return "passed", ""
    if test.get("status") == "disabled":
        return "skipped", "disabled"
    skipped = test.find("skipped")
    message = "" if skipped is None else skipped.get("message", "")
    if message and not message.startswith(("SKIP_", "Skip")):
        return "failed", message  # ctest could not start it
    return "skipped", reason_for_skip(output)


def main(arguments):
    failed = False
    for argument in arguments:
        name, _, paths = argument.partition("=")
        if not paths:
            print(f"{name}: not run, no such driver here")
            continue
        results = {"passed": [], "failed": [], "skipped": []}
        for path in paths.split(","):
            if not pathlib.Path(path).exists():
                results["failed"].append(("the run left no results: it crashed, or was ended", path))
                continue
            for test in xml.parse(path).getroot().iter("testcase"):
                if test.get("status") == "notrun" and test.get("result") == "suppressed":
                    continue  # another shard's
                verdict, reason = judge(test)
                results[verdict].append((reason, test.get("name")))
        print(f"{name}: " + ", ".join(f"{len(tests)} {verdict}" for verdict, tests in results.items()))
        for reason, test in results["failed"]:
            print(f"  FAILED  {test}: {reason}")
        for reason in sorted({reason for reason, _ in results["skipped"]}):
            tests = [test for why, test in results["skipped"] if why == reason]
            more = f" and {len(tests) - 3} more" if len(tests) > 3 else ""
            print(f"  skipped {', '.join(tests[:3])}{more}: {reason}")
        failed = failed or bool(results["failed"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
