#!/usr/bin/env python3
"""Checks an exported model independently: PyTorch reads only the files that a Hugging Face user would get, computes in
float64, and compares with lapilli's results for the same tokens.

Usage: check_export.py EXPORT_DIR TOKENS [CLAIM] [--context T] [--tolerance 1e-4]

  EXPORT_DIR  config.json and model.safetensors of a GPT2LMHeadModel or LlamaForCausalLM
  TOKENS      token ids, as text separated by white space or as a JSON list
  CLAIM       JSON object by lapilli with at least one of
                "loss"    mean nats per token, evaluated in consecutive windows of T (the first token is input only)
                "logits"  rows of V numbers for the first positions of the first window; as many rows as there are
  T           defaults to the model's whole context
Without CLAIM, prints what PyTorch computed, as JSON: {"loss", "perplexity", "tokens"}.
Exit 0: they agree. 1: they do not, or the export is not what Hugging Face expects. 2: wrong usage. 77: no PyTorch here.
"""
import argparse
import json
import math
import pathlib
import re
import sys

try:
    import numpy
    import torch
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

import reference


class Wrong(Exception):
    """The export is wrong; the message has the reason."""


def require(config, key, *allowed):
    if config.get(key, allowed[0]) not in allowed:
        raise Wrong(f"config.json: {key} is {config[key]!r}, expected {' or '.join(map(repr, allowed))}")


def read_shape(config):
    """config.json -> Shape; refuses settings that this script does not compute"""
    architecture = (config.get("architectures") or [None])[0]
    if architecture == "GPT2LMHeadModel":
        require(config, "model_type", "gpt2")
        require(config, "activation_function", "gelu_new", "gelu_pytorch_tanh")
        require(config, "scale_attn_weights", True)
        require(config, "scale_attn_by_inverse_layer_idx", False)
        return reference.Shape(
            "gpt2", config["vocab_size"], config["n_positions"], config["n_embd"], config["n_head"], config["n_head"],
            config["n_layer"], config.get("n_inner") or 4 * config["n_embd"], config.get("tie_word_embeddings", True),
            config.get("layer_norm_epsilon", 1e-5))
    if architecture == "LlamaForCausalLM":
        require(config, "model_type", "llama")
        require(config, "hidden_act", "silu")
        require(config, "rope_scaling", None)
        heads = config["num_attention_heads"]
        require(config, "head_dim", config["hidden_size"] // heads, None)
        theta = config.get("rope_theta") or (config.get("rope_parameters") or {}).get("rope_theta", 10000.0)
        return reference.Shape(
            "llama", config["vocab_size"], config["max_position_embeddings"], config["hidden_size"], heads,
            config.get("num_key_value_heads") or heads, config["num_hidden_layers"], config["intermediate_size"],
            config.get("tie_word_embeddings", False), config.get("rms_norm_eps", 1e-6), theta)
    raise Wrong(f"config.json: architectures is {config.get('architectures')!r}, "
                "expected GPT2LMHeadModel or LlamaForCausalLM")


def read_model(folder):
    """-> (Shape, parameters in float64); every tensor that Hugging Face would look for, and no other"""
    shape = read_shape(json.loads((folder / "config.json").read_text()))
    tensors, metadata = reference.load_safetensors(folder / "model.safetensors")
    if metadata.get("format") != "pt":  # transformers refuses to load a file that does not say so
        raise Wrong(f"model.safetensors: __metadata__ has format {metadata.get('format')!r}, expected 'pt'")
    wanted = reference.parameter_shapes(shape)
    optional = re.compile(r"lm_head\.weight|.*\.attn\.(masked_)?bias|.*\.rotary_emb\.inv_freq|.*_proj\.bias")
    for name, size in wanted.items():
        if name not in tensors:
            raise Wrong(f"model.safetensors: no {name}")
        if tensors[name].shape != tuple(size):
            raise Wrong(f"model.safetensors: {name} is {list(tensors[name].shape)}, expected {list(size)}")
    for name in tensors:
        if name not in wanted and not optional.fullmatch(name):
            raise Wrong(f"model.safetensors: {name} belongs to no such model")
    parameters = {name: torch.tensor(value.astype("float64")) for name, value in tensors.items()}
    embedding = parameters[next(iter(wanted))]
    if shape.tied and not torch.equal(parameters.get("lm_head.weight", embedding), embedding):
        raise Wrong("model.safetensors: the head is tied, yet lm_head.weight differs from the embedding")
    return shape, parameters


def read_tokens(path, vocab):
    text = path.read_text()
    tokens = json.loads(text) if text.lstrip().startswith("[") else [int(word) for word in text.split()]
    for position, token in enumerate(tokens):
        if not 0 <= token < vocab:
            raise Wrong(f"{path}: token {position} is {token}, the vocabulary has {vocab}")
    if len(tokens) < 2:
        raise Wrong(f"{path}: {len(tokens)} tokens; at least 2 are needed to predict one")
    return torch.tensor(tokens)


def evaluate(shape, parameters, tokens, context):
    """-> (mean nats per predicted token, logits [T,V] of the first window)"""
    total, first = 0.0, None
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, context):
            window = tokens[start : start + context]
            logits = reference.logits_of(parameters, shape, window[None])[0]
            targets = tokens[start + 1 : start + 1 + context]
            total += float(torch.nn.functional.cross_entropy(logits[: len(targets)], targets, reduction="sum"))
            first = logits if first is None else first
    return total / (len(tokens) - 1), first


def compare(claim, loss, logits, tolerance):
    """Prints each comparison; -> whether all of them are within the tolerance"""
    good, compared = True, 0
    if "loss" in claim:
        off = abs(claim["loss"] - loss) / max(abs(loss), 1e-12)
        good, compared = off <= tolerance, compared + 1
        print(f"loss: lapilli {claim['loss']:.7f}, PyTorch {loss:.7f}, {off:.1e} apart (relative)")
    if "logits" in claim:
        rows = numpy.array(claim["logits"], "float64").reshape(-1, logits.shape[1])
        expected = logits[: len(rows)].numpy()
        if len(rows) != len(expected):
            raise Wrong(f"{len(rows)} rows of logits, but the first window has {len(expected)} positions")
        off = abs(rows - expected).max() / abs(expected).max()
        good, compared = good and off <= tolerance, compared + 1  # NaN is not within any tolerance
        print(f"logits: {rows.shape[0]} x {rows.shape[1]}, at most {off:.1e} apart, relative to the largest")
    if not compared:
        raise Wrong("the claim holds neither 'loss' nor 'logits'")
    return bool(good)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("Usage: ")[1])
    parser.add_argument("export", type=pathlib.Path)
    parser.add_argument("tokens", type=pathlib.Path)
    parser.add_argument("claim", type=pathlib.Path, nargs="?")
    parser.add_argument("--context", type=int)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    try:
        shape, parameters = read_model(arguments.export)
        tokens = read_tokens(arguments.tokens, shape.vocab)
        context = arguments.context or shape.context
        if not 1 <= context <= shape.context:
            raise Wrong(f"context {context} does not fit the model's {shape.context}")
        loss, logits = evaluate(shape, parameters, tokens, context)
        if arguments.claim is None:
            print(json.dumps({"loss": loss, "perplexity": math.exp(loss), "tokens": len(tokens) - 1}))
            return 0
        return 0 if compare(json.loads(arguments.claim.read_text()), loss, logits, arguments.tolerance) else 1
    except (Wrong, OSError, KeyError, ValueError) as error:
        print(f"{arguments.export}: {error if not isinstance(error, KeyError) else f'no {error}'}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
