#!/usr/bin/env python3
"""`lapilli check`: what it says of this device, and programs that refuse what a check found wrong."""
import json
import os
import pathlib
import unittest

from support import SMALL_CONFIG, CommandTest, without_validation

without_validation()

KERNELS = ("matmul nn", "matmul nt", "matmul tn", "matmul nt + gelu", "matmul nn + swiglu backward", "matmul nt + rotary", "attention forward",
           "attention backward", "loss full", "loss tokens", "loss vocab", "layernorm forward", "rmsnorm backward", "gelu", "swiglu", "dropout",
           "rope", "bias gradient", "column sum", "embedding forward", "embedding backward", "gradient norm", "adamw")


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path(os.environ["HOME"], ".cache")
    return pathlib.Path(os.environ.get("LAPILLI_CACHE_DIR") or pathlib.Path(cache, "lapilli"))


class Check(CommandTest):
    # One test, because a check takes a while: its results are where the training looks.
    def test_Quick_EveryKernelIsRight_AndTrainingRefusesAWrongOne(self):
        report = json.loads(self.run_lapilli("check", "--quick", "--json").stdout)
        self.assertEqual(list(report), ["device", "driver", "version", "seconds", "checks", "ok"])
        self.assertTrue(report["ok"])
        self.assertGreater(report["seconds"], 0)
        self.assertEqual(set(KERNELS) - {check["kernel"] for check in report["checks"]}, set())
        for check in report["checks"]:
            self.assertEqual((check["ok"], check["cases"], check["message"]), (True, 1, ""), check)
            self.assertTrue(0 <= check["worst"] <= 1, check)

        remembered = max(cache_folder().glob("tuning-*.json"), key=lambda path: path.stat().st_mtime)
        tuning = json.loads(remembered.read_text())
        tuning["wrong"] = [{"kernel": "rmsnorm forward", "variant": "y in f32", "precision": "f32", "key": "", "candidate": "", "essential": True}]
        own = self.folder / "cache"
        own.mkdir()
        (own / remembered.name).write_text(json.dumps(tuning))
        self.make_data()
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        self.run_lapilli("train", "small.toml", "--set", "data.dir=data", "--no-tune", "--run", "run")
        for command in (["train", "small.toml", "--set", "data.dir=data"], ["eval", "run", "--data", "data"], ["generate", "run", "--prompt", "a"]):
            done = self.run_lapilli(*command, code=1, env={**os.environ, "LAPILLI_CACHE_DIR": str(own)})
            self.assertIn("the kernel rmsnorm forward (y in f32) is wrong on", done.stderr)
            self.assertIn("`lapilli check` found it wrong, and there is no other", done.stderr)


if __name__ == "__main__":
    unittest.main()
