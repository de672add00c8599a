#!/usr/bin/env python3
"""`lapilli corpus`, `tokenizer` and `data`: from nothing to token shards, and what errors leave behind."""
import gzip
import json
import os
import pty
import struct
import subprocess
import unittest

from support import LAPILLI, CommandTest


class Data(CommandTest):
    def test_Corpus_SameSeed_SameBytesOfTheSizeAskedFor(self):
        for name, seed in ("a", 1), ("b", 1), ("c", 2):
            self.run_lapilli("corpus", "synth", "--bytes", "20k", "--seed", seed, "-o", name)
        a, b, c = ((self.folder / name).read_bytes() for name in "abc")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)
        self.assertTrue(20_000 <= len(a) < 30_000, len(a))
        about = json.loads((self.folder / "a.json").read_text())
        self.assertEqual(about["bytes"], len(a))
        self.assertGreater(about["nats_per_byte"], 0)

    def test_Tokenizer_EveryType_HasTheVocabularyAskedFor(self):
        self.run_lapilli("corpus", "synth", "--bytes", "60k", "--seed", 1, "-o", "text")
        for kind, size, expected in ("unigram", 400, "400"), ("bpe", 400, "400"), ("byte", None, "259"), ("char", None, None):
            with self.subTest(kind=kind):
                size_option = ["--vocab-size", size] if size else []
                for output in "one.model", "two.model":
                    said = self.run_lapilli("tokenizer", "train", "--type", kind, *size_option, "-i", "text", "-o", output).stdout
                if expected:
                    self.assertIn(f"{kind} tokenizer, {expected} tokens", said)
                self.assertEqual((self.folder / "one.model").read_bytes(), (self.folder / "two.model").read_bytes())

    def test_Tokenizer_EncodeDecodeInfo(self):
        self.run_lapilli("corpus", "synth", "--bytes", "60k", "--seed", 1, "-o", "text")
        self.run_lapilli("tokenizer", "train", "--type", "bpe", "--vocab-size", 400, "--character-coverage", 1, "-i", "text", "-o", "t.model")
        text = "Once upon\ta time,\n  there was a \u00e9.\n"
        found = json.loads(self.run_lapilli("tokenizer", "encode", "t.model", "--text", text, "--json").stdout)
        self.assertEqual(len(found["ids"]), len(found["pieces"]))
        self.assertEqual(self.run_lapilli("tokenizer", "decode", "t.model", *found["ids"]).stdout, text + "\n")
        (self.folder / "input").write_text(text)
        self.assertEqual(self.run_lapilli("tokenizer", "encode", "t.model", "-i", "input").stdout, " ".join(map(str, found["ids"])) + "\n")
        rows = self.run_lapilli("tokenizer", "encode", "t.model", "-i", "input", "--pieces").stdout.splitlines()
        self.assertEqual([int(row.split()[0]) for row in rows], found["ids"])
        about = json.loads(self.run_lapilli("tokenizer", "info", "t.model", "--json").stdout)
        self.assertEqual((about["type"], about["vocab_size"], about["byte_fallback"], about["eos_id"]), ("bpe", 400, True, 2))
        self.misused("tokenizer", "decode", "t.model", 400, says="400 is beyond the vocabulary of 400")
        self.misused("tokenizer", "encode", "t.model", says="--text")
        self.fails("tokenizer", "encode", "text", "--text", "a", says="text")

    def test_DataBuild_SaysWhatTheFolderHolds(self):
        said = self.make_data().stdout
        about = json.loads((self.folder / "data" / "dataset.json").read_text())
        self.assertIn("vocabulary of 400", said)
        for split in "train", "val":
            self.assertRegex(said, rf"{split} +{about[split]['tokens']:,} +{about[split]['documents']:,} ")
            self.assertIn(f"{about[split]['source_entropy_nats_per_token']:.4f} nats per token", said)
        self.assertEqual((self.folder / "t.model").read_bytes(), (self.folder / "data" / "tokenizer.model").read_bytes())

    def test_ValFraction_KeepsTheLastTokens(self):
        (self.folder / "text").write_text("one two three four\n" * 500)
        self.run_lapilli("tokenizer", "train", "--type", "byte", "-i", "text", "-o", "t.model")
        self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "data", "--val-fraction", 0.25)
        about = json.loads((self.folder / "data" / "dataset.json").read_text())
        tokens = 500 * len("one two three four\n")
        self.assertEqual((about["train"]["tokens"], about["val"]["tokens"]), (int(0.75 * tokens), tokens - int(0.75 * tokens)))

    def test_DataBuild_CompressedFilesByPattern_SameTokens(self):
        self.make_data()
        text = (self.folder / "text").read_bytes()
        (self.folder / "part1.gz").write_bytes(gzip.compress(text))
        self.run_lapilli("tokenizer", "train", "--type", "unigram", "--vocab-size", 400, "-i", "part*.gz", "-o", "again.model")
        self.assertEqual((self.folder / "again.model").read_bytes(), (self.folder / "t.model").read_bytes())
        (self.folder / "lines.jsonl").write_text("".join(json.dumps({"body": line}) + "\n" for line in text.decode().splitlines() if line))
        self.run_lapilli("tokenizer", "train", "--type", "char", "-i", "lines.jsonl", "--field", "body", "-o", "chars.model")
        self.fails("tokenizer", "train", "--type", "char", "-i", "lines.jsonl", "-o", "chars.model", says="lines.jsonl")
        self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "part[0-9].gz", "-o", "again")
        plain, packed = (json.loads((self.folder / name / "dataset.json").read_text()) for name in ("data", "again"))
        for split in "train", "val":
            self.assertEqual(plain[split]["tokens"], packed[split]["tokens"])
        (self.folder / "lines.jsonl").write_text('{"body": "one"}\n{"body": "two"}\n')
        said = self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "lines.jsonl", "--field", "body", "--val", "part*", "-o", "lines")
        self.assertRegex(said.stdout, r"train +\d+ +2 ")
        self.fails("data", "build", "--tokenizer", "t.model", "-i", "lines.jsonl", "-o", "new", says="lines.jsonl' line 1 has no field")
        self.fails("data", "build", "--tokenizer", "t.model", "-i", "none*", "-o", "new", says="no file matches 'none*'")

    def test_DataImport_SaysWhatTheFolderHolds(self):
        (self.folder / "a.bin").write_bytes(struct.pack("<8H", 1, 2, 9, 3, 9, 4, 5, 6))
        said = self.run_lapilli("data", "import", "a.bin", "--format", "nanogpt", "--vocab-size", 10, "--eos", 9, "--val", "a.bi[n]", "-o", "d",
                                code=1).stderr
        self.assertIn("for training and for validation", said)
        said = self.run_lapilli("data", "import", "a.bin", "--format", "nanogpt", "--vocab-size", 10, "--eos", 9, "--val-fraction", 0.35, "-o", "d").stdout
        self.assertIn("vocabulary of 10, 16 bits", said)
        self.assertRegex(said, r"train +5 +2\nval +3 +1\n")
        self.fails("data", "import", "a.bin", "--format", "nanogpt", "--vocab-size", 9, "-o", "e", says="token 9 at position 2")
        self.misused("data", "import", "a.bin", "--format", "nanogpt", "-o", "e", says="--vocab-size")

    def test_DataShow_PrintsTheTokensOfAWindow(self):
        (self.folder / "text").write_text("one two\nthree\n<|endoftext|>\nfour | five \u00e9\n<|endoftext|>\nsix\n" * 30)
        self.run_lapilli("tokenizer", "train", "--type", "byte", "-i", "text", "-o", "t.model")
        self.run_lapilli("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "data")
        head, *rows = self.run_lapilli("data", "show", "data", "--rows", 2).stdout.splitlines()
        self.assertRegex(head, r"^data: train, [\d,]+ tokens, [\d,]+ documents, vocabulary 259, byte tokenizer [0-9a-f]{16}$")
        self.assertEqual(rows[0], "           0  o│n│e│ │t│w│o│↵│t│h│r│e│e│↵│</s>│■│f")
        self.assertEqual(rows[1], "          16  o│u│r│ │|│ │f│i│v│e│ │\\xC3│\\xA9│↵│</s>│■│s")
        row, = self.run_lapilli("data", "show", "data", "--at", 15, "--rows", 1).stdout.splitlines()[1:]
        self.assertTrue(row.startswith("          15  f│o│u│r│ │|"), row)

        shown = json.loads(self.run_lapilli("data", "show", "data", "--split", "val", "--json").stdout)
        about = json.loads((self.folder / "data" / "dataset.json").read_text())
        self.assertEqual((shown["tokens"], shown["documents"]), (about["val"]["tokens"], about["val"]["documents"]))
        self.assertEqual(len(shown["shown"]), 80)
        last = shown["tokens"] - 3
        tail = json.loads(self.run_lapilli("data", "show", "data", "--split", "val", "--at", last, "--json").stdout)["shown"]
        self.assertEqual([(token["position"] - last, token["ends_document"]) for token in tail], [(0, False), (1, False), (2, True)])
        self.assertEqual(tail[-1]["piece"], "</s>")
        self.fails("data", "show", "data", "--split", "val", "--at", shown["tokens"], says=f"none at position {shown['tokens']}")
        self.fails("data", "show", "nosuch", says="nosuch")
        self.misused("data", "show", "data", "--split", "test", says="--split")
        (self.folder / "data" / "tokenizer.model").write_bytes(self.other_tokenizer())
        self.fails("data", "show", "data", says="another tokenizer")

    def other_tokenizer(self):
        self.run_lapilli("tokenizer", "train", "--type", "char", "-i", "text", "-o", "other.model")
        return (self.folder / "other.model").read_bytes()

    def test_DataShow_WithoutATokenizer_ShowsIds(self):
        (self.folder / "a.bin").write_bytes(struct.pack("<8H", 1, 2, 9, 3, 9, 4, 5, 6))
        self.run_lapilli("data", "import", "a.bin", "--format", "nanogpt", "--vocab-size", 10, "--eos", 9, "--val-fraction", 0.35, "-o", "d")
        head, row = self.run_lapilli("data", "show", "d").stdout.splitlines()
        self.assertEqual(head, "d: train, 5 tokens, 2 documents, vocabulary 10, no tokenizer")
        self.assertEqual(row, "           0  1│2│9│■│3│9│■")
        self.assertIsNone(json.loads(self.run_lapilli("data", "show", "d", "--json").stdout)["shown"][0]["piece"])

    def test_DataShow_OnATerminal_HasColoursUnlessNoColorIsSet(self):
        (self.folder / "a.bin").write_bytes(struct.pack("<8H", 1, 2, 9, 3, 9, 4, 5, 6))
        self.run_lapilli("data", "import", "a.bin", "--format", "nanogpt", "--vocab-size", 10, "--val-fraction", 0.35, "-o", "d")

        def on_terminal(**environment):
            ours, its = pty.openpty()
            plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
            subprocess.run([LAPILLI, "data", "show", "d"], cwd=self.folder, stdout=its, check=True, env=plain | environment)
            os.close(its)
            shown = os.read(ours, 4096).decode()
            os.close(ours)
            return shown

        self.assertIn("\x1b[36m1\x1b[0m \x1b[33m2\x1b[0m", on_terminal())
        self.assertIn("\x1b[36m1", on_terminal(NO_COLOR=""))
        self.assertIn("0  1│2│9", on_terminal(NO_COLOR="1"))

    def test_Errors_LeaveNothingBehind(self):
        self.make_data()
        (self.folder / "latin1").write_bytes(b"caf\xe9 au lait\n")
        (self.folder / "empty").write_bytes(b"")
        (self.folder / "broken.model").write_bytes((self.folder / "t.model").read_bytes()[:50])
        before = self.tree()
        for arguments, says in [
            (("corpus", "synth", "--bytes", "1k", "-o", "text/below"), "text/below"),
            (("corpus", "synth", "--bytes", "1k", "-o", "nowhere/f"), "nowhere"),
            (("tokenizer", "train", "--type", "byte", "-i", "nosuch", "-o", "n.model"), "nosuch"),
            (("tokenizer", "train", "--type", "char", "-i", "empty", "-o", "n.model"), "empty"),
            (("tokenizer", "train", "--type", "char", "-i", "latin1", "-o", "n.model"), "latin1"),
            (("tokenizer", "train", "--type", "unigram", "--vocab-size", "90000", "-i", "text", "-o", "n.model"), "90000"),
            (("tokenizer", "train", "--type", "bpe", "--vocab-size", "10", "-i", "text", "-o", "n.model"), "10"),
            (("data", "build", "--tokenizer", "nosuch.model", "-i", "text", "-o", "new"), "nosuch.model"),
            (("data", "build", "--tokenizer", "broken.model", "-i", "text", "-o", "new"), "broken.model"),
            (("data", "build", "--tokenizer", "t.model", "-i", "text", "latin1", "-o", "data"), "latin1"),
            (("data", "build", "--tokenizer", "t.model", "-i", "nosuch", "-o", "new"), "nosuch"),
            (("data", "build", "--tokenizer", "t.model", "-i", "text", "-o", "text/below"), "text/below"),
        ]:
            with self.subTest(arguments=arguments):
                self.fails(*arguments, says=says)
                self.assertEqual(self.tree(), before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
