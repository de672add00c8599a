#!/usr/bin/env python3
"""Writes goldens/byte_bpe.json: small byte-level BPE tokenizers of each splitter, and the ids that the library `tokenizers` makes of awkward texts.

Usage: make_bpe_goldens.py     needs tokenizers (PyPI); written with 0.22.2
"""
import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPLITTERS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
}
LEARNED_FROM = ["There was a man, and the man's house had 1024 rooms; they'll say he'd walked through 100 of them.\n\n    indented lines\n    of code(x, y) = 10;\n",
                "Der Fluß fließt. Où est l'été? 日本語の日本 \U0001F642\U0001F642 THE END, IT'S DONE.\r\n\r\n\tThe the the that this then there."]
TEXTS = ["a", " ", "  ", "   x", "\n", "\n\n\nx\n", "x \n y", "x\n\n  y  \n\n", " \t\r\n ", "\r\n\r\nx", "a.\n\nb", "?!\r\nx", "trailing  ", "it's we'll they'd I'M CAN'T he'S'",
         "'\u017f '\u017fx '' 's's", "1234567 12 3.14159 2,718 x1y22z333", "a 1  2   3\t4", " 1", "  12  ", "\u00bd \u00b2\u2167 \u0663\u0664", "caf\u00e9 e\u0301 na\u00efve Fluß",
         "日本語のテキスト", "\U0001F642\U0001F389 \u200d\u2764\ufe0f", "a\u00a0b\u00a0\u00a0c \u3000d\u3000", "x\u0085y\u2028z\u180ew\u1680v\ufeffu\u200b", "\x01\x7f\x1f x", "snake_case CamelCase __x__",
         "!!!??? ... --- ", "<|endoftext|> <tool> <tools> <tool", "<tool><tool>\n\n<tools>", "the then\u00e9", "x" * 100, " " * 100 + "x", "\u00e9" * 20, "\U0010ffff\ue000", "the\n\nman\n\n\nthere",
         "\u0301\u0301a", "(x, y) = 10;\n\tif", "qzq houses qzqq xhouses"]


def random_texts(count):
    draw = random.Random(7)
    characters = list("atheT'sdlm 019.,!\n\r\t ") + ["  ", "\u00e9", "\u00a0", "\u3000", "日", "\U0001F642", "'ll", "the ", "<tool>", "\n\n", "\u0301", "\u00b2", "\u180e"]
    return ["".join(draw.choice(characters) for _ in range(draw.randrange(1, 60))) for _ in range(count)]


def make(name):
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    tokenizer.pre_tokenizer, tokenizer.decoder = SPLITTERS[name], decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer.train_from_iterator(LEARNED_FROM, trainer)
    if name == "gpt2":
        tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<tool>", "<tools>", "\n\n")])
    return tokenizer


def main():
    texts = TEXTS + random_texts(60)
    golden = {"made_by": f"tests/torch/make_bpe_goldens.py, tokenizers {tokenizers.__version__}", "texts": texts, "tokenizers": {}, "ids": {}}
    for name in SPLITTERS:
        tokenizer = make(name)
        written = json.loads(tokenizer.to_str())
        if name == "llama3":  # whole words that no merges make
            for word in "Ġhouses", "qzq":
                written["model"]["vocab"][word] = len(written["model"]["vocab"])
        tokenizer = Tokenizer.from_str(json.dumps(written))
        tokenizer.encode_special_tokens = True  # the text of a special token is text
        golden["tokenizers"][name] = written
        golden["ids"][name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        assert all(tokenizer.decode(ids, skip_special_tokens=False) == text for ids, text in zip(golden["ids"][name], texts)), name
    path = pathlib.Path(__file__).parent / "goldens" / "byte_bpe.json"
    path.write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
