#!/usr/bin/env python3
"""`tools/gpu-report.sh`: one report of everything, also where something fails."""
import json
import os
import shutil
import subprocess
import unittest

from support import LAPILLI, ROOT, CommandTest

KERNELS = "Kernels as the driver compiles them"
BENCHES = {"Ceilings: multiply-adds, copies, launches": "ceiling", "Matrix multiplication": "matmul", "Attention": "attention", "Loss": "loss",
           "A training step": "step"}
SECTIONS = ["Devices", *list(BENCHES)[:1], KERNELS, *list(BENCHES)[1:], "What training will take",
            "Text to train on", "Its vocabulary", "Its tokens", "Training", "Evaluation"]


class Report(CommandTest):
    def report(self, pages, script=ROOT / "tools" / "gpu-report.sh", **environment):
        """report.md and report.json of the quick form."""
        done = subprocess.run([script, "--quick", "-o", "report"], cwd=self.folder, capture_output=True, text=True,
                              env=os.environ | environment)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        files = ["report.json", "report.md", *(f"{page}.html" for page in pages)]
        self.assertEqual(sorted(path.name for path in (self.folder / "report").iterdir()), sorted(files))
        for file in files:
            self.assertIn(f"report      {self.folder.resolve()}/report/{file}\n", done.stdout)
        self.markdown = (self.folder / "report" / "report.md").read_text()
        return json.loads((self.folder / "report" / "report.json").read_text())

    def write_program(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def test_Quick_HoldsDeviceBenchesAndTraining(self):
        matrices = json.loads(subprocess.run([LAPILLI, "devices", "--json"], capture_output=True, text=True).stdout)[0]
        halves = [dtype for dtype in ("f16", "bf16") if matrices[f"matrix_{dtype}"]]
        pages = [*BENCHES.values(), *(f"{bench}-{dtype}" for dtype in halves for bench in list(BENCHES.values())[1:])]
        report = self.report(pages, LAPILLI=LAPILLI)
        sections = {section["title"]: section for section in report["sections"]}
        self.assertEqual([title for title in sections if not title.endswith("f16")], SECTIONS)
        failed = [(section["command"], section["output"]) for section in report["sections"] if section["exit_code"] != 0]
        if failed and failed[0][0] == "lapilli bench kernels --save report/kernels.json":  # most software drivers
            self.assertIn("lacks VK_KHR_pipeline_executable_properties", failed.pop(0)[1])
        self.assertEqual((failed, report["failures"]), ([], "0"))
        results = {title: section["result"] for title, section in sections.items()}
        for title, bench in BENCHES.items():
            self.assertEqual(sections[title]["page"], f"{bench}.html")
            self.assertIn(f"\n[The same with charts]({bench}.html)\n", self.markdown)
            page = (self.folder / "report" / f"{bench}.html").read_text()
            self.assertIn(f"<li>lapilli bench {bench} ", page)
            self.assertRegex(page, "<canvas|built without Chart.js")
            self.assertNotIn("lapilli-report.", page)
        self.assertIsNone(sections["Training"]["page"])
        plan = results["What training will take"]
        self.assertEqual((plan["steps"], plan["parameters"]), (6, results["Training"][0]["parameters"]))
        device = next(it for it in results["Devices"] if it["name"] == report["device"])
        self.assertEqual((report["driver"], report["type"]), (device["driver"], device["type"]))
        for title, bench in BENCHES.items():
            self.assertEqual(results[title]["bench"], bench)
            self.assertEqual(results[title]["device"]["uuid"], device["uuid"])
        events = [event["event"] for event in results["Training"]]
        self.assertEqual((events[0], events.count("step"), events[-1]), ("start", 6, "end"))
        self.assertGreater(results["Evaluation"]["perplexity"], 1)
        for key in "version", "commit", "system", "kernel", "processor", "date":
            self.assertGreater(len(report[key]), 3, key)
            self.assertIn(f"| {key} | {report[key]} |", self.markdown)
        for section in report["sections"]:
            verdict = "**This driver cannot.**\n\n" if section["exit_code"] else ""
            self.assertIn(f"\n## {section['title']}\n\n`{section['command']}`\n\n{verdict}```\n{section['output']}\n```\n", self.markdown)
            self.assertTrue(section["command"].startswith("lapilli "))
        self.assertIn("GPU coverage", self.markdown)
        self.assertNotIn("lapilli-report.", self.markdown)  # the scratch folder is nobody's business

    def test_Failures_AreReportedInTheirSections(self):
        program = self.write_program(self.folder / "broken", """
case "$*" in *--json*) echo '[]'; exit ;; esac
case "$1 $2" in
  "bench ceiling") printf 'bad "thing"\\\\\\t\\001`\\377\\n' >&2; exit 3 ;;
  "bench matmul") kill -SEGV $$ ;;
  "--version "*) echo lapilli 0 ;;
  "bench kernels") echo 'it lacks VK_KHR_pipeline_executable_properties'; exit 1 ;;
  *) echo "$1 is fine" ;;
esac
""")
        report = self.report([], LAPILLI=str(program))
        sections = {section["title"]: section for section in report["sections"]}
        self.assertEqual(list(sections), SECTIONS)
        self.assertEqual((report["failures"], report["device"], report["size"]), ("2", "not known", "quick"))
        self.assertEqual(sections[SECTIONS[1]]["exit_code"], 3)
        self.assertEqual(sections[SECTIONS[1]]["output"], 'bad "thing"\\\t`')
        self.assertEqual(sections["Matrix multiplication"]["exit_code"], 128 + 11)
        self.assertEqual((sections["Loss"]["output"], sections["Loss"]["result"], sections["Devices"]["result"]), ("bench is fine", None, []))
        self.assertIn("**Failed with exit code 3.**", self.markdown)
        self.assertEqual((sections[KERNELS]["exit_code"], sections["Loss"]["page"]), (1, None))
        self.assertIn("**This driver cannot.**", self.markdown)

    def test_SetUp_OnlyIfTheProgramIsMissing(self):
        script = self.folder / "tools" / "gpu-report.sh"
        script.parent.mkdir()
        shutil.copy(ROOT / "tools" / "gpu-report.sh", script)
        log = self.folder / "log"
        program = self.write_program(self.folder / "program", "echo '[]'")
        self.write_program(self.folder / "tools" / "scripts" / "setup.sh", f"echo setup >>{log}")
        self.write_program(self.folder / "tools" / "scripts" / "build.sh", f'echo build "$@" >>{log}; mkdir -p build; cp {program} build/lapilli')
        self.write_program(self.folder / "bin" / "ninja", f'echo ninja "$@" >>{log}')
        for steps in ["setup", "build lapilli"], ["ninja -C build lapilli"]:
            log.write_text("")
            self.report([], script=script, LAPILLI="", PATH=f"{self.folder}/bin:{os.environ['PATH']}")
            self.assertEqual(log.read_text().splitlines(), steps)


if __name__ == "__main__":
    unittest.main(verbosity=2)
