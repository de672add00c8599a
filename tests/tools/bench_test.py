#!/usr/bin/env python3
"""`lapilli bench`: every bench on small shapes; the figures are consistent."""
import html
import json
import math
import os
import re
import subprocess
import unittest

from support import LAPILLI, SMALL_CONFIG, CommandTest
from traces import Trace

QUICK = ("--repeats", 3)


class BenchTest(CommandTest):
    def bench(self, *arguments):
        return self.check_report(self.bench_json(*arguments))

    def bench_json(self, *arguments):
        return json.loads(self.run_lapilli("bench", *arguments, *QUICK, "--json").stdout)

    def check_report(self, report):
        """Results by name."""
        self.assertGreater(report["ceiling_gflops"], 0)
        for result in report["results"]:
            self.assertEqual(result["repeats"], 3)
            self.assertTrue(0 < result["min_ms"] <= result["median_ms"] <= result["max_ms"], result)
            if "gflops" in result:
                self.assertAlmostEqual(result["gflops"], result["flops"] / result["median_ms"] * 1e-6, delta=1e-6 * result["gflops"])
                self.assertAlmostEqual(result["share_of_ceiling"], result["gflops"] / report["ceiling_gflops"], places=6)
        return {result["name"]: result for result in report["results"]}

    def charts(self, page="page.html"):
        return json.loads(re.search(r'<script type="application/json" id="charts">(.*?)</script>', (self.folder / page).read_text(), re.DOTALL)[1])


