#!/usr/bin/env python3
"""Checks that transformers reads an export's tokenizer as lapilli does: the ids of every line of a text, and of the awkward lines below.

Usage: check_tokenizer.py LAPILLI EXPORT_DIR TEXT [LINES]     the first LINES lines of TEXT, default 300
Exit 0: all ids are equal, and transformers decodes them as lapilli does. 1: they are not. 77: no transformers here (PyPI).
"""
import json
import pathlib
import subprocess
import sys

try:
    import transformers
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

AWKWARD = ["", " ", "  two  spaces  ", "\n", "\n\n\nx\n", "\ta\tb", "tab\there", "trailing ", "CamelCase and snake_case", "3.14159 2,718", "naïve café",
           "日本語のテキスト", "emoji 🙂🎉", "Ω≈ç√", "a\r\nb", "ALL CAPS!", "it's; \"quoted\"", "x" * 300, "é" * 20, "\x01\x7f", "½ ¼", "\u200bzero",
           "\u0301combining", "𝔘𝔫𝔦", "one\u00a0two"]


def main():
    lapilli, folder, text = sys.argv[1:4]
    lines = pathlib.Path(text).read_text().splitlines(keepends=True)[:int(sys.argv[4]) if len(sys.argv) > 4 else 300]
    lines += ["".join(lines[:50])] + AWKWARD
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    names = pathlib.Path(folder) / "tokenizer.model", pathlib.Path(folder) / "tokenizer.json"  # the second is ours where there is no first
    model = next(path for path in names if path.exists())
    wrong = 0
    for line in lines:
        if not line:
            continue
        done = subprocess.run([lapilli, "tokenizer", "encode", model, "--text", line, "--json"], check=True, capture_output=True)
        ours, theirs = json.loads(done.stdout)["ids"], tokenizer(line)["input_ids"]
        back = tokenizer.decode(theirs)
        if back != line:  # a tokenizer made elsewhere may lose text: then both lose the same
            decoded = subprocess.run([lapilli, "tokenizer", "decode", model, *map(str, ours)], check=True, capture_output=True)
            line = decoded.stdout.decode(errors="replace").removesuffix("\n")
        if ours != theirs or back != line:
            wrong += 1
            if wrong <= 5:
                print(f"{line[:60]!r}: lapilli {ours[:20]}, transformers {theirs[:20]}, decoded {back[:60]!r}")
    print(f"{folder}: transformers {transformers.__version__}, {type(tokenizer).__name__}: {wrong} of {len(lines)} texts differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
