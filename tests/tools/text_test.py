#!/usr/bin/env python3
"""Texts as people have them: line ends, byte-order marks, documents of any length, tokenizers that lose text; and what models draw, on a terminal."""
import json
import math
import os
import pathlib
import pty
import subprocess
import unittest

from support import LAPILLI, SMALL_CONFIG, CommandTest


def field(number, payload):
    """A length-delimited field of a protobuf message."""
    size, header = len(payload), bytes([number << 3 | 2])
    while size >= 128:
        header, size = header + bytes([size & 127 | 128]), size >> 7
    return header + bytes([size]) + payload


def foreign_model(specials=("<s>", "</s>"), letters="abcdefghijklmnopqrstuvwxyz.,'"):
    """A SentencePiece model with a piece for each letter and none for the rest, no byte fallback."""
    piece = lambda text, kind: field(1, field(1, text.encode()) + b"\x15\x00\x00\x80\xbf" + bytes([3 << 3, kind]))
    pieces = [piece("<unk>", 2)] + [piece(name, 3) for name in specials] + [piece(letter, 1) for letter in "\u2581" + letters]
    trainer = bytes([3 << 3, 1])  # unigram
    normalizer = field(1, b"identity") + bytes([3 << 3, 0, 4 << 3, 0])
    return b"".join(pieces) + field(2, trainer) + field(3, normalizer)


