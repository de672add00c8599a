#!/usr/bin/env python3
"""The test runner, on a program that behaves like GoogleTest's; the names of its cases determine what they do."""
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from runner import parts, programs, results

# Runs the cases of its filter; 'crash' ends the process once, 'hang' never ends.
PROGRAM = """
import os, sys, time
flags = open(sys.argv[1].split("=", 1)[1]).read()
for name in flags.split("=", 1)[1].split(":"):
    print(f"[ RUN      ] {name}", flush=True)
    what = name.split(".")[1].rstrip("0123456789")
    if what == "crash":
        os.abort()
    if what == "hang":
        time.sleep(1000)
    if what == "complains":
        print("Validation Error: [ VUID-1 ]")
    if what == "skip":
        print("a_test.cpp:1: Skipped\\nno such matrices\\n")
    verdict = {"skip": "  SKIPPED ", "fail": "  FAILED  "}.get(what, "       OK ")
    print(f"half a line [{verdict}] {name}{', where GetParam() = 3' if what == 'fail' else ''} (12 ms)", flush=True)
sys.exit(1 if "fail" in flags else 0)
"""


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.program = pathlib.Path(folder.name, "program.py")
        self.program.write_text(PROGRAM)
        self.collector = results.Collector(show=lambda text: None)

    def run_cases(self, *cases, seconds=30.0):
        left = programs.run_cases([sys.executable, str(self.program)], {}, [f"Suite.{case}" for case in cases], time.monotonic() + seconds,
                                  self.collector)
        return left, {result.name.split(".")[1]: (result.verdict, result.reason) for result in self.collector.results}

    def test_Verdicts_AreThoseOfTheProgram(self):
        left, verdicts = self.run_cases("good", "fail", "skip", "complains")
        self.assertEqual(left, [])
        self.assertEqual(verdicts, {"good": ("passed", ""), "fail": ("failed", "see its output"), "skip": ("skipped", "no such matrices"),
                                    "complains": ("failed", "validation: Validation Error: [ VUID-1 ]")})

    def test_Crash_FailsItsCase_AndTheOthersRun(self):
        left, verdicts = self.run_cases("good1", "crash", "good2")
        self.assertEqual(left, [])
        self.assertEqual({name: verdict for name, (verdict, _) in verdicts.items()}, {"good1": "passed", "crash": "failed", "good2": "passed"})
        self.assertEqual(verdicts["crash"][1], "its process ended with -6")

    def test_Deadline_EndsTheProcess_AndNothingFails(self):
        left, verdicts = self.run_cases("good1", "hang", "good2", seconds=2.0)
        self.assertEqual((left, verdicts), (["Suite.hang", "Suite.good2"], {"good1": ("passed", "")}))

    def test_Script_ResultIsItsExitCode(self):
        for code, verdict in (0, "passed"), (77, "skipped"), (3, "failed"):
            command = ["sh", "-c", f"echo why; exit {code}"]
            self.assertTrue(programs.run_script(str(code), command, {}, 77, time.monotonic() + 30, self.collector))
            self.assertEqual(self.collector.results[-1].verdict, verdict)
        self.assertEqual(self.collector.results[1].reason, "why")
        self.assertFalse(programs.run_script("slow", ["sleep", "1000"], {}, 77, time.monotonic() + 0.2, self.collector))

    def test_Wide_HasEveryTest_AndRotationReachesEveryParameter(self):
        cases = [("a", "Plain.One")] + [("a", f"Shapes/Op.Works/{i}") for i in range(10)]
        reached = set()
        for turn in range(4):
            wide, deep = parts.split_by_width(cases, 4, turn)
            self.assertIn(("a", "Plain.One"), wide)
            self.assertIn(len(wide), (3, 4))
            self.assertEqual(sorted(wide + deep), sorted(cases))
            reached.update(wide)
        self.assertEqual(sorted(reached), sorted(cases))

    def test_FewerParametersThanTheWidth_OneRunsAllTheSame(self):
        cases = [("a", "Shapes/Op.Works/0"), ("a", "Shapes/Op.Works/1")]
        for turn in range(5):
            self.assertEqual(len(parts.split_by_width(cases, 8, turn)[0]), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
