#!/usr/bin/env python3
"""Faults done for real (tests/faults/faults.cpp): kills and power cuts at file operations, full and read-only disks, lost devices.

A few points of each by default; FAULT_POINTS=200 tests/tools/faults_test.py tries 200 of each kind, or all there are.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from support import LAPILLI, ROOT, SMALL_CONFIG, CommandTest, without_validation

without_validation()

POINTS = int(os.environ.get("FAULT_POINTS", "6"))
TEMPORARY = (".tmp-", ".lapilli-")


def setUpModule():
    global library_folder, LIBRARY
    library_folder = tempfile.TemporaryDirectory(prefix="lapilli-faults-")
    LIBRARY = pathlib.Path(library_folder.name) / "faults.so"
    compiler = os.environ.get("CXX", "c++")
    subprocess.run([compiler, "-std=c++20", "-O2", "-fPIC", "-shared", ROOT / "tests/faults/faults.cpp", "-o", LIBRARY, "-ldl"], check=True)


def tearDownModule():
    library_folder.cleanup()


def spread(count):
    """POINTS of 1 ... count, the first and the last among them."""
    points = min(POINTS, count)
    return sorted({1 + round(i * (count - 1) / max(points - 1, 1)) for i in range(points)})


class Faults(CommandTest):
    def setUp(self):
        super().setUp()
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        self.make_data(size="25k")

    def run_with(self, arguments, **faults):
        """Runs lapilli with faults of files below the scratch folder's `out`."""
        environment = os.environ | {"LD_PRELOAD": str(LIBRARY), "FAULT_ROOT": str(self.folder / "out")}
        environment |= {f"FAULT_{name.upper()}": str(value) for name, value in faults.items()}
        return subprocess.run([LAPILLI, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, errors="replace", env=environment)

    def operations_of(self, arguments):
        done = self.run_with(arguments, count=self.folder / "operations")
        self.assertEqual(done.returncode, 0, done.stderr)
        return int((self.folder / "operations").read_text())

    def files(self, folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else None

    def assert_no_leftovers(self, what):
        left = [str(path) for path in (self.folder / "out").rglob("*") if any(mark in path.name for mark in TEMPORARY) or path.name == ".lock"]
        self.assertEqual(left, [], what)

    def train_arguments(self, run):
        return ["train", "small.toml", "--set", "data.dir=data", "--no-tune", "--set", "train.steps=12", "--set", "train.eval_every=5", "--set",
                "train.checkpoint_every=3", "--run", run]

    def steps(self, run):
        events = map(json.loads, (self.folder / run / "metrics.jsonl").read_text().splitlines())
        return [(event["step"], event.get("loss")) for event in events if event["event"] in ("step", "val")]

    def state(self, run):
        return (self.folder / run / "checkpoints" / "step-00000012" / "state.bin").read_bytes()

    def go_on(self, run, what):
        """As a user would after a crash; then all is as if nothing had happened."""
        has_checkpoint = any((self.folder / run).glob("checkpoints/step-*"))
        arguments = ["train", "--run", run, "--resume"] if has_checkpoint else self.train_arguments(run)
        done = subprocess.run([LAPILLI, *arguments], cwd=self.folder, capture_output=True, text=True, errors="replace")
        self.assertEqual(done.returncode, 0, f"{what}\n{done.stdout}\n{done.stderr}")
        self.assertEqual(self.state(run), self.whole_state, what)
        self.assertEqual(self.steps(run), self.whole_steps, what)
        self.assert_no_leftovers(what)

    def train_whole(self):
        operations = self.operations_of(self.train_arguments("out/whole"))
        self.whole_state, self.whole_steps = self.state("out/whole"), self.steps("out/whole")
        return operations

    def test_Run_KilledAnywhere_GoesOnAsIfNothingHadHappened(self):
        operations = self.train_whole()
        for faults in ({}, {"power": 1}):
            for at in spread(operations):
                what = f"killed at {at} of {operations} {faults}"
                done = self.run_with(self.train_arguments("out/run"), kill=at, **faults)
                self.assertIn(done.returncode, (-signal.SIGKILL, 0), f"{what}\n{done.stderr}")  # 0: threads wrote in another order
                self.go_on("out/run", what)
                shutil.rmtree(self.folder / "out" / "run")

    def check_files(self, arguments, before=None):
        """The result is complete or absent (`before`: replaced or not), wherever the process dies, and the next one cleans up."""
        target = self.folder / "out" / "it"

        def prepare():
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            (self.folder / "out").mkdir()
            if before:
                self.run_lapilli(*before)

        prepare()
        old = self.files(target)
        operations = self.operations_of(arguments)
        new = self.files(target)
        for faults in ({}, {"power": 1}):
            for at in spread(operations):
                prepare()
                what = f"{arguments[:2]} killed at {at} of {operations} {faults}"
                self.assertEqual(self.run_with(arguments, kill=at, **faults).returncode, -signal.SIGKILL, what)
                self.assertIn(self.files(target), (old, new), what)
                self.run_lapilli(*arguments)
                self.assertEqual(self.files(target), new, what)
                self.assert_no_leftovers(what)

    def test_PowerCutAtTheEnd_LosesNothingThatWasReported(self):
        self.train_whole()
        done = self.run_with(self.train_arguments("out/run"), power=1)
        self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
        self.assertEqual(self.state("out/run"), self.whole_state)
        self.assertEqual(self.steps("out/run"), self.whole_steps)
        for arguments in (["data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "out/it"], ["export", "out/whole", "-o", "out/it"],
                          ["tokenizer", "train", "--type", "unigram", "--vocab-size", 400, "-i", "text", "-o", "out/it/t.model"]):
            target = self.folder / "out" / "it"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            self.run_lapilli(*arguments)
            new = self.files(target)
            shutil.rmtree(target)
            target.mkdir()
            self.assertEqual(self.run_with(arguments, power=1).returncode, -signal.SIGKILL, arguments)
            self.assertEqual(self.files(target), new, arguments)

    def test_ClockGoingBack_ChangesNothing(self):
        self.train_whole()
        done = self.run_with(self.train_arguments("out/run"), clock=1)
        self.assertEqual(done.returncode, 0, done.stderr)
        for path in self.folder.rglob("*"):  # as if all had been written in the future
            os.utime(path, (4e9, 4e9))
        self.go_on("out/run", "a clock that went back")
        shutil.rmtree(self.folder / "out" / "run")
        self.assertEqual(self.run_with(self.train_arguments("out/run"), kill=150, clock=1).returncode, -signal.SIGKILL)
        for path in self.folder.rglob("*"):
            os.utime(path, (4e9, 4e9))
        self.go_on("out/run", "a kill and a clock that went back")

    def test_DataSet_KilledAnywhere_IsOldOrNew(self):
        build = ["data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "out/it"]
        self.check_files(build)
        self.check_files(build, before=[*build, "--val-fraction", 0.3])

    def test_Export_KilledAnywhere_IsOldOrNew(self):
        self.run_lapilli(*self.train_arguments("run"), "--set", "train.keep=0")
        self.check_files(["export", "run", "-o", "out/it"], before=["export", "run/checkpoints/step-00000009", "-o", "out/it"])

    def test_DataSetAmongOtherFiles_KilledAnywhere_IsNeverMixed(self):
        build = ["data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "out/it"]

        def prepare():
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            self.run_lapilli(*build, "--val-fraction", 0.3)
            (self.folder / "out" / "it" / "notes.txt").write_text("mine")

        prepare()
        operations = self.operations_of(build)
        for at in spread(operations):
            prepare()
            self.run_with(build, kill=at, power=1)
            self.assertEqual((self.folder / "out" / "it" / "notes.txt").read_text(), "mine")
            done = subprocess.run([LAPILLI, "train", "small.toml", "--set", "data.dir=out/it", "--no-tune", "--stop-at", "1", "--run", "out/run"],
                                  cwd=self.folder, capture_output=True, text=True, errors="replace")
            if done.returncode != 0:  # refused, because it is not whole
                self.assertRegex(done.stderr, "is not whole|not of the same data set|does not exist")
            self.run_lapilli(*build)
            shutil.rmtree(self.folder / "out" / "run", ignore_errors=True)
            self.run_lapilli("train", "small.toml", "--set", "data.dir=out/it", "--no-tune", "--stop-at", 1, "--run", "out/run")

    def test_TwoBuildsIntoOneFolder_LeaveOneOfThem(self):
        build = ["data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "out/it"]
        both = [[*build, "--val-fraction", fraction] for fraction in ("0.1", "0.3")]
        alone = []
        for arguments in both:
            self.run_lapilli(*arguments)
            alone.append(self.files(self.folder / "out" / "it"))
        for _ in range(POINTS):
            processes = [subprocess.Popen([LAPILLI, *arguments], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                         for arguments in both]
            for process in processes:
                _, errors = process.communicate()
                self.assertEqual(process.returncode, 0, errors)
            self.assertIn(self.files(self.folder / "out" / "it"), alone)
            self.assert_no_leftovers("two builds")

    # Disks

    def test_FullDisk_IsOneSentence_AndLeavesNothing(self):
        self.run_lapilli(*self.train_arguments("run"))
        (self.folder / "out").mkdir()
        for arguments in (["data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "out/it"], ["export", "run", "-o", "out/it"],
                          ["tokenizer", "train", "--type", "unigram", "--vocab-size", 400, "-i", "text", "-o", "out/it.model"],
                          ["corpus", "synth", "--bytes", "50k", "--seed", 1, "-o", "out/it.txt"]):
            for limit in (1, 3000):
                done = self.run_with(arguments, disk=limit)
                lines = self.own_lines(done.stderr)
                self.assertEqual((done.returncode, len(lines)), (1, 1), f"{arguments} {done.stderr}")
                self.assertIn("No space left on device", lines[0])
                self.assertEqual(self.files(self.folder / "out"), {}, f"{arguments} with {limit} bytes")

    def test_ReadOnlyFolder_IsOneSentence(self):
        self.run_lapilli(*self.train_arguments("run"))
        for arguments in (["data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "/proc/it"], ["export", "run", "-o", "/proc/it"],
                          ["tokenizer", "train", "--type", "byte", "-i", "text", "-o", "/proc/it.model"],
                          ["corpus", "synth", "--bytes", "1k", "--seed", 1, "-o", "/proc/it.txt"], self.train_arguments("/proc/it")):
            self.fails(*arguments, says="/proc/it")

    def test_FullDiskDuringTraining_LosesNoCheckpoint(self):
        self.train_whole()
        for limit in (20000, 60000, 200000):
            done = self.run_with(self.train_arguments("out/run"), disk=limit)
            self.assertEqual(done.returncode, 1, f"{limit}\n{done.stdout}\n{done.stderr}")
            self.assertIn("No space left on device", self.own_lines(done.stderr)[-1])
            self.go_on("out/run", f"disk full after {limit}")
            shutil.rmtree(self.folder / "out" / "run")

    def test_LogThatCannotBeWritten_StillLeavesTheLastGoodStep(self):
        arguments = [*self.train_arguments("out/run"), "--set", "train.checkpoint_every=0", "--set", "train.eval_every=0"]
        done = self.run_with(arguments, disk=3000, disk_file="metrics.jsonl")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("No space left on device", self.own_lines(done.stderr)[-1])
        kept = [int(path.name.removeprefix("step-")) for path in (self.folder / "out" / "run" / "checkpoints").iterdir()]
        self.assertEqual(len(kept), 1, done.stdout)
        self.assertIn(kept[0], range(1, 12))

    # Devices

    def test_LostDevice_GoesOnFromTheNewestCheckpoint(self):
        self.train_whole()
        for fault in ({"submit": 9}, {"wait": 9}, {"submit": 17}):
            done = self.run_with(self.train_arguments("out/run"), **fault)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertRegex(self.own_lines(done.stderr)[-1], "lost")
            self.go_on("out/run", fault)
            shutil.rmtree(self.folder / "out" / "run")

    def test_NoDeviceMemory_IsOneSentence_AndNoRunIsLeft(self):
        for at in (1, 2):
            done = self.run_with(self.train_arguments("out/run"), allocate=at)
            lines = self.own_lines(done.stderr)
            self.assertEqual((done.returncode, len(lines)), (1, 1), done.stderr)
            self.assertIn("cannot allocate", lines[0])
            self.assertFalse((self.folder / "out" / "run").exists())

    def test_HangingDevice_EndsTheProcess(self):
        done = self.run_with(self.train_arguments("out/run"), hang=9)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the device hangs", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
