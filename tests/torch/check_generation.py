#!/usr/bin/env python3
"""Checks that transformers computes and continues as lapilli does: an export loaded by AutoModelForCausalLM and AutoTokenizer.

Usage: check_generation.py LAPILLI RUN EXPORT_DIR TEXT [TOKENS]
  the mean loss of the first tokens of TEXT that fit the context, against `lapilli eval` (within 1e-3), and for ten prompts from TEXT the
  greedy continuation by TOKENS (default 200) within the context, against `lapilli generate` (the same text)
Exit 0: both agree. 1: they do not. 77: no transformers or PyTorch here.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def lapilli(*arguments):
    return subprocess.run(list(map(str, arguments)), check=True, capture_output=True, text=True).stdout


def main():
    program, run, folder, text = sys.argv[1:5]
    tokens = int(sys.argv[5]) if len(sys.argv) > 5 else 200
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    if any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")):
        sys.exit(f"{folder}: {loading}")
    model = model.eval()
    context = model.config.max_position_embeddings
    whole = pathlib.Path(text).read_text().replace("<|endoftext|>\n", "")  # lapilli would read a separator
    ids = tokenizer(whole[:20 * context])["input_ids"][:context + 1]
    part = tokenizer.decode(ids)
    with torch.no_grad():
        logits = model(torch.tensor([ids[:-1]])).logits[0]
        theirs = torch.nn.functional.cross_entropy(logits.double(), torch.tensor(ids[1:])).item()
    with tempfile.TemporaryDirectory() as scratch:
        (pathlib.Path(scratch) / "part.txt").write_text(part)
        ours = json.loads(lapilli(program, "eval", run, "--data", pathlib.Path(scratch) / "part.txt", "--json"))["loss"]
    differ = 0
    for i in range(10):
        prompt = tokenizer.decode(tokenizer(whole[2000 * i:2000 * i + 400])["input_ids"][:min(30, context // 4)])
        begin = tokenizer(prompt, return_tensors="pt")["input_ids"]
        new = min(tokens, context - begin.shape[1])
        drawn = model.generate(begin, max_new_tokens=new, do_sample=False, attention_mask=torch.ones_like(begin))[0]
        continued = lapilli(program, "generate", run, "--prompt", prompt, "--tokens", new, "--temperature", 0).rstrip("\n")
        wanted = tokenizer.decode(drawn, skip_special_tokens=True).rstrip("\n")
        if not continued.endswith(wanted[len(prompt):]):
            differ += 1
            print(f"prompt {i}:\n  lapilli      {continued[-80:]!r}\n  transformers {wanted[-80:]!r}")
    print(f"{folder}: transformers {transformers.__version__}: loss {ours:.6f} by lapilli, {theirs:.6f} by transformers; "
          f"{differ} of 10 continuations differ")
    sys.exit(1 if differ or abs(ours - theirs) > 1e-3 else 0)


if __name__ == "__main__":
    main()
