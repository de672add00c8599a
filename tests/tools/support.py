"""What the tests of the `lapilli` command share: a scratch folder each, and the program run in it.

The program is $LAPILLI, default build/lapilli. Standard library only. Nothing here has a time limit: a slow machine is no fault, and
run_tests.py ends what hangs.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAPILLI = os.environ.get("LAPILLI", str(ROOT / "build" / "lapilli"))
# What drivers say on their own; not ours.
CHATTER = ("WARNING: lavapipe is not a conformant", "WARNING: radv is not a conformant")

SMALL_CONFIG = """
[model]
arch = "llama"
layers = 1
heads = 2
kv_heads = 1
dim = 32
context = 16
[data]
batch = 4
[optim]
lr = 1e-2
warmup = 2
[train]
steps = 6
eval_every = 3
seed = 3
"""


def without_validation():
    """For scripts that start the program many times: every kernel is validated by its own tests."""
    for name in [name for name in os.environ if name.startswith(("VK_LAYER_", "VK_INSTANCE_LAYERS", "VK_LOADER_LAYERS", "LAPILLI_VALIDATION"))]:
        del os.environ[name]


class CommandTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lapilli-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_lapilli(self, *arguments, code=0, **options):
        """Runs `lapilli` in the scratch folder and checks its exit code; text in and out."""
        command = [LAPILLI, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, errors="replace", **options)
        self.assertEqual(done.returncode, code, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        if code == 0:
            self.assertEqual(self.own_lines(done.stderr), [], "a good run says nothing on stderr")
        return done

    @staticmethod
    def own_lines(stderr):
        return [line for line in stderr.splitlines() if not line.startswith(CHATTER)]

    def fails(self, *arguments, says="", **options):
        """A runtime or user error: exit code 1 and one sentence on stderr."""
        done = self.run_lapilli(*arguments, code=1, **options)
        lines = self.own_lines(done.stderr)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("lapilli: "), lines[0])
        self.assertIn(says, lines[0])

    def misused(self, *arguments, says=""):
        """Wrong usage: exit code 2, the error and a hint to the help."""
        done = self.run_lapilli(*arguments, code=2)
        self.assertIn(says, done.stderr)
        self.assertIn("--help", done.stderr)
        self.assertEqual(done.stdout, "")

    def tree(self):
        """Every file of the scratch folder with its bytes."""
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}

    def make_data(self, kind="unigram", vocab_size=400, size="60k"):
        self.run_lapilli("corpus", "synth", "--bytes", size, "--seed", 5, "-o", "text")
        self.run_lapilli("tokenizer", "train", "--type", kind, "--vocab-size", vocab_size, "-i", "text", "-o", "t.model")
        return self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "data")
