#!/usr/bin/env python3
"""`lapilli bench`: every bench on shapes of a moment; the figures hang together."""
import json
import unittest

from support import SMALL_CONFIG, CommandTest

QUICK = ("--repeats", 3)


class Bench(CommandTest):
    def bench(self, *arguments):
        report = json.loads(self.run_lapilli("bench", *arguments, *QUICK, "--json").stdout)
        self.assertGreater(report["ceiling_gflops"], 0)
        for result in report["results"]:
            self.assertEqual(result["repeats"], 3)
            self.assertTrue(0 < result["min_ms"] <= result["median_ms"] <= result["max_ms"], result)
            if "gflops" in result:
                self.assertAlmostEqual(result["gflops"], result["flops"] / result["median_ms"] * 1e-6, delta=1e-6 * result["gflops"])
                self.assertAlmostEqual(result["share_of_ceiling"], result["gflops"] / report["ceiling_gflops"], places=6)
        return {result["name"]: result for result in report["results"]}

    def test_Ceiling_TellsMultiplyAddsCopyAndLaunch(self):
        results = self.bench("ceiling", "--copy-mib", 8)
        self.assertEqual(results["multiply-add"]["share_of_ceiling"], 1)
        self.assertEqual(results["copy"]["bytes"], 2 * 8 * 2**20)
        self.assertLess(results["empty dispatch"]["median_ms"], 100)

    def test_Matmul_MeasuresTheLayoutsAskedFor(self):
        self.assertEqual(list(self.bench("matmul", "--m", 65, "--n", 33, "--k", 17)), ["multiply-add", "nn", "nt", "tn"])
        results = self.bench("matmul", "--size", 32, "--k", 8, "--layout", "tn")
        self.assertEqual(list(results), ["multiply-add", "tn"])
        self.assertEqual(results["tn"]["flops"], 2 * 32 * 32 * 8)

    def test_Attention_CountsOnlyWhatIsNotMasked(self):
        results = self.bench("attention", "--batch", 2, "--context", 9, "--heads", 4, "--kv-heads", 2, "--head-width", 8)
        self.assertEqual(results["forward"]["flops"], 2 * 2 * 2 * 4 * 45 * 8)
        self.assertEqual(results["backward"]["flops"], 2.5 * results["forward"]["flops"])

    def test_Loss_ComparesStrategies_AndLeavesMaskedRowsOut(self):
        results = self.bench("loss", "--tokens", 40, "--vocab", 600, "--dim", 16, "--chunk", 256, "--memory-mib", 1,
                             "--valid-fraction", 0.25)
        self.assertEqual(list(results), ["multiply-add", "full evaluate", "full train", "vocab evaluate", "vocab train"])
        self.assertEqual(results["full train"]["flops"], 6 * 10 * 600 * 16)
        self.assertEqual((results["vocab train"]["chunks"], results["full train"]["chunks"]), (3, 1))

    def test_Step_AndPlan_AgreeOnWorkAndMemory(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        step = self.bench("step", "small.toml", "--vocab-size", 300)["step"]
        plan = json.loads(self.run_lapilli("plan", "small.toml", "--vocab-size", 300, "--json").stdout)
        self.assertEqual(plan["tokens_per_step"], 4 * 16)
        self.assertAlmostEqual(plan["flops_per_token"] * plan["tokens_per_step"], step["flops"], delta=1)
        self.assertEqual(plan["memory_bytes"], step["memory_bytes"])
        self.assertGreater(plan["step_ms"], 0)
        self.fails("plan", "small.toml", says="--vocab-size")
        self.assertEqual(sorted(self.tree()), ["small.toml"])

    def test_Table_IsReadable(self):
        said = self.run_lapilli("bench", "matmul", "--size", 32, *QUICK).stdout
        self.assertIn("of ceiling", said)
        self.assertRegex(said, r"nt +\S+ .s ")


if __name__ == "__main__":
    unittest.main(verbosity=2)
