#!/usr/bin/env python3
"""engine/base/version.cmake: which commit a build says it is of, and that it compiles nothing when that is the same."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CMAKE = os.environ.get("CMAKE", "cmake")
GIT = ["git", "-c", "safe.directory=*", "-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"]


@unittest.skipUnless(shutil.which("git"), "git is missing")
class Version(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lapilli-test-")).resolve()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.output = self.folder / "build" / "version.cpp"

    def git(self, *arguments):
        return subprocess.run([*GIT, "-C", self.folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text):
        (self.folder / "file").write_text(text)
        self.git("add", "file")
        self.git("commit", "-q", "-m", text)
        return self.git("rev-parse", "HEAD")

    def written(self, source=None):
        """-> the commit in what the script writes"""
        subprocess.run([CMAKE, f"-DSOURCE={source or self.folder}", f"-DOUTPUT={self.output}", "-DVERSION=1.2.3", "-DCOMPILER=gcc 12.2.0",
                        "-DBUILD_TYPE=Release", "-P", ROOT / "engine" / "base" / "version.cmake"], check=True)
        text = self.output.read_text()
        self.assertIn('.version = "1.2.3"', text)
        self.assertIn('.compiler = "gcc 12.2.0", .build_type = "Release"', text)
        return re.search(r'\.commit = "([^"]*)"', text)[1]

    def test_Commit_IsTheCheckouts(self):
        self.git("init", "-q")
        for text in "one", "two":
            head = self.commit(text)
            found = self.written()
            self.assertGreaterEqual(len(found), 7)
            self.assertTrue(head.startswith(found), (head, found))
        self.git("tag", "-a", "v1", "-m", "a tag is no commit")
        self.assertEqual(self.written(), found)
        (self.folder / "file").write_text("three")
        self.assertEqual(self.written(), found + "-dirty")

    def test_SameCommit_WritesNothing(self):
        self.git("init", "-q")
        self.commit("one")
        self.written()
        os.utime(self.output, (1, 1))
        self.written()
        self.assertEqual(self.output.stat().st_mtime, 1)

    def test_OutsideGit_HasNoCommit(self):
        self.assertEqual(self.written(), "")

    def test_InAnothersCheckout_HasNoCommit(self):
        self.git("init", "-q")
        self.commit("one")
        (self.folder / "unpacked").mkdir()
        self.assertEqual(self.written(self.folder / "unpacked"), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
