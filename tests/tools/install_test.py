#!/usr/bin/env python3
"""`cmake --install`: the program, its manual page, configurations, LICENSE and README, and the program runs from there."""
import os
import pathlib
import shutil
import subprocess
import unittest

from support import LAPILLI, ROOT, CommandTest

CMAKE = os.environ.get("CMAKE", "cmake")


class Install(CommandTest):
    def setUp(self):
        super().setUp()
        done = subprocess.run([CMAKE, "--install", str(pathlib.Path(LAPILLI).parent), "--prefix", str(self.folder)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_Program_RunsFromThere(self):
        installed = subprocess.run([self.folder / "bin" / "lapilli", "--version"], check=True, capture_output=True, text=True).stdout
        self.assertEqual(installed, self.run_lapilli("--version").stdout)

    def test_Files_AreWhereTheyBelong(self):
        configs = {path.name for path in (ROOT / "tools" / "configs").glob("*.toml")}
        self.assertEqual({path.name for path in (self.folder / "share" / "lapilli" / "configs").iterdir()}, configs)
        for name in "README.md", "LICENSE":
            self.assertEqual((self.folder / "share" / "doc" / "lapilli" / name).read_bytes(), (ROOT / name).read_bytes())

    def test_ManualPage_HasEveryCommand_AndIsGoodRoff(self):
        page = self.folder / "share" / "man" / "man1" / "lapilli.1"
        text = page.read_text()
        for command in "devices", "corpus synth", "tokenizer train", "data build", "plan", "train", "eval", "generate", "export", "bench kernels":
            self.assertIn(f".SS lapilli {command}\n", text)
        self.assertIn("LAPILLI_CACHE_DIR", text)
        if not shutil.which("groff"):
            self.skipTest("groff is missing")
        checked = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
