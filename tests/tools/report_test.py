#!/usr/bin/env python3
"""`tools/gpu-report.sh`: one report of everything, also where something fails."""
import json
import os
import subprocess
import unittest

from support import LAPILLI, ROOT, CommandTest

SECTIONS = ["Devices", "Ceilings: multiply-adds, copies, launches", "Matrix products", "Attention", "Loss", "A training step",
            "Text to train on", "Its vocabulary", "Its tokens", "Training", "Evaluation"]


class Report(CommandTest):
    def report(self, program=LAPILLI):
        """report.md and report.json of the quick form."""
        done = subprocess.run([ROOT / "tools" / "gpu-report.sh", "--quick", "-o", "report"], cwd=self.folder, capture_output=True, text=True,
                              timeout=120, env=os.environ | {"LAPILLI": str(program)})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(sorted(path.name for path in (self.folder / "report").iterdir()), ["report.json", "report.md"])
        self.markdown = (self.folder / "report" / "report.md").read_text()
        return json.loads((self.folder / "report" / "report.json").read_text())

    def test_Quick_HoldsDeviceBenchesAndTraining(self):
        report = self.report()
        self.assertEqual([section["title"] for section in report["sections"]], SECTIONS)
        failed = [(section["command"], section["output"]) for section in report["sections"] if section["exit_code"] != 0]
        self.assertEqual((failed, report["failures"]), ([], "0"))
        results = {section["title"]: section["result"] for section in report["sections"]}
        device = next(it for it in results["Devices"] if it["name"] == report["device"])
        self.assertEqual((report["driver"], report["type"]), (device["driver"], device["type"]))
        for title, bench in zip(SECTIONS[1:6], ["ceiling", "matmul", "attention", "loss", "step"]):
            self.assertEqual(results[title]["bench"], bench)
            self.assertEqual(results[title]["device"]["uuid"], device["uuid"])
        events = [event["event"] for event in results["Training"]]
        self.assertEqual((events[0], events.count("step"), events[-1]), ("start", 6, "end"))
        self.assertGreater(results["Evaluation"]["perplexity"], 1)
        for key in "version", "commit", "system", "kernel", "processor", "date":
            self.assertGreater(len(report[key]), 3, key)
            self.assertIn(f"| {key} | {report[key]} |", self.markdown)
        for section in report["sections"]:
            self.assertIn(f"\n## {section['title']}\n\n`{section['command']}`\n\n```\n{section['output']}\n```\n", self.markdown)
            self.assertTrue(section["command"].startswith("lapilli "))
        self.assertIn("scopes explain", self.markdown)
        self.assertNotIn("lapilli-report.", self.markdown)  # the scratch folder is nobody's business

    def test_Failures_AreToldInTheirSections(self):
        program = self.folder / "broken"
        program.write_text(f"""#!/bin/sh
case "$*" in *--json*) echo '[]'; exit ;; esac
case "$1 $2" in
  "bench ceiling") printf 'bad "thing"\\\\\\t\\001`\\377\\n' >&2; exit 3 ;;
  "bench matmul") kill -SEGV $$ ;;
  "--version "*) echo lapilli 0 ;;
  *) echo "$1 is fine" ;;
esac
""")
        program.chmod(0o755)
        report = self.report(program)
        sections = {section["title"]: section for section in report["sections"]}
        self.assertEqual(list(sections), SECTIONS)
        self.assertEqual((report["failures"], report["device"], report["size"]), ("2", "not known", "quick"))
        self.assertEqual(sections[SECTIONS[1]]["exit_code"], 3)
        self.assertEqual(sections[SECTIONS[1]]["output"], 'bad "thing"\\\t`')
        self.assertEqual(sections["Matrix products"]["exit_code"], 128 + 11)
        self.assertEqual((sections["Loss"]["output"], sections["Loss"]["result"], sections["Devices"]["result"]), ("bench is fine", None, []))
        self.assertIn("**Failed with exit code 3.**", self.markdown)


if __name__ == "__main__":
    unittest.main(verbosity=2)
