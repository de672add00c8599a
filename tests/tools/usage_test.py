#!/usr/bin/env python3
"""The command line of `lapilli`: help, exit codes, pipes, full disks, the list of devices."""
import json
import os
import re
import signal
import subprocess
import unittest

from support import LAPILLI, SMALL_CONFIG, CommandTest

PROMISED = {"devices", "corpus synth", "tokenizer train", "data build", "train", "eval", "generate", "chat", "export", "import",
            "bench ceiling", "bench matmul", "bench attention", "bench loss", "bench step", "bench generate", "bench kernels",
            "plan"}


class Usage(CommandTest):
    def commands(self, *prefix):
        """Every command that --help lists, with its help text."""
        text = self.run_lapilli(*prefix, "--help").stdout
        below = text.partition("Subcommands:")[2]
        names = re.findall(r"^  ([a-z]+)(?:\s|$)", below, re.MULTILINE)
        if not names:
            return {" ".join(prefix): text}
        found = {}
        for name in names:
            found |= self.commands(*prefix, name)
        return found

    def test_Help_OfEveryCommand_ExplainsEveryOption(self):
        found = self.commands()
        self.assertLessEqual(PROMISED, set(found))
        for command, text in found.items():
            with self.subTest(command=command):
                self.assertIn("Usage: lapilli " + command, text)
                lines = text.splitlines()
                for line, below in zip(lines, lines[1:] + [""]):
                    if line.startswith("  -"):  # the explanation is in the line, or alone in the next
                        self.assertTrue("  " in line.strip() or below.startswith(" " * 30), f"no explanation: {line}")

    def test_WrongUsage_ExitsTwoAndSaysWhy(self):
        for arguments, says in [
            ((), "command"),
            (("nonsense",), "nonsense"),
            (("devices", "--jason"), "--jason"),
            (("corpus",), "command"),
            (("corpus", "nonsense"), "nonsense"),
            (("corpus", "synth", "-o", "f"), "--bytes"),
            (("corpus", "synth", "--bytes", "0", "-o", "f"), "--bytes"),
            (("corpus", "synth", "--bytes", "-5", "-o", "f"), "-5"),
            (("corpus", "synth", "--bytes", "3 parsecs", "-o", "f"), "parsecs"),
            (("tokenizer", "train", "--type", "magic", "-i", "a", "-o", "b"), "magic"),
            (("tokenizer", "train", "--type", "bpe", "-i", "a", "-o", "b"), "--vocab-size"),
            (("tokenizer", "train", "--type", "byte", "-i", "a", "-o", "./a"), "another output"),
            (("data", "build", "--tokenizer", "t", "-i", "a", "-o", "d", "--val-fraction", "1"), "--val-fraction"),
            (("corpus", "synth", "--bytes", "99999999999G", "-o", "f"), "99999999999G"),
            (("corpus", "synth", "--bytes", "1k", "--seed", "-1", "-o", "f"), "-1"),
            (("train",), "CONFIG.toml"),
            (("plan",), "config"),
            (("train", "c.toml", "--resume"), "--run"),
            (("eval", "run"), "--data"),
            (("eval", "run", "--data", "d", "--split", "test"), "test"),
            (("eval", "run", "--data", "d", "--stride", "0"), "--stride"),
            (("generate", "run"), "--prompt"),
            (("generate", "run", "--prompt", "x", "--top-p", "1.5"), "--top-p"),
            (("generate", "run", "--prompt", "x", "--temperature", "nan"), "--temperature"),
            (("export", "run", "--format", "onnx", "-o", "e"), "onnx"),
            (("generate", "run", "--prompt", "x", "--prompts", "f"), "--prompts"),
            (("generate", "run", "--prompt", "x", "--min-p", "2"), "--min-p"),
            (("generate", "run", "--prompt", "x", "--repeat-penalty", "0"), "--repeat-penalty"),
            (("chat", "run", "--template", "x"), "--template"),
            (("export", "run", "-o", "run"), "another output"),
            (("bench", "matmul", "--size", "0"), "--size"),
            (("bench", "matmul", "--size", "100000"), "2^31"),
            (("bench", "attention", "--heads", "3", "--kv-heads", "2"), "--kv-heads"),
            (("bench", "attention", "--config", "c.toml", "--heads", "3"), "--config"),
            (("bench", "matmul", "--config", "c.toml", "--size", "3"), "--config"),
            (("bench", "matmul", "--set", "data.batch=1"), "--config"),
            (("bench", "loss", "--strategy", "hope"), "hope"),
        ]:
            with self.subTest(arguments=arguments):
                self.misused(*arguments, says=says)
        self.assertEqual(self.tree(), {}, "wrong usage writes nothing")

    def test_Version_IsPrinted(self):
        commit, compiler = r"[0-9a-f]{7,}(-dirty)?", r"(gcc|clang) \d+\.\d+\.\d+"
        self.assertRegex(self.run_lapilli("--version").stdout, rf"^lapilli \d+\.\d+\.\d+( \({commit}, {compiler}, \w+\))?\n$")

    def test_ClosedPipe_EndsQuietly(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([LAPILLI, "--help"], stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        self.assertIn(done.returncode, (0, -signal.SIGPIPE))
        self.assertEqual(done.stderr, b"")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_FullDisk_IsNamed(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([LAPILLI, "devices"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No space left", done.stderr)


class Devices(CommandTest):
    def test_Json_AgreesWithTheText(self):
        devices = json.loads(self.run_lapilli("devices", "--json").stdout)
        text = self.run_lapilli("devices").stdout
        self.assertGreater(len(devices), 0)
        for index, device in enumerate(devices):
            self.assertEqual(device["index"], index)
            self.assertIn(device["kernel_class"], ("cpu", "tiled"))
            self.assertIn(f"{index}: {device['name']}", text)
            self.assertIn(device["uuid"], text)

    def test_UnknownDevice_IsAnErrorThatListsThem(self):
        self.fails("bench", "matmul", "--device", "no such device", says="no such device")

    def test_Kernels_ThatTheDeviceCannotRun_AreAnErrorThatSaysWhatIsMissing(self):
        (self.folder / "small.toml").write_text(SMALL_CONFIG)
        self.misused("train", "small.toml", "--kernels", "fast", says="--kernels")
        bench = ("bench", "step", "small.toml", "--vocab-size", 50, "--kernels")
        self.fails(*bench, "tiled", "--set", "train.precision=f16", says="tiled kernels are forced")
        if not json.loads(self.run_lapilli("devices", "--json").stdout)[0]["cooperative_matrix2"]:
            self.fails(*bench, "coopmat2", says="VK_NV_cooperative_matrix2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