class Bench(BenchTest):
    def test_Ceiling_ReportsMultiplyAddsCopyAndLaunch(self):
        results = self.bench("ceiling", "--copy-mib", 8)
        self.assertEqual(results["multiply-add"]["share_of_ceiling"], 1)
        longest = json.loads(self.run_lapilli("bench", "ceiling", "--copy-mib", 8, "--repeats", 3, "--json").stdout)["longest_submission_ms"]
        self.assertGreater(longest, 0)  # a second was requested; a busy machine may take longer
        self.assertEqual(results["copy"]["bytes"], 2 * 8 * 2**20)
        self.assertGreater(results["empty dispatch"]["median_ms"], 0)

    def test_Matmul_MeasuresTheLayoutsAskedFor(self):
        self.assertEqual(list(self.bench("matmul", "--m", 65, "--n", 33, "--k", 17)), ["multiply-add", "nn", "nt", "tn"])
        results = self.bench("matmul", "--size", 32, "--k", 8, "--layout", "tn")
        self.assertEqual(list(results), ["multiply-add", "tn"])
        self.assertEqual(results["tn"]["flops"], 2 * 32 * 32 * 8)

    def test_Matmul_ComparesTheKernelsAskedFor(self):
        results = self.bench("matmul", "--size", 32, "--layout", "nn", "--kernel", "tiled:32,cpu,cpu:8x2")
        self.assertEqual(list(results), ["multiply-add", "nn tiled:32", "nn cpu", "nn cpu:8x2"])
        for kernel, says in (("tiled:48", "tiles of 32, 64, 128"), ("cpu:8", "tiles of 64x4, 64x2"), ("coopmat2", "no kernel 'coopmat2' for f32"),
                             ("fastest", "no kernel 'fastest'")):
            self.misused("bench", "matmul", "--kernel", kernel, says=says)

    def test_Attention_CountsOnlyWhatIsNotMasked(self):
        results = self.bench("attention", "--batch", 2, "--context", 9, "--heads", 4, "--kv-heads", 2, "--head-width", 8)
        self.assertEqual(results["forward"]["flops"], 2 * 2 * 2 * 4 * 45 * 8)
        self.assertEqual(results["backward"]["flops"], 2.5 * results["forward"]["flops"])

    def test_Attention_ComparesTheKernelsAskedFor(self):
        shape = ("attention", "--batch", 1, "--context", 9, "--heads", 2, "--head-width", 8)
        self.assertEqual(list(self.bench(*shape, "--kernel", "tiled,cpu")),
                         ["multiply-add", "forward tiled", "backward tiled", "forward cpu", "backward cpu"])
        self.assertEqual(list(self.bench(*shape, "--kernel", "tiled")), ["multiply-add", "forward", "backward"])
        for kernel in "coopmat", "coopmat2", "tiled:32", "fastest":
            self.misused("bench", "attention", "--kernel", kernel, says=f"no kernel '{kernel}' for f32")

    def test_Config_GivesTheMatmulShapesOfTraining(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        config = ("--config", "small.toml", "--set", "model.layers=3")
        step = self.bench_json("step", "small.toml", *config[2:], "--vocab-size", 300, "--profile")["profile"]
        trained = {scope["scope"]: scope["flops"] for scope in step["scopes"]}
        report = self.bench_json("matmul", *config)
        results = self.check_report(report)
        self.assertEqual(report["shape"], {"config": "small.toml", "tokens": 64, "dtype": "f32", "memory": "f32"})
        self.assertEqual({name: (it["m"], it["n"], it["k"]) for name, it in results.items() if "m" in it},
                         {"qkv nn": (64, 32, 64), "qkv nt": (64, 64, 32), "qkv tn": (64, 32, 64),
                          "proj nn": (64, 32, 32), "proj nt": (64, 32, 32), "proj tn": (32, 32, 64),
                          "gate_up nn": (64, 32, 192), "gate_up nt": (64, 192, 32), "gate_up tn": (192, 32, 64),
                          "out nn": (64, 96, 32), "out nt": (64, 32, 96), "out tn": (32, 96, 64)})
        attention = self.bench_json("attention", *config)
        self.assertEqual(attention["shape"], {"batch": 4, "context": 16, "heads": 2, "kv_heads": 1, "head_width": 16, "dtype": "f32"})
        if trained:  # not on a device without timestamps
            forward = 3 * sum(it["flops"] for name, it in results.items() if name.endswith("nt"))
            turned = 3 * 3 * 64 * 48  # in three layers 64 rows of q and k, 48 wide, of 3 FLOPs an element
            gated = 3 * 64 * 96 * 14  # and as many of gate and up, 96 wide, of 14
            self.assertEqual(forward + turned + gated, trained["forward/matmul"])
            backward = 3 * sum(it["flops"] for name, it in results.items() if name[-2:] in ("nn", "tn"))
            self.assertTrue(backward <= trained["backward/matmul"] < 1.05 * backward)  # includes the derivative of the nonlinearity
            self.assertEqual(3 * self.check_report(attention)["forward"]["flops"], trained["forward/attention"])
        gelu = self.bench("matmul", *config, "--set", "model.mlp=gelu", "--layout", "nt")
        self.assertEqual(list(gelu), ["multiply-add", "qkv nt", "proj nt", "fc nt", "out nt"])

    def test_Config_GivesThePrecisionUnlessAnOptionDoes(self):
        (self.folder / "half.toml").write_text(SMALL_CONFIG + "precision = 'f16'\n")
        for bench in "matmul", "attention":
            self.assertEqual(self.bench_json(bench, "--config", "half.toml", "--dtype", "f32")["shape"]["dtype"], "f32")
            done = subprocess.run([LAPILLI, "bench", bench, "--config", "half.toml", *map(str, QUICK), "--json"], cwd=self.folder,
                                  capture_output=True, text=True)
            if done.returncode == 0:
                self.assertEqual(json.loads(done.stdout)["shape"]["dtype"], "f16")
            else:  # not supported by the device's matrix units
                self.assertIn("f16", done.stderr)

    def test_Kernels_ReportsStatisticsOrTheReasonForNone(self):
        done = subprocess.run([LAPILLI, "bench", "kernels", "--json"], capture_output=True, text=True)
        if done.returncode != 0:  # most software drivers
            return self.fails("bench", "kernels", says="reports no")
        kernels = json.loads(done.stdout)["kernels"]
        self.assertIn("adamw", {kernel["name"] for kernel in kernels})
        self.assertTrue(all(kernel["statistics"] for kernel in kernels))

    def test_Step_AndPlan_AgreeOnWorkAndMemory(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        step = self.bench("step", "small.toml", "--vocab-size", 300)["step"]
        plan = json.loads(self.run_lapilli("plan", "small.toml", "--vocab-size", 300, "--json").stdout)
        self.assertEqual(plan["tokens_per_step"], 4 * 16)
        self.run_lapilli("plan", "small.toml", "--vocab-size", 300, "--no-measure", "--save", "plan.json")
        saved = self.folder / "plan.json"
        self.assertEqual(json.loads(saved.read_text())["memory_bytes"], plan["memory_bytes"])
        saved.unlink()
        self.assertAlmostEqual(plan["flops_per_token"] * plan["tokens_per_step"], step["flops"], delta=1)
        self.assertEqual(plan["memory_bytes"], step["memory_bytes"])
        self.assertGreater(plan["step_ms"], 0)
        self.assertAlmostEqual(plan["tokens_per_s"], 64e3 / plan["step_ms"], places=3)
        other = json.loads(self.run_lapilli("plan", "small.toml", "--vocab-size", 300, "--set", "train.recompute=true", "--json").stdout)
        for one, two in ((plan, other), (other, plan)):
            self.assertEqual(one["alternative"]["memory_bytes"], two["memory_bytes"])
            self.assertGreater(one["alternative"]["predicted_step_ms"], 0)
        self.assertEqual([plan["alternative"]["recompute"], other["alternative"]["recompute"]], [True, False])
        deep = json.loads(self.run_lapilli("plan", "small.toml", "--vocab-size", 300, "--set", "model.layers=6", "--no-measure", "--json").stdout)
        self.assertLess(deep["alternative"]["memory_bytes"], deep["memory_bytes"])  # one layer has nothing to share
        self.assertNotIn("predicted_step_ms", deep["alternative"])
        self.assertNotIn("step_ms", json.loads(self.run_lapilli("plan", "small.toml", "--vocab-size", 300, "--no-measure", "--json").stdout))
        self.fails("plan", "small.toml", says="--vocab-size")
        self.assertEqual(sorted(self.tree()), ["small.toml"])

    def test_Plan_PredictsADeepModelFromTwoLayers(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        deep = ("small.toml", "--vocab-size", 300, "--set", "model.layers=12", "--set", "data.accumulate=2")
        # The error of a prediction can be tested only on an idle machine (within 25 %); here its parts have to add up.
        plan = json.loads(self.run_lapilli("plan", *deep, "--json").stdout)
        self.assertGreater(plan["predicted_step_ms"], 0)
        self.assertAlmostEqual(plan["predicted_tokens_per_s"], plan["tokens_per_step"] / plan["predicted_step_ms"] * 1e3, places=3)
        self.assertAlmostEqual(plan["predicted_seconds"], 6e-3 * plan["predicted_step_ms"], places=9)
        parts = {part["name"]: part for part in plan["predicted_parts"]}
        if parts:  # not on a device without timestamps
            step = self.bench_json("step", *deep, "--profile")["profile"]
            matmul = sum(scope["flops"] for scope in step["scopes"] if scope["scope"].endswith("/matmul"))
            self.assertAlmostEqual(parts["matmul"]["flops"], matmul, delta=1e-9 * matmul)  # the work is exact
            self.assertLessEqual(sum(part["ms"] for part in parts.values()), plan["predicted_step_ms"] * (1 + 1e-9))
        said = self.run_lapilli("plan", *deep).stdout
        self.assertRegex(said, r"\npredicted +\S+ .?s per step \(\d+ tokens per second")
        said = self.run_lapilli("plan", *deep, "--no-measure").stdout
        self.assertNotIn("predicted", said)
        self.assertNotIn("measured", said)

    def test_Explain_ListsTheChoices_AndAPinnedFileIsUsed(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG.replace("batch = 4", "batch = 10"))  # two tiles of similar predicted cost
        environment = os.environ | {"LAPILLI_CACHE_DIR": str(self.folder / "cache")}
        step = ("bench", "step", "small.toml", "--vocab-size", 300, "--explain", "--json", *QUICK)
        first = json.loads(self.run_lapilli(*step, "--tuning", "pinned.json", env=environment).stdout)["choices"]
        if "matmul" not in {choice["operation"].split()[0] for choice in first}:
            self.skipTest("this driver has one kernel for each matmul: nothing to choose")
        for choice in first:
            best = min(ms for ms in choice["median_ms"].values() if ms is not None)
            self.assertLessEqual(choice["median_ms"][choice["chosen"]], 1.02 * best, choice)
        # Another choice in the file is used, and nothing is written.
        file = self.folder / "pinned.json"
        pinned = json.loads(file.read_text())
        operation = next(choice["operation"] for choice in first if choice["operation"].startswith("matmul"))
        other = next(name for name in pinned["choices"][operation]["median_ms"] if name != pinned["choices"][operation]["chosen"])
        pinned["choices"][operation]["chosen"] = other
        file.write_text(json.dumps(pinned))
        again = json.loads(self.run_lapilli(*step, "--tuning", "pinned.json", "--no-tune", env=environment).stdout)["choices"]
        self.assertEqual({choice["operation"]: choice["chosen"] for choice in again}[operation], other)
        self.assertEqual(json.loads(file.read_text()), pinned)
        self.assertEqual(json.loads(self.run_lapilli("bench", "--explain", "--json", env=environment).stdout), [])
        self.assertIn("no kernels have been measured", self.run_lapilli("bench", "--explain", env=environment).stdout)
        self.run_lapilli(*step, env=environment)
        self.assertIn("; beat ", self.run_lapilli("bench", "--explain", env=environment).stdout)
        self.misused("bench", says="A command")

    def test_CeilingOfPlanAndTrain_IsMeasuredWithTheRememberedForm(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        environment = os.environ | {"LAPILLI_CACHE_DIR": str(self.folder / "cache")}
        plan = ("plan", "small.toml", "--vocab-size", 300, "--no-measure", "--json")
        first = json.loads(self.run_lapilli(*plan, env=environment).stdout)
        file, = self.folder.glob("cache/tuning-*.json")
        remembered = file.read_text()
        self.assertIn("multiply-add ceiling", remembered)
        again = json.loads(self.run_lapilli(*plan, env=environment).stdout)
        self.assertEqual(file.read_text(), remembered)
        self.assertTrue(0.2 < again["ceiling_gflops"] / first["ceiling_gflops"] < 5, (first, again))

    def test_StepTrace_AgreesWithTheProfile(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        report = self.bench_json("step", "small.toml", "--vocab-size", 300, "--trace", "trace.json", "--save", "bench.json")
        self.assertEqual(json.loads((self.folder / "bench.json").read_text()), report)
        profile = report["profile"]
        trace = Trace(self, (self.folder / "trace.json").read_text())
        self.assertEqual(trace.metadata["device"], report["device"]["name"])
        self.assertEqual(len(trace.host), profile["steps"])
        for step, inner in trace.host:
            self.assertEqual([event["name"] for event, _ in inner], ["upload", "submit", "wait for the device", "read results"])
            self.assertAlmostEqual(sum(event["dur"] for event, _ in inner), step["dur"], places=3)
        self.assertAlmostEqual(sum(step["dur"] for step, _ in trace.host) / profile["steps"], profile["step_ms"] * 1e3, places=2)
        scopes = trace.device_scopes()
        self.assertEqual(set(scopes), {scope["scope"] for scope in profile["scopes"]})
        for scope in profile["scopes"]:
            calls, us = scopes[scope["scope"]]
            self.assertEqual(calls, scope["calls"] * profile["steps"])
            self.assertAlmostEqual(us, scope["ms"] * 1e3 * profile["steps"], delta=0.001 * calls)  # rounded to nanoseconds
        self.assertIn("GPU coverage", self.run_lapilli("bench", "step", "small.toml", "--vocab-size", 300, "--profile", *QUICK).stdout)

    def test_Table_IsReadable(self):
        said = self.run_lapilli("bench", "matmul", "--size", 32, *QUICK).stdout
        self.assertIn("of ceiling", said)
        self.assertRegex(said, r"nt +\S+ .s ")


class BenchPages(BenchTest):
    def check_page(self, *arguments):
        """The report, and the bars of its page by title: [(name, value of each series or None)]."""
        report = self.bench_json(*arguments, "--html", "page.html")
        page = html.unescape((self.folder / "page.html").read_text())
        self.assertIn(f"<li>lapilli bench {' '.join(map(str, arguments))} --repeats 3</li>", page)
        self.assertIn(f"<li>{report['device']['name']} ({report['device']['driver']}, ", page)
        self.assertRegex(page, r"<li>20\d\d-\d\d-\d\d \d\d:\d\d UTC</li>")
        for result in report["results"]:
            self.assertEqual(page.count(f"<td>{result['name']}</td>"), 1, result["name"])
        bars = {}
        for chart in self.charts():
            values = [dict(series["points"]) for series in chart["series"]]
            bars[chart["title"]] = [(name, *[line.get(place) for line in values]) for place, name in enumerate(chart["bars"])]
        return report, bars

    def check_rates(self, report, bars):
        self.assertEqual(list(bars), ["Share of the ceiling", "Throughput"])
        self.assertEqual(bars["Throughput"], [(it["name"], it["gflops"]) for it in report["results"]])
        for (name, share), it in zip(bars["Share of the ceiling"], report["results"][1:], strict=True):
            self.assertEqual(name, it["name"])
            self.assertAlmostEqual(share, 100 * it["share_of_ceiling"], places=9)

    def test_Matmul_AndAttention_ShowSharesOfTheCeilingAndRates(self):
        self.check_rates(*self.check_page("matmul", "--m", 65, "--n", 33, "--k", 17))
        self.check_rates(*self.check_page("attention", "--batch", 1, "--context", 9, "--heads", 4, "--kv-heads", 2, "--head-width", 8))

    def test_Ceiling_ShowsEachKindOfFigureByItself(self):
        report, bars = self.check_page("ceiling", "--copy-mib", 8)
        results = {it["name"]: it for it in report["results"]}
        self.assertEqual(bars["Throughput"][0], ("multiply-add", results["multiply-add"]["gflops"]))
        self.assertEqual(bars["Memory"], [("copy", results["copy"]["gb_per_s"])])
        self.assertEqual([name for name, _ in bars["Launches"]], ["empty dispatch", "the same after a barrier", "submit and wait"])
        self.assertAlmostEqual(bars["Launches"][0][1], 1e3 * results["empty dispatch"]["median_ms"], places=9)

    def test_Step_ShowsTheTimeByScope_TheLongestFirst(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        report, bars = self.check_page("step", "small.toml", "--set", "data.batch=2", "--set", "model.dim=64", "--vocab-size", 300)
        profile = report["profile"]
        if not profile["scopes"]:  # not on a device without timestamps
            return self.assertEqual(bars, {})
        time = bars["Time by scope"]
        self.assertEqual([name for name, _ in time], [scope["scope"] for scope in profile["scopes"]])
        self.assertEqual(time, sorted(time, key=lambda bar: -bar[1]))
        self.assertAlmostEqual(sum(share for _, share in time), 100 * profile["explained"], places=6)
        for (name, compute, memory), scope in zip(bars["Share of the roofline"], profile["scopes"], strict=True):
            known, other = (memory, compute) if scope["ceiling"] == "memory" else (compute, memory)
            self.assertIsNone(other, name)
            self.assertAlmostEqual(known or 0, 100 * scope["share_of_ceiling"], places=9)

    def test_MissingFolder_IsNamed(self):
        self.fails("bench", "matmul", "--size", 8, *QUICK, "--html", "nowhere/page.html", says="nowhere")


# 3 chunks of 256, 256 and 88 columns; 1 MiB holds them all, and a range of --chunk rows is the whole batch.
LOSS = ("loss", "--tokens", 40, "--vocab", 600, "--dim", 16, "--chunk", 256, "--memory-mib", 1)
N, V, D = 40, 600, 16
MATMULS = ["matmul nt", "matmul nn", "matmul tn"]
U = 2.0**-24  # half a unit in the last place of f32, relative


class BenchLoss(BenchTest):
    def check_strategy(self, result, results, valid=N):
        """Checks for any strategy at the shape of LOSS."""
        training = result["name"] != "evaluate"
        product = 2 * valid * V * D
        self.assertEqual(result["flops"], 3 * product if training else product)
        against = MATMULS if training else MATMULS[:1]
        rate = sum(results[name]["flops"] for name in against) / sum(results[name]["median_ms"] for name in against)
        self.assertAlmostEqual(result["share_of_matmul"], result["flops"] / result["median_ms"] / rate, places=6)
        self.assertEqual(result["plain_bytes"], 4 * N * V * (2 if training else 1))
        # Each reservation, at most 16 of them, is rounded up to 256 bytes.
        self.assertTrue(result["scratch_bytes"] <= result["allocated_bytes"] < result["scratch_bytes"] + 16 * 256, result)
        self.check_errors(result, training)
        if "phases" in result:  # not on a device without timestamps
            self.check_phases(result, product, training)

    def check_errors(self, result, training):
        # |x| <= 1 and |w| <= 0.02, so |z| <= 0.02 D, and lse < ln V + 0.02 D. A dot product of D terms errs by D U of the
        # sum of magnitudes, a sum of V exponentials by V U relative; exp and ln by some units of their result.
        self.assertEqual(result["checked_rows"], min(8, N))
        most_lse = math.log(V) + 0.02 * D
        self.assertTrue(0 < result["nll_error_nats"] < (V + D + 16) * U * (1 + most_lse), result)
        self.assertEqual(["d_x_relative_error" in result, "d_w_relative_error" in result], [training] * 2)
        if training:
            # d_x = sum_v p w - w_y has magnitudes of 0.04 together; its largest component is above 0.005 in every row.
            self.assertTrue(0 < result["d_x_relative_error"] < (2 * V + D + 16) * U * 0.04 / 0.005, result)
            # d_w = sum_n (p - [v = y]) x_n / N over fewer than N + 1 terms: p errs as above, and so does the nll that the reference takes
            # from the loss itself. In the row of an id that is no target the terms are p x_n of both signs, and the largest of D sums
            # is above a sixteenth of their magnitudes together.
            self.assertTrue(0 < result["d_w_relative_error"] < 2 * (V + N + 2 * D + 16) * U * (1 + most_lse) * 16, result)

    def check_phases(self, result, product, training):
        phases = {phase["name"]: phase for phase in result["phases"]}
        every = {"compact", "logits", "combine", "finish"}
        if training:
            every |= {"gather", "logit gradients", "d_x", "d_w", "scatter"}
        self.assertEqual(set(phases) - {"logits again"}, every)
        self.assertAlmostEqual(sum(phase["share"] for phase in phases.values()), 1, places=9)
        for name in every & {"logits", "d_x", "d_w"}:
            self.assertAlmostEqual(phases[name]["flops"], product, delta=1e-9 * product)
        # The last round is one of those measured.
        total = sum(phase["ms"] for phase in phases.values())
        self.assertTrue(result["min_ms"] * 0.999999 <= total <= result["max_ms"] * 1.000001, (total, result))

    def test_Shape_ReportsTimeMemoryPhasesAndErrors(self):
        report = self.bench_json(*LOSS)
        results = self.check_report(report)
        self.assertEqual(list(results), ["multiply-add", *MATMULS, "evaluate", "full", "recompute", "vocab"])
        self.assertEqual({it["name"]: it["reason"] for it in report["left_out"]},
                         {"tokens": "the same as full", "kept": "the same as vocab"})
        for name in ("evaluate", "full", "recompute", "vocab"):
            with self.subTest(name=name):
                self.check_strategy(results[name], results)
                self.assertEqual(results[name].get("bytes", 0), sum(phase["bytes"] for phase in results[name].get("phases", [])))
        self.assertEqual([results[name]["chunks"] for name in ("evaluate", "full", "recompute", "vocab")], [3, 1, 3, 3])
        self.assertEqual([results[name]["slabs"] for name in ("evaluate", "full", "recompute", "vocab")], [0, 1, 1, 3])
        self.assertLess(results["recompute"]["scratch_bytes"], results["vocab"]["scratch_bytes"])
        again = [phase["flops"] for phase in results["recompute"].get("phases", []) if phase["name"] == "logits again"]
        if "phases" in results["recompute"]:
            self.assertEqual(again, [2 * N * (256 + 256) * D])
        self.assertEqual(results["recompute"]["flops_done"], results["recompute"]["flops"] + 2 * N * (256 + 256) * D)
        self.assertEqual(results["vocab"]["flops_done"], results["vocab"]["flops"])

    def test_ValidFraction_CountsValidRowsAlone_AndIsRelativeToAll(self):
        report = self.bench_json(*LOSS, "--valid-fraction", "0.25,1", "--strategy", "full,evaluate")
        self.assertEqual([run["shape"]["valid_tokens"] for run in report["runs"]], [40, 10])
        every, quarter = [self.check_report(run) for run in report["runs"]]
        for name in ("full", "evaluate"):
            self.check_strategy(every[name], every)
            self.check_strategy(quarter[name], quarter, valid=10)
            self.assertAlmostEqual(quarter[name]["time_of_all_valid"], quarter[name]["median_ms"] / every[name]["median_ms"], places=6)
            self.assertNotIn("time_of_all_valid", every[name])
            self.assertNotIn("bytes", quarter[name])
        alone = self.bench(*LOSS, "--valid-fraction", 0.25, "--strategy", "full")
        self.assertNotIn("time_of_all_valid", alone["full"])

    def test_Sweep_GivesARunForEachCombination_AndAPage(self):
        report = self.bench_json("loss", "--tokens", 32, "--vocab", "512,1031", "--dim", "8,16", "--strategy", "all,auto", "--html", "page.html")
        self.assertEqual([(run["shape"]["vocab"], run["shape"]["dim"]) for run in report["runs"]],
                         [(512, 8), (512, 16), (1031, 8), (1031, 16)])
        for run in report["runs"]:
            results = self.check_report(run)
            self.assertEqual(results["full"]["flops"], 6 * 32 * run["shape"]["vocab"] * run["shape"]["dim"])
        page = (self.folder / "page.html").read_text()
        self.assertIn("lapilli bench loss --tokens 32 --vocab 512,1031 --dim 8,16 --strategy all,auto --repeats 3", page)
        charts = self.charts()
        kinds = ["Throughput", "Relative to plain matmuls", "Scratch memory"]
        self.assertEqual([chart["title"] for chart in charts],
                         [f"{kind} ({other})" for other in ("width 8", "width 16", "vocabulary 512", "vocabulary 1031") for kind in kinds])
        for chart, vocab_runs in (charts[0], report["runs"][::2]), (charts[3], report["runs"][1::2]):
            series = {line["name"]: line["points"] for line in chart["series"]}
            rate = [next(it["gflops"] for it in run["results"] if it["name"] == "full") for run in vocab_runs]
            self.assertEqual(series["full"], [[512, rate[0]], [1031, rate[1]]])
        self.assertEqual(charts[2]["series"][-1], {"name": "all logits and gradients", "points": [[512, 0.125], [1031, 8 * 32 * 1031 / 2**20]]})
        self.assertEqual(page.count("<td>full</td>"), 4)

    def test_Page_OverValidFraction_HasTimeRelativeToAll(self):
        report = self.bench_json(*LOSS, "--valid-fraction", "1,0.5", "--strategy", "full", "--html", "page.html")
        charts = self.charts()
        relative = self.check_report(report["runs"][1])["full"]["time_of_all_valid"]
        self.assertEqual([(line["name"], line["points"]) for line in charts[0]["series"]],
                         [("proportional", [[0, 0], [1, 1]]), ("full", [[0.5, relative], [1, 1]])])

    def test_Page_OfOneShape_HasBars(self):
        results = self.check_report(self.bench_json(*LOSS, "--strategy", "evaluate,vocab", "--html", "page.html"))
        relative, rates, memory = self.charts()
        self.assertEqual((relative["bars"], memory["bars"]), (["evaluate", "vocab"],) * 2)
        self.assertEqual(rates["bars"], ["multiply-add", *MATMULS, "evaluate", "vocab"])
        self.assertAlmostEqual(relative["series"][0]["points"][1][1], 100 * results["vocab"]["share_of_matmul"], places=9)
        self.assertAlmostEqual(memory["series"][0]["points"][1][1], results["vocab"]["scratch_bytes"] / 2**20, places=9)

    def test_TooLarge_IsLeftOutWithItsReason(self):
        # All logits are 1.9 MiB. The smallest range, 128 rows, is the whole batch.
        arguments = ("loss", "--tokens", 128, "--vocab", 4000, "--dim", 8, "--memory-mib", 1, "--most-mib", 1)
        report = self.bench_json(*arguments)
        self.assertEqual(list(self.check_report(report)), ["multiply-add", *MATMULS, "evaluate", "recompute", "vocab"])
        reasons = {it["name"]: it["reason"] for it in report["left_out"]}
        self.assertEqual(set(reasons), {"full", "tokens", "kept"})
        for reason in reasons.values():
            self.assertRegex(reason, r"^skipped: needs [12]\.\d MiB$")
        self.assertRegex(self.run_lapilli("bench", *arguments, *QUICK).stdout, r"\nfull +skipped: needs \S+ MiB\n")

    def test_Table_HasPhasesOfAShape_AndOfASweepWhenAsked(self):
        said = self.run_lapilli("bench", *LOSS, *QUICK).stdout
        for column in ("of matmul", "scratch", "allocated", "nll error", "d_x error", "d_w error"):
            self.assertIn(column, said)
        if "This device has no timestamps" in said:
            return
        self.assertRegex(said, r"recompute: logits again +\S+ .s +\S+ % ")
        sweep = (*LOSS, "--memory-mib", "2", "--strategy", "full")
        said = self.run_lapilli("bench", *sweep, *QUICK).stdout
        self.assertNotIn("full: logits", said)
        self.assertEqual(len(re.findall("^loss: ", said, re.MULTILINE)), 2)
        self.assertEqual(self.run_lapilli("bench", *sweep, *QUICK, "--phases").stdout.count("full: logits "), 2)

    def test_WrongUsage_IsReported(self):
        self.misused("bench", "loss", "--dtype", "f8", says="f8 not in {f32,f16,bf16}")
        self.misused("bench", "loss", "--strategy", "full,hope", says="hope")
        self.misused("bench", "loss", "--vocab", "512,0", says="--vocab")
        self.misused("bench", "loss", "--valid-fraction", "0.5,1.5", says="--valid-fraction")
        self.fails("bench", *LOSS, *QUICK, "--strategy", "evaluate", "--json", "--html", "nowhere/page.html", says="nowhere")


if __name__ == "__main__":
    unittest.main(verbosity=2)