class Text(CommandTest):
    def write(self, name, content):
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def byte_tokenizer(self):
        self.write("any.txt", "x")
        self.run_lapilli("tokenizer", "train", "--type", "byte", "-i", "any.txt", "-o", "by.model")

    def build(self, *more, tokenizer="by.model"):
        return self.run_lapilli("data", "build", "--tokenizer", tokenizer, *more, "-o", "data")

    def warned(self, *arguments, says):
        """A good run that says one thing on stderr."""
        done = subprocess.run([LAPILLI, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True, errors="replace")
        self.assertEqual(done.returncode, 0, done.stderr)
        line, = self.own_lines(done.stderr)
        self.assertTrue(line.startswith("warning: "), line)
        self.assertIn(says, line)
        return done

    def about(self):
        return json.loads((self.folder / "data" / "dataset.json").read_text())

    def train(self, run, *more):
        self.write("small.toml", SMALL_CONFIG)
        return self.run_lapilli("train", "small.toml", "--set", "data.dir=data", "--set", "train.eval_every=0", "--no-tune", "--run", run, *more)

    def test_Separator_OfAWindowsFile_Separates(self):
        self.byte_tokenizer()
        self.write("w.txt", "\ufeffone story\r\n<|endoftext|>\r\nother story\r\n<|endoftext|> \t\n")
        self.build("-i", "w.txt", "--val-fraction", 0.3)
        about = self.about()
        self.assertEqual((about["train"]["documents"], about["val"]["documents"]), (1, 1))
        self.assertEqual((about["train"]["text_bytes"], about["val"]["text_bytes"]), (len("one story\r\n"), len("other story\r\n")))

    def test_TextWithoutText_IsOneSentence_AndLeavesNothing(self):
        self.byte_tokenizer()
        self.write("only.txt", "<|endoftext|>\n")
        self.write("mark.txt", "\ufeff")
        self.write("fine.txt", "fine\n" * 100)
        self.write("nul.txt", b"a\0b")
        (self.folder / "folder.txt").mkdir()
        self.write("empty.txt", "")
        before = self.tree()
        for name, says in [("only.txt", "'only.txt' holds no text"), ("mark.txt", "'mark.txt' holds no text"),
                           ("nul.txt", "'nul.txt' is binary"), ("folder.txt", "'folder.txt' as text: it is a folder"),
                           ("empty.txt", "'empty.txt' is empty"), ("", "''"), ("/dev/null", "'/dev/null' as text: it is a pipe or a device")]:
            with self.subTest(name=name):
                self.fails("data", "build", "--tokenizer", "by.model", "-i", name, "-o", "data", says=says)
                self.fails("data", "build", "--tokenizer", "by.model", "-i", "fine.txt", "--val", name, "-o", "data", says=says)
                self.fails("tokenizer", "train", "--type", "char", "-i", name, "-o", "n.model", says=says)
                self.assertEqual(self.tree(), before)
                self.assertFalse((self.folder / "data").exists())

    def test_Split_FarFromAnyDocument_CutsOne_AndSaysSo(self):
        self.byte_tokenizer()
        self.write("a.txt", "a short note\n")
        self.write("b.txt", "a long book of many lines\n" * 2000)
        self.warned("data", "build", "--tokenizer", "by.model", "-i", "a.txt", "b.txt", "-o", "data", says="cuts a document in two")
        about = self.about()
        total = about["train"]["tokens"] + about["val"]["tokens"]
        self.assertEqual((about["split"], about["val"]["tokens"]), ("inside a document", total - int(0.9 * total)))
        self.build("-i", "b.txt")  # one text has no other place to be cut at: run_lapilli() checks that nothing is said

    def test_Val_NamesTheTextsForValidation(self):
        self.byte_tokenizer()
        self.write("t.txt", "text to train on\n")
        self.write("v.txt", "text to validate\n")
        self.build("-i", "t.txt", "--val", "v.txt")
        about = self.about()
        self.assertEqual((about["split"], about["train"]["tokens"], about["val"]["tokens"]), ("own files", 17, 17))
        self.fails("data", "build", "--tokenizer", "by.model", "-i", "t.txt", "--val", "./t.txt", "-o", "other", says="t.txt")
        self.misused("data", "build", "--tokenizer", "by.model", "-i", "t.txt", "--val", "v.txt", "--val-fraction", 0.2, "-o", "other",
                     says="--val")

    def test_LostText_IsCounted_AndBitsPerByteAreOfTheText(self):
        self.write("foreign.model", foreign_model())
        line = "a line, with One capital and \U0001F331\n"
        self.write("t.txt", line * 200)
        self.write("some.txt", line * 10)
        said = self.warned("data", "build", "--tokenizer", "foreign.model", "-i", "t.txt", "-o", "data", says="bytes of text")
        self.assertIn(f"1,200 of {200 * len(line.encode()):,} bytes", said.stderr)
        about = self.about()
        self.assertEqual(about["train"]["lost_bytes"] + about["val"]["lost_bytes"], 200 * 6)
        self.assertEqual(about["train"]["text_bytes"] + about["val"]["text_bytes"], 200 * len(line.encode()))
        self.train("run")

        of_text = json.loads(self.warned("eval", "run", "--data", "some.txt", "--json", says="some.txt: 60 of").stdout)
        self.assertEqual((of_text["data"], of_text["lost_bytes"]), ("some.txt", 60))
        self.warned("generate", "run", "--prompt", "ABc", "--tokens", 1, says="the prompt: 2 of 3 bytes")
        text_bytes = 10 * len(line.encode())
        first_token = text_bytes / (text_bytes - 60)  # 'a', which is not scored: its share of the bytes
        bits = of_text["loss"] * of_text["tokens"] / math.log(2)
        self.assertAlmostEqual(of_text["bits_per_byte"], bits / (text_bytes - first_token), places=6)
        of_shard = json.loads(self.run_lapilli("eval", "run", "--data", "data", "--json").stdout)
        self.assertLess(abs(of_shard["bits_per_byte"] / (of_shard["loss"] * of_shard["tokens"] / math.log(2) / about["val"]["text_bytes"]) - 1), 0.01)

    def test_ByteLevelBpe_TrainsResumesGenerates_AndComesBackFromAnExport(self):
        goldens = json.loads((pathlib.Path(__file__).parent.parent / "torch" / "goldens" / "byte_bpe.json").read_text())
        self.write("t.json", json.dumps(goldens["tokenizers"]["llama3"]))
        text, ids = goldens["texts"][13], goldens["ids"]["llama3"][13]
        self.assertEqual(json.loads(self.run_lapilli("tokenizer", "encode", "t.json", "--text", text, "--json").stdout)["ids"], ids)
        self.assertEqual(self.run_lapilli("tokenizer", "decode", "t.json", *ids).stdout, text + "\n")
        info = json.loads(self.run_lapilli("tokenizer", "info", "t.json", "--json").stdout)
        self.assertEqual((info["type"], info["splitter"], info["byte_fallback"]), ("byte_bpe", "llama3", True))
        self.misused("tokenizer", "train", "--type", "byte_bpe", "-i", "t.json", "-o", "t.model", says="byte_bpe")

        self.write("t.txt", "There was a man, and the man's house had 1024 rooms; they'll say he'd walked through 100 of them.\n" * 60)
        self.build("-i", "t.txt", tokenizer="t.json")
        self.assertEqual((self.folder / "data" / "tokenizer.json").read_bytes(), (self.folder / "t.json").read_bytes())
        self.train("run", "--stop-at", 3)
        for folder in [self.folder / "run", *(self.folder / "run" / "checkpoints").iterdir()]:
            self.assertTrue((folder / "tokenizer.json").exists() and not (folder / "tokenizer.model").exists(), folder)
        self.run_lapilli("train", "--run", "run", "--resume")
        self.run_lapilli("generate", "run", "--prompt", "The man's 日本", "--tokens", 3)
        self.run_lapilli("export", "run", "--format", "safetensors", "-o", "hf")
        self.assertFalse((self.folder / "hf" / "tokenizer.model").exists())
        self.run_lapilli("import", "hf", "-o", "back")
        before, after = (json.loads(self.run_lapilli("eval", run, "--data", "t.txt", "--json").stdout) for run in ("run", "back"))
        self.assertEqual((before["loss"], before["bits_per_byte"]), (after["loss"], after["bits_per_byte"]))

    def test_EvalOfAText_NamesTheUsersFile(self):
        self.byte_tokenizer()
        self.write("t.txt", "some text to train on\n" * 40)
        self.build("-i", "t.txt")
        self.train("run")
        scratch = self.folder / "tmp"
        scratch.mkdir()
        for name, content, says in [("one.txt", b"a", "'one.txt' has 1 token(s)"), ("bad.txt", b"caf\xe9", "'bad.txt' is not UTF-8"),
                                    ("empty.txt", b"", "'empty.txt' is empty"), ("only.txt", b"<|endoftext|>\n", "'only.txt' holds no text"),
                                    ("nul.txt", b"a\0b", "'nul.txt' is binary")]:
            with self.subTest(name=name):
                self.write(name, content)
                self.fails("eval", "run", "--data", name, says=says, env=os.environ | {"TMPDIR": str(scratch)})
                self.assertEqual(list(scratch.iterdir()), [])

    def test_EvalOfSeveralDocuments_TokenizerWithoutEndOfText_NamesFileAndTokenizer(self):
        self.write("foreign.model", foreign_model(specials=()))
        self.write("t.txt", "some text to train on " * 40)
        self.build("-i", "t.txt", tokenizer="foreign.model")
        self.train("run")
        self.write("two.txt", "one\n<|endoftext|>\ntwo\n")
        self.fails("eval", "run", "--data", "two.txt", says="'two.txt': several documents need an end-of-text token")
        self.fails("data", "build", "--tokenizer", "foreign.model", "-i", "two.txt", "-o", "other", says="'two.txt'")

    def drawing_model(self):
        """A model of bytes that has learned nothing, so that it draws all of them."""
        self.byte_tokenizer()
        self.write("t.txt", bytes(range(1, 128)) * 40)
        self.build("-i", "t.txt")
        self.train("run", "--set", "train.steps=1")

    def generate(self, *more, prompt="caf\u00e9", **options):
        command = [LAPILLI, "generate", "run", "--prompt", prompt, "--temperature", "3", "--seed", "15", *map(str, more)]
        return subprocess.run(command, cwd=self.folder, check=True, **options)

    def on_a_terminal(self, *more):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([LAPILLI, *map(str, more)], cwd=self.folder, stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        shown = b""
        while True:
            try:
                block = os.read(ours, 4096)
            except OSError:  # Linux: the other side is closed
                break
            if not block:
                break
            shown += block
        os.close(ours)
        errors = process.communicate()[1]
        self.assertEqual(process.returncode, 0, errors)
        return shown.replace(b"\r\n", b"\n")  # the terminal's own

    def test_Generate_ToAPipeRaw_ToATerminalEscaped_AndNeverHalfACharacter(self):
        self.drawing_model()
        whole = self.generate("--tokens", 200, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
        self.assertTrue(whole.startswith("caf\u00e9".encode()))
        self.assertIn(b"\x1b", whole)
        self.assertGreater(len(whole), 190)
        with self.assertRaises(UnicodeDecodeError):
            whole.decode()
        shown = self.on_a_terminal("generate", "run", "--prompt", "caf\u00e9", "--temperature", 3, "--seed", 15, "--tokens", 200)
        self.assertTrue(shown.startswith("caf\u00e9".encode()))
        self.assertIn(b"\\x1B", shown)
        text = shown.decode()
        self.assertEqual([c for c in text if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160], [])
        # Each prefix of what is drawn, one of which ends after the first byte of two.
        held = 0
        for tokens in range(1, 200):
            if not 0xC2 <= whole[4 + tokens] <= 0xF4 or held == 3:  # "caf\u00e9" has 5 bytes
                continue
            held += 1
            out = self.generate("--tokens", tokens, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
            self.assertEqual(out, whole[:4 + tokens] + b"\n")
        self.assertEqual(held, 3)

    def test_SeveralPrompts_AreEachContinued_TheFirstAsAlone(self):
        self.drawing_model()
        self.write("p.txt", "caf\u00e9\n\nsecond\r\n")
        self.write("p.jsonl", '"caf\u00e9"\n{"prompt": "second"}\n')
        self.write("bad.jsonl", '"a"\n{"promt": "b"}\n')
        draw = lambda *more: self.run_lapilli("generate", "run", *more, "--temperature", 0.2, "--tokens", 12).stdout
        alone, both = draw("--prompt", "caf\u00e9"), draw("--prompts", "p.txt")
        self.assertTrue(both.startswith(alone + "<|endoftext|>\nsecond"), both)
        self.assertEqual(draw("--prompts", "p.jsonl"), both)
        lines = [json.loads(line) for line in draw("--prompts", "p.txt", "--json").splitlines()]
        self.assertEqual([line["prompt"] for line in lines], ["caf\u00e9", "second"])
        self.assertTrue(all(line["tokens"] == 12 and not line["ended"] for line in lines), lines)
        self.assertNotEqual(lines[0]["text"], lines[1]["text"])
        self.fails("generate", "run", "--prompts", "bad.jsonl", says="prompt 2")
        self.fails("generate", "run", "--prompts", "t.model", says="t.model")

    def test_Chat_AnswersEachLineOfAPipe(self):
        self.drawing_model()
        self.train("talks", "--set", "train.steps=1", "--set", "model.context=128")
        talk = lambda lines: self.run_lapilli("chat", "talks", "--tokens", 3, "--temperature", 0, input=lines).stdout
        one = talk("one\n")
        both = talk("one\n\ntwo\n/exit\nthree\n")
        self.assertTrue(both.startswith(one) and len(both) > len(one), (one, both))
        self.assertEqual(both, talk("one\ntwo\n"))
        self.fails("chat", "run", "--template", "chatml", says="--template plain")

    def test_Samples_AreEscaped_AndTheLogIsUtf8(self):
        self.drawing_model()
        self.train("drawn", "--set", "train.steps=4", "--set", "train.eval_every=1")
        log = (self.folder / "drawn" / "log.txt").read_bytes().decode()
        samples = [line for line in log.splitlines() if line.startswith("sample ")]
        self.assertEqual(len(samples), 4)
        self.assertTrue(any("\\x" in line for line in samples), samples)
        self.assertEqual([c for c in log if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160], [])

    def test_LongPrompt_SaysHowMuchIsLeftOut_AndOnlyTheContextCounts(self):
        self.drawing_model()
        tail = "the first citize"  # 16 bytes: SMALL_CONFIG's context
        draw = lambda prompt: self.warned("generate", "run", "--prompt", prompt, "--tokens", 8, "--temperature", 0, says="the first 24 are left out")
        self.assertEqual(draw("X" * 24 + tail).stdout[24:], draw("Y" * 24 + tail).stdout[24:])
        self.run_lapilli("generate", "run", "--prompt", tail, "--tokens", 8)

    def test_Messages_ShowControlBytesEscaped(self):
        name = "no\x1b[31msuch"
        for done in (self.run_lapilli("tokenizer", "train", "--type", "byte", "-i", name, "-o", "t.model", code=1),
                     self.run_lapilli("tokenizer", "train", "--type", name, "-i", "x", "-o", "t.model", code=2)):
            self.assertIn("no\\x1B[31msuch", done.stderr)
            self.assertNotIn("\x1b", done.stderr)

    def test_Prompt_NotUtf8_IsWrongUsage(self):
        self.misused("generate", "run", "--prompt", b"caf\xe9".decode(errors="surrogateescape"), says="--prompt")


if __name__ == "__main__":
    unittest.main(verbosity=2)
