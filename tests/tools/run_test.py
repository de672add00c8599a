#!/usr/bin/env python3
"""`lapilli train`, `eval`, `generate` and `export` on a model of a few thousand parameters."""
import json
import math
import os
import re
import signal
import subprocess
import time
import unittest

from support import LAPILLI, SMALL_CONFIG, CommandTest
from traces import Trace


class Run(CommandTest):
    def setUp(self):
        super().setUp()
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        self.make_data(size="25k")

    def train(self, run, *more):
        return self.run_lapilli("train", "small.toml", "--set", "data.dir=data", "--run", run, *more)

    def events(self, run, kind):
        lines = (self.folder / run / "metrics.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def newest_state(self, run):
        return sorted((self.folder / run / "checkpoints").glob("step-*"))[-1] / "state.bin"

    def test_TokensWithoutATokenizer_TrainAndResume_AndHaveNoText(self):
        (self.folder / "tokens.bin").write_bytes(bytes(b for i in range(3000) for b in (i * 7 % 250, 0)))
        self.run_lapilli("data", "import", "tokens.bin", "--format", "nanogpt", "--vocab-size", 250, "-o", "tokens")
        self.run_lapilli("train", "small.toml", "--set", "data.dir=tokens", "--run", "run", "--stop-at", 3)
        self.run_lapilli("train", "--run", "run", "--resume")
        self.assertEqual([event["step"] for event in self.events("run", "step")], list(range(1, 7)))
        self.assertTrue(all(event["bits_per_byte"] is None for event in self.events("run", "val")))
        self.assertIsNone(json.loads(self.run_lapilli("eval", "run", "--data", "tokens", "--json").stdout)["bits_per_byte"])
        self.assertNotIn("bits per byte", self.run_lapilli("eval", "run", "--data", "tokens").stdout)
        self.fails("generate", "run", "--prompt", "a", says="imported without their tokenizer")
        self.fails("export", "run", "-o", "exported", says="imported without their tokenizer")

    def test_Import_IsTheModelThatWasExported(self):
        self.train("run")
        self.run_lapilli("export", "run", "-o", "exported")
        self.run_lapilli("import", "exported", "-o", "imported")
        before, after = (json.loads(self.run_lapilli("eval", run, "--data", "data", "--json").stdout) for run in ("run", "imported"))
        self.assertEqual(before["tokens"], after["tokens"])
        self.assertAlmostEqual(before["loss"], after["loss"], places=6)
        self.run_lapilli("train", "imported/config.toml", "--set", "data.dir=data", "--set", "train.init_from=imported", "--run", "tuned", "--stop-at", 1)
        self.fails("train", "--run", "imported", "--resume", "--set", "data.dir=data", says="train.init_from")
        self.fails("import", "exported", "-o", "run", says="'run' exists")

    def test_InitFrom_BeginsWithTheWeightsOfAnotherRun(self):
        self.train("first")
        end = self.events("first", "val")[-1]
        self.train("second", "--set", "train.init_from=first", "--set", "train.seed=9", "--stop-at", 1)
        init, = self.events("second", "init")
        self.assertAlmostEqual(init["loss"], end["loss"], places=6)
        self.assertEqual([event["step"] for event in self.events("second", "step")], [1])
        self.assertNotIn("WARNING", (self.folder / "second" / "log.txt").read_text())
        self.train("longer", "--set", "train.init_from=first/checkpoints/step-00000006", "--set", "model.context=24", "--stop-at", 1)
        self.run_lapilli("train", "--run", "second", "--resume", "--stop-at", 2)
        self.fails("train", "small.toml", "--set", "data.dir=data", "--run", "third", "--set", "train.init_from=first", "--set", "model.dim=64",
                   says="has model.dim = 32, not 64")
        self.fails("train", "small.toml", "--set", "data.dir=data", "--run", "third", "--set", "train.init_from=nowhere", says="nowhere")
        self.assertFalse((self.folder / "third").exists())

    def test_Mix_ResumesToTheByte_AndOneSetIsThatSetAlone(self):
        self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "other", "--val-fraction", 0.4)

        def train(run, *more, sets="[['data', 3], ['other', 1.0]]"):
            return self.run_lapilli("train", "small.toml", "--set", f"data.mix={sets}", "--no-tune", "--run", run, *more)

        self.assertIn("75.0 % from", train("whole").stdout)
        train("parts", "--stop-at", 4)
        self.fails("train", "--run", "parts", "--resume", "--set", "data.mix=[['data', 1], ['other', 1]]", says="weights in data.mix")
        self.fails("train", "--run", "parts", "--resume", "--set", "data.mix=[['other', 1], ['data', 3]]", says="their order")
        subprocess.run([LAPILLI, "train", "--run", self.folder / "parts", "--resume"], cwd="/", check=True, capture_output=True)
        self.assertEqual(self.newest_state("parts").read_bytes(), self.newest_state("whole").read_bytes())
        val, sets = self.events("whole", "val")[-1], self.events("whole", "val_sets")[-1]["sets"]
        losses = [json.loads(self.run_lapilli("eval", "whole", "--data", data, "--json").stdout)["loss"] for data in ("data", "other")]
        self.assertAlmostEqual(val["loss"], 0.75 * losses[0] + 0.25 * losses[1], places=5)
        for scored, loss in zip(sets, losses):
            self.assertAlmostEqual(scored["loss"], loss, places=5)

        self.train("alone", "--no-tune")
        train("one", sets="[['data', 0.2]]")
        weights = {}
        for run in "one", "alone", "whole":  # a state has its configuration in it, which differs
            self.run_lapilli("export", run, "-o", f"{run}-exported")
            weights[run] = (self.folder / f"{run}-exported" / "model.safetensors").read_bytes()
        self.assertEqual(weights["one"], weights["alone"])
        self.assertNotEqual(weights["whole"], weights["alone"])
        self.run_lapilli("plan", "small.toml", "--set", "data.mix=[['data', 1], ['other', 1]]", "--no-measure")

        self.run_lapilli("tokenizer", "train", "--type", "byte", "-i", "text", "-o", "byte.model")
        self.run_lapilli("data", "build", "--tokenizer", "byte.model", "-i", "text", "-o", "bytes")
        for sets, says in (("[['data', 1], ['bytes', 1]]", "another tokenizer than the data set 'data'"), ("[['data', 1], ['nosuch', 1]]", "nosuch"),
                           ("[['data', 0]]", "weights above 0")):
            self.fails("train", "small.toml", "--set", f"data.mix={sets}", "--run", "bad", says=says)
        self.fails("train", "small.toml", "--set", "data.mix=[['data', 1]]", "--set", "data.dir=data", "--run", "bad", says="exclude each other")
        self.assertFalse((self.folder / "bad").exists())

    def test_Train_LeavesARunFolder_ThatEvalGenerateAndExportTake(self):
        self.train("run")
        for name in "config.toml", "tokenizer.model", "metrics.jsonl", "log.txt", "checkpoints/step-00000006/state.bin":
            self.assertTrue((self.folder / "run" / name).is_file(), name)
        start, = self.events("run", "start")
        version = self.run_lapilli("--version").stdout
        self.assertTrue(version.startswith("lapilli " + start["lapilli"]), version)
        self.assertIn(start["commit"], version)
        written_by, = {path.read_text() for path in (self.folder / "run" / "checkpoints").glob("step-*/written_by.json")}
        self.assertEqual(json.loads(written_by)["commit"], start["commit"])
        init, = self.events("run", "init")
        self.assertLess(abs(init["loss"] - math.log(400)), 0.1)
        about = json.loads((self.folder / "data" / "dataset.json").read_text())
        self.assertEqual(init["tokens"], about["val"]["tokens"] - 1)  # few enough for all of them to be scored
        self.assertEqual([event["step"] for event in self.events("run", "step")], list(range(1, 7)))
        self.assertTrue(all(event["mfu"] > 0 for event in self.events("run", "step")))
        since_start = [event.get("since_start_s") for event in self.events("run", "step")]
        self.assertGreater(since_start[0], self.events("run", "step")[0]["ms"] / 1e3)
        self.assertEqual(since_start[1:], [None] * 5)

        scored = json.loads(self.run_lapilli("eval", "run", "--data", "data", "--json").stdout)
        last = self.events("run", "val")[-1]
        self.assertEqual((scored["step"], scored["tokens"]), (6, last["tokens"]))
        self.assertAlmostEqual(scored["loss"], last["loss"], places=6)
        self.assertAlmostEqual(scored["perplexity"], math.exp(scored["loss"]), places=3)
        self.assertIn("perplexity", self.run_lapilli("eval", "run", "--data", "data", "--split", "train").stdout)

        said = [self.run_lapilli("generate", "run", "--prompt", "The cat", "--tokens", 20, "--seed", seed).stdout for seed in (1, 1, 2)]
        self.assertTrue(said[0].startswith("The cat"), said[0])
        self.assertEqual(said[0], said[1])
        self.assertNotEqual(said[0], said[2])

        self.run_lapilli("export", "run", "-o", "exported")
        raw = (self.folder / "exported" / "model.safetensors").read_bytes()
        header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
        self.assertIn("model.embed_tokens.weight", header)
        self.assertEqual(json.loads((self.folder / "exported" / "config.json").read_text())["vocab_size"], 400)

    def test_Eval_ScoresEveryTokenButTheFirst_OfATextAsOfItsShard(self):
        self.train("run")
        about = json.loads((self.folder / "data" / "dataset.json").read_text())
        of_shard = json.loads(self.run_lapilli("eval", "run", "--data", "data/train.bin", "--json").stdout)
        self.assertEqual(of_shard["tokens"], about["train"]["tokens"] - 1)
        of_text = json.loads(self.run_lapilli("eval", "run", "--data", "text", "--json").stdout)
        self.assertEqual(of_text["tokens"], about["train"]["tokens"] + about["val"]["tokens"] - 1)
        self.assertEqual(of_text["data"], "text")
        (self.folder / "one.txt").write_text("a")
        self.fails("eval", "run", "--data", "one.txt", says="'one.txt' has 1 token(s)")
        (self.folder / "short.txt").write_text("the")  # fewer tokens than the context: the pass has their number of rows, and the same loss
        short, whole = (json.loads(self.run_lapilli("eval", "run", "--data", "short.txt", "--json", *more).stdout)
                        for more in ((), ("--context", 16, "--batch", 4)))
        self.assertEqual((short["context"], whole["context"], short["tokens"]), (short["tokens"], 16, whole["tokens"]))
        self.assertAlmostEqual(short["loss"], whole["loss"], places=5)
        self.misused("eval", "run", "--data", "data", "--context", 17, says="17 is more than the model's context of 16")
        strided = json.loads(self.run_lapilli("eval", "run", "--data", "data", "--stride", 5, "--json").stdout)
        self.assertEqual(strided["tokens"], about["val"]["tokens"] - 1)

    def test_Resume_GivesTheBytesOfAnUninterruptedRun(self):
        self.train("whole")
        self.train("parts", "--stop-at", 4)
        self.assertEqual(len(self.events("parts", "step")), 4)
        # The run stores its configuration and its kernel choices: without a tuning file nothing is measured again.
        forgetful = os.environ | {"LAPILLI_CACHE_DIR": str(self.folder / "empty")}
        self.run_lapilli("train", "--run", "parts", "--resume", env=forgetful)
        self.assertTrue((self.folder / "parts" / "tuning.json").exists())
        self.assertNotIn('"matmul', "".join(file.read_text() for file in self.folder.glob("empty/tuning-*.json")))
        for whole, parts in zip(self.events("whole", "step"), self.events("parts", "step"), strict=True):
            self.assertEqual((whole["step"], whole["loss"], whole["lr"]), (parts["step"], parts["loss"], parts["lr"]))
        self.assertEqual(self.newest_state("whole").read_bytes(), self.newest_state("parts").read_bytes())

    def test_CompiledKernels_AreKeptWhereTheDriverKeepsNone_AndGiveTheBytesOfPipelines(self):
        def state_of(run, cache, **environment):
            # Without layers: those that validate have kernels made as pipelines.
            layers = ("VK_INSTANCE_LAYERS", "VK_LOADER_LAYERS_ENABLE", "LAPILLI_VALIDATION")
            plain = {name: value for name, value in os.environ.items() if name not in layers}
            self.run_lapilli("train", "small.toml", "--set", "data.dir=data", "--run", run, "--no-tune",
                             env=plain | {"LAPILLI_CACHE_DIR": str(self.folder / cache)} | environment)
            return self.newest_state(run).read_bytes()

        def kept_files():
            return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in self.folder.glob("cache/kernels-*/*")}

        # A first start begins with small kernels, and may end before the others are compiled: until nothing is new.
        first, kept = state_of("first", "cache"), kept_files()
        driver = json.loads(self.run_lapilli("devices", "--json").stdout)[0]["driver"]
        lavapipe = re.match(r"llvmpipe Mesa (\d+)", driver)
        if not lavapipe or int(lavapipe[1]) < 25:
            self.assertFalse(kept)
            self.skipTest(f"{driver} remembers its pipelines, or is not known to make the same of objects")
        self.assertTrue(kept)
        for again in range(100):
            before = kept
            self.assertEqual(state_of(f"again-{again}", "cache"), first)
            kept = kept_files()
            self.assertEqual({path: kept[path] for path in before}, before)  # nothing is written twice
            if kept == before:
                break
        self.assertEqual(kept, before)
        kept = {path: binary for path, (_, binary) in kept.items()}

        damaged = {}
        for number, (path, binary) in enumerate(kept.items()):
            damaged[path] = [b"", binary[:20], binary[:-1], binary[:-9] + b"\xff" * 9][number % 4]
            path.write_bytes(damaged[path])
        self.assertEqual(state_of("damaged", "cache"), first)
        repaired = [path.read_bytes() == binary for path, binary in kept.items()]
        self.assertEqual([path.name for path, well in zip(kept, repaired) if not well and path.read_bytes() != damaged[path]], [])
        for damage in range(4):  # not all: some were for measurements that are remembered
            self.assertGreater(sum(repaired[damage::4]), len(repaired[damage::4]) / 2, damage)

        self.assertEqual(state_of("pipelines", "other", LAPILLI_VALIDATION="1"), first)
        self.assertEqual(list(self.folder.glob("other/kernels-*")), [])

    def test_Interrupt_FinishesTheStepAndWritesACheckpoint(self):
        command = [LAPILLI, "train", "small.toml", "--set", "data.dir=data", "--set", "train.steps=1000000",
                   "--set", "train.eval_every=0", "--run", "run"]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("step"):
                break
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
        self.assertEqual(process.returncode, 0, output + errors)
        self.assertIn("--resume", output)
        steps = len(self.events("run", "step"))
        self.assertEqual(self.newest_state("run").parent.name, f"step-{steps:08d}")
        self.run_lapilli("eval", "run", "--data", "data")

    def test_SecondInterrupt_EndsAtOnce_AndTheCheckpointsStayWhole(self):
        command = [LAPILLI, "train", "small.toml", "--set", "data.dir=data", "--set", "train.steps=1000000", "--set",
                   "train.checkpoint_every=1", "--set", "train.eval_every=0", "--run", "run"]
        process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not list(self.folder.glob("run/checkpoints/step-*")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        self.assertIn(process.wait(), (0, 128 + signal.SIGTERM, 128 + signal.SIGINT))
        self.run_lapilli("eval", "run", "--data", "data")

    def test_Teacher_IsUsed_AndItsTermsAddUp(self):
        self.train("teacher", "--set", "train.steps=60", "--set", "train.eval_every=0")
        distil = ("--set", "loss.teacher=teacher", "--set", "loss.distillation=1", "--set", "model.dim=16", "--set", "train.steps=40",
                  "--set", "train.eval_every=0")
        self.train("student", *distil)
        steps = self.events("student", "step")
        for step in steps:
            self.assertAlmostEqual(step["teacher_cross_entropy"], step["teacher_entropy"] + step["teacher_kl"], delta=1e-4)
        self.assertLess(steps[-1]["teacher_kl"], 0.5 * steps[0]["teacher_kl"])
        self.train("again", *distil, "--stop-at", 20)
        self.run_lapilli("train", "--run", "again", "--resume")
        self.assertEqual(self.newest_state("again").read_bytes(), self.newest_state("student").read_bytes())

        self.run_lapilli("tokenizer", "train", "--type", "byte", "-i", "text", "-o", "b.model")
        self.run_lapilli("data", "build", "--tokenizer", "b.model", "-i", "text", "-o", "bytes")
        self.fails("train", "small.toml", "--set", "data.dir=bytes", "--set", "loss.teacher=teacher", "--set", "loss.distillation=0.5",
                   "--run", "other", says="vocabulary")
        self.fails("train", "small.toml", "--set", "data.dir=data", "--set", "loss.teacher=nowhere", "--set", "loss.distillation=0.5",
                   "--run", "other", says="nowhere")

    def test_AutoLoss_IsChosenOnceAndKeptInTheRun(self):
        self.train("run", "--set", "data.batch=96", "--stop-at", 1)
        config = (self.folder / "run" / "config.toml").read_text()
        self.assertRegex(config, r'strategy = "(full|tokens|vocab)"')
        self.assertRegex((self.folder / "run" / "log.txt").read_text(), r"loss +(full|tokens|vocab): .*\((measured|remembered|the only one)")
        self.train("untuned", "--set", "data.batch=96", "--stop-at", 1, "--no-tune")

    def test_Profile_OfTheLastSteps_AgreesWithTheTrace(self):
        said = self.train("run", "--profile", 4).stdout
        table = (self.folder / "run" / "profile.txt").read_text()
        self.assertIn(table.splitlines()[-1], said)
        self.assertIn("mean of 4 steps", table)
        trace = Trace(self, (self.folder / "run" / "trace.json").read_text())
        self.assertEqual([step["args"]["step"] for step, _ in trace.host], [3, 4, 5, 6])
        for step, inner in trace.host:
            self.assertEqual([event["name"] for event, _ in inner],
                             ["wait for batch", "upload", "submit", "wait for the device", "read results", "log"])
            self.assertAlmostEqual(sum(event["dur"] for event, _ in inner), step["dur"], places=3)
        wall = sum(step["dur"] for step, _ in trace.host)
        waited = sum(event["dur"] for _, inner in trace.host for event, _ in inner if event["name"] == "wait for the device")
        self.assertAlmostEqual(float(re.search(r"host (\S+) %\n$", table)[1]), 100 * (1 - waited / wall), delta=0.006)
        if not trace.device:
            self.assertIn("no timestamps", table)
            return
        self.check_device_track(trace, table, wall)

    def check_device_track(self, trace, table, wall):
        rows = {row[0]: row for row in (re.split(r" {2,}", line) for line in table.partition("\n\n")[0].splitlines()) if len(row) >= 6}
        for scope, (calls, us) in trace.device_scopes().items():
            self.assertEqual(int(rows[scope][1]), calls / 4)
            self.assertAlmostEqual(float(rows[scope][2]), us / 4e3, delta=0.00051 + 1e-6 * calls)
        worked = sum(step["dur"] for step, _ in trace.device)
        told = float(re.search(r"GPU coverage (\S+) % of the step", table)[1])
        self.assertAlmostEqual(told, 100 * worked / wall, delta=0.06)
        if not trace.metadata["clock_alignment"].startswith("calibrated"):
            return
        slack = float(re.search(r"within (\d+) ns", trace.metadata["clock_alignment"])[1]) * 1e-3 + 1
        for (_, inner), (device, _) in zip(trace.host, trace.device, strict=True):
            submit, wait = (next(event for event, _ in inner if event["name"] == name) for name in ("submit", "wait for the device"))
            self.assertGreaterEqual(device["ts"], submit["ts"] - slack)
            self.assertLessEqual(device["ts"] + device["dur"], wait["ts"] + wait["dur"] + slack)

    def test_Precision_TrainsIfTheDeviceSupportsIt_AndIsAnErrorElsewhere(self):
        device = json.loads(self.run_lapilli("bench", "matmul", "--size", 16, "--repeats", 1, "--json").stdout)["device"]
        for precision in "f16", "bf16":
            if device[f"matrix_{precision}"] is None:
                self.fails("train", "small.toml", "--set", "data.dir=data", "--set", f"train.precision={precision}", "--run", precision,
                           says=f"does not support {precision} matrices")
                self.assertFalse((self.folder / precision).exists())
                continue
            self.train(precision, "--set", f"train.precision={precision}")
            steps = self.events(precision, "step")
            self.assertEqual([event.get("loss_scale") for event in steps], [65536 if precision == "f16" else None] * len(steps))
            scored = json.loads(self.run_lapilli("eval", precision, "--data", "data", "--json").stdout)
            self.assertAlmostEqual(scored["loss"], self.events(precision, "val")[-1]["loss"], places=6)

    def test_Errors_AreOneSentence_AndChangeNothing(self):
        self.train("run")
        (self.folder / "bad.toml").write_text("[model]\nlayers = 'three'\n")
        (self.folder / "torn.toml").write_text("[model\n")
        state = self.newest_state("run")
        damaged = self.folder / "damaged" / "step-00000006"
        damaged.mkdir(parents=True)
        for file in state.parent.iterdir():
            (damaged / file.name).write_bytes(file.read_bytes())
        raw = bytearray(state.read_bytes())
        raw[len(raw) // 2] ^= 1
        (damaged / "state.bin").write_bytes(raw)
        self.run_lapilli("tokenizer", "train", "--type", "byte", "-i", "text", "-o", "other.model")
        self.run_lapilli("data", "build", "--tokenizer", "other.model", "-i", "text", "-o", "other")
        before = self.tree()
        for arguments, says in [
            (("train", "nosuch.toml"), "nosuch.toml"),
            (("train", "bad.toml"), "layers"),
            (("train", "torn.toml"), "torn.toml"),
            (("train", "small.toml"), "data.dir"),
            (("train", "small.toml", "--set", "optim.lrr=1"), "optim.lr"),
            (("train", "small.toml", "--set", "data.dir=nosuch"), "nosuch"),
            (("train", "small.toml", "--set", "data.dir=data", "--run", "run"), "--resume"),
            (("train", "small.toml", "--set", "data.dir=data", "--run", "new", "--resume"), "new"),
            (("train", "small.toml", "--set", "data.dir=data", "--set", "data.batch=60000", "--set", "model.ffn_dim=60000"), "data.batch"),
            (("train", "small.toml", "--set", "data.dir=data", "--set", "model.context=1000000"), "tokens"),
            (("eval", "nosuch", "--data", "data"), "nosuch"),
            (("eval", "damaged/step-00000006", "--data", "data"), "state.bin"),
            (("eval", "run", "--data", "nosuch"), "nosuch"),
            (("eval", "run", "--data", "other"), "other"),
            (("generate", "nosuch", "--prompt", "x"), "nosuch"),
            (("generate", "run", "--prompt", "x", "--device", "no such device"), "no such device"),
            (("export", "damaged/step-00000006", "-o", "exported"), "state.bin"),
        ]:
            with self.subTest(arguments=arguments):
                self.fails(*arguments, says=says)
                self.assertEqual(self.tree(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
