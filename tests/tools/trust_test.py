#!/usr/bin/env python3
"""What a run promises: nothing is lost, and a resumed run is the same run."""
import json
import shutil
import signal
import subprocess
import unittest

from support import LAPILLI, SMALL_CONFIG, CommandTest, without_validation

without_validation()


class Trust(CommandTest):
    def setUp(self):
        super().setUp()
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        self.make_data(size="25k")

    def arguments(self, run, *more):
        return ["train", "small.toml", "--set", "data.dir=data", "--no-tune", "--run", run, *more]

    def train(self, run, *more):
        return self.run_lapilli(*self.arguments(run, *more))

    def resume_fails(self, run, *more, says):
        before = self.tree()
        self.fails("train", "--run", run, "--resume", *more, says=says)
        self.assertEqual(self.tree(), before)

    def start(self, *arguments, **options):
        return subprocess.Popen([LAPILLI, *map(str, arguments)], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                errors="replace", **options)

    def events(self, run, *kinds):
        lines = (self.folder / run / "metrics.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] in kinds]

    def checkpoints(self, run):
        return sorted(path.name for path in (self.folder / run / "checkpoints").iterdir())

    def newest_state(self, run):
        return (self.folder / run / "checkpoints" / self.checkpoints(run)[-1] / "state.bin").read_bytes()

    # The same run

    def test_Resume_WithAnotherModelSeedOrBatch_IsRefused_NamingBothValues(self):
        self.train("run", "--stop-at", 2)
        for key, was, value in (("model.heads", "2", "4"), ("model.dropout", "0.0", "0.5"), ("train.seed", "3", "77"), ("data.batch", "4", "2"),
                                ("data.accumulate", "1", "2"), ("data.document_mask", "false", "true"), ("loss.softcap", "0.0", "30.0"),
                                ("loss.temperature", "1.0", "2.0"), ("model.norm", '"rmsnorm"', '"layernorm"')):
            self.resume_fails("run", "--set", f"{key}={value}", says=f"{key} = {was}, not {value}")

    def test_Resume_WithAnotherLearningRate_SaysSo(self):
        self.train("run", "--stop-at", 2)
        done = self.run_lapilli("train", "--run", "run", "--resume", "--set", "optim.lr=0.005")
        self.assertIn("changed     optim.lr = 0.005 (0.01 until now)", done.stdout)

    def test_Resume_WithOtherData_IsRefused(self):
        self.train("run", "--stop-at", 2)
        self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "other", "--val-fraction", 0.3)
        self.resume_fails("run", "--set", "data.dir=other", says="checksums differ")
        shutil.move(self.folder / "data", self.folder / "moved")
        self.run_lapilli("train", "--run", "run", "--resume", "--set", "data.dir=moved")

    def test_Resume_FromAnotherFolder_FindsTheData(self):
        self.train("run", "--stop-at", 2)
        subprocess.run([LAPILLI, "train", "--run", self.folder / "run", "--resume"], cwd="/", check=True, capture_output=True)
        self.assertEqual(self.checkpoints("run")[-1], "step-00000006")

    def test_ShardsOfTwoDataSets_AreRefused(self):
        self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "other", "--val-fraction", 0.3)
        shutil.copy(self.folder / "other" / "val.bin", self.folder / "data" / "val.bin")
        self.fails(*self.arguments("run"), says="val.bin' is not of the same data set as")
        self.assertFalse((self.folder / "run").exists())

    # One process, one folder

    def test_ForeignFolder_IsRefusedAndLeftAlone(self):
        (self.folder / "mine").mkdir()
        shutil.copy(self.folder / "small.toml", self.folder / "mine" / "config.toml")
        before = self.tree()
        self.fails("train", "mine/config.toml", "--set", "data.dir=data", "--run", "mine", says="'mine' is neither empty nor a run")
        self.assertEqual(self.tree(), before)

    def test_SecondProcess_IsRefused(self):
        first = self.start(*self.arguments("run", "--set", "train.steps=1000000", "--set", "train.eval_every=0"))
        for line in first.stdout:
            if line.startswith("step"):
                break
        self.fails(*self.arguments("run"), says=f"another process (pid {first.pid}) is training in 'run'")
        self.resume_fails_while_running("run")
        first.send_signal(signal.SIGTERM)
        output, errors = first.communicate()
        self.assertEqual(first.returncode, 0, output + errors)
        for line in (self.folder / "run" / "metrics.jsonl").read_text().splitlines():
            json.loads(line)
        self.assertFalse((self.folder / "run" / ".lock").exists())

    def resume_fails_while_running(self, run):
        done = self.run_lapilli("train", "--run", run, "--resume", code=1)
        self.assertRegex(done.stderr, "another process .* is training|there is no checkpoint")

    def test_LockOfADeadProcess_IsNoLock(self):
        process = self.start(*self.arguments("run", "--set", "train.steps=1000000", "--set", "train.eval_every=0"))
        for line in process.stdout:
            if line.startswith("step"):
                break
        process.kill()
        process.communicate()
        self.assertTrue((self.folder / "run" / ".lock").exists())
        self.train("run")  # nothing had been saved: it begins anew
        self.assertEqual(self.checkpoints("run")[-1], "step-00000006")

    # Nothing is lost

    def test_Divergence_LeavesTheLastGoodStep_AndSaysWhatHappened(self):
        done = self.run_lapilli(*self.arguments("run", "--set", "train.steps=2000", "--set", "optim.schedule=constant", "--set",
                                                "optim.weight_decay=500", "--set", "train.eval_every=0"), code=1)
        self.assertIn("training diverged", done.stderr)
        skipped = self.events("run", "skipped")
        self.assertEqual([event["reason"] for event in skipped], ["not_finite"] * 10)
        last_good = skipped[0]["step"] - 1
        self.assertEqual(self.checkpoints("run"), [f"step-{last_good:08}"])
        end, = self.events("run", "end")
        self.assertEqual((end["reason"], end["step"]), ("failed", last_good + 10))
        self.assertIn("training diverged", end["error"])
        self.assertIn("ERROR: training diverged", (self.folder / "run" / "log.txt").read_text())
        report = json.loads((self.folder / "run" / f"failed-step-{last_good + 10:08}.json").read_text())
        self.assertEqual({batch["context"] for batch in report["micro_batches"]}, {16})
        self.assertGreater(max(parameter["values"]["largest"] for parameter in report["parameters"]), 1e10)
        # It can be continued from there, and its steps are those that it had: the parameters are of that step.
        again = self.run_lapilli("train", "--run", "run", "--resume", code=1)
        self.assertIn("training diverged", again.stderr)
        self.assertEqual([event["step"] for event in self.events("run", "skipped")], [event["step"] for event in skipped])

    def test_BestEvaluation_KeepsItsCheckpoint(self):
        # The learning rate grows until nothing is learned any more.
        self.train("run", "--set", "train.steps=40", "--set", "train.eval_every=2", "--set", "train.keep=1", "--set", "optim.lr=1.0", "--set",
                   "optim.warmup=40")
        losses = {event["step"]: event["loss"] for event in self.events("run", "val")}
        best = min(losses, key=losses.get)
        self.assertNotEqual(best, 40)
        self.assertEqual(self.checkpoints("run"), [f"step-{best:08}", "step-00000040"])
        scored = json.loads(self.run_lapilli("eval", f"run/checkpoints/step-{best:08}", "--data", "data", "--json").stdout)
        self.assertAlmostEqual(scored["loss"], losses[best], places=6)
        end, = self.events("run", "end")
        self.assertEqual((end["reason"], end["best_step"]), ("finished", best))
        self.assertEqual([event["best"] for event in self.events("run", "checkpoint") if event["step"] == best], [True])

    def test_CheckpointMinutes_WriteThemBesideTraining(self):
        self.train("run", "--set", "train.steps=300", "--set", "train.eval_every=0", "--set", "train.checkpoint_minutes=0.0002", "--set", "train.keep=0")
        self.assertGreater(len(self.checkpoints("run")), 2)
        self.train("whole", "--set", "train.steps=300", "--set", "train.eval_every=0")
        self.assertEqual(self.checkpoints("whole"), ["step-00000300"])
        losses = [[event["loss"] for event in self.events(run, "step")] for run in ("run", "whole")]
        self.assertEqual(*losses)

    # Signals

    def test_SignalBeforeTheFirstStep_SaysThatNothingWasTrained(self):
        process = self.start("train", "small.toml", "--set", "data.dir=data", "--run", "new/run")
        lock = self.folder / "new" / "run" / ".lock"
        while not (lock.exists() and lock.read_text()):
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
        self.assertEqual(process.returncode, 130, output + errors)
        self.assertIn("nothing was trained", errors)
        self.assertNotIn("--resume", output + errors)
        self.assertFalse((self.folder / "new" / "run").exists())

    def test_SignalDuringAnEvaluation_EndsIt_AndTheResumedRunIsTheSame(self):
        long_evaluation = ("--set", "train.eval_every=4", "--set", "data.batch=1", "--set", "train.steps=8")
        self.run_lapilli("corpus", "synth", "--bytes", "1M", "--seed", 6, "-o", "long")
        self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "long", "-o", "data", "--val-fraction", 0.9)
        self.train("whole", *long_evaluation)
        process = self.start(*self.arguments("run", *long_evaluation))
        for line in process.stdout:
            if line.startswith("step      4/"):
                break
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate()
        self.assertEqual(process.returncode, 0, output + errors)
        self.assertEqual([event["reason"] for event in self.events("run", "end")], ["stopped"])
        self.assertEqual(self.events("run", "val"), [])
        self.run_lapilli("train", "--run", "run", "--resume")
        for kind in "step", "val":
            self.assertEqual([(event["step"], event["loss"]) for event in self.events("run", kind)],
                             [(event["step"], event["loss"]) for event in self.events("whole", kind)])
        self.assertEqual(self.newest_state("run"), self.newest_state("whole"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
