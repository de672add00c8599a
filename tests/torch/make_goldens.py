#!/usr/bin/env python3
"""Writes the goldens: small models computed in float64 by PyTorch, as expected values for our kernels and trainer.

Usage: make_goldens.py            writes tests/torch/goldens/{gpt2,llama,llama_tied}.safetensors
       make_goldens.py --check    compares the files that are there with a fresh computation; exit 1 on a difference
       make_goldens.py --float32  prints how far the same PyTorch code in float32 is from the goldens: the size of
                                  rounding errors, from which tolerances can be derived

The initial parameters are rounded to float32 before anything is computed, so both sides start from equal numbers.
Two micro-batches (0 and 1) of B sequences make one step; the divisor is the sum of the weights of both.

Metadata (strings): arch vocab context dim heads kv_heads layers ffn tied eps rope_theta batch micro_batches divisor
  steps lr beta1 beta2 adam_eps weight_decay clip
Tensors (F32, rounded from float64; I32 for tokens):
  param/NAME           initial value, NAME as Hugging Face names it; GPT-2's matrices are [in,out], Llama's [out,in]
  input/m target/m     [B,T] tokens of micro-batch m, each target the token that follows
  weight/m             [B,T] 1, 0 (masked) or 0.5
  logits/0             [B,T,V] of micro-batch 0
  loss/micro           [2] sum over positions of weight * nll, in nats, not divided
  loss/total           [1] (loss/micro[0] + loss/micro[1]) / divisor
  grad/NAME            gradient of loss/total, both micro-batches together, before clipping
  grad_norm            [1] its global L2 norm; a tied embedding counts once
  loss/steps           [10] loss/total before update 1..10, the same two micro-batches each time
  grad_norm/steps      [10] global norm before clipping
  after/NAME           value after ten steps of AdamW
AdamW as PyTorch has it: decoupled decay, on tensors of two dimensions and more only (embeddings included); constant
lr; gradients scaled by min(1, clip / (norm + 1e-6)) first. The middle third of GPT-2's attn.c_attn.bias (the keys'
bias) has gradient 0 in exact arithmetic, so Adam divides rounding by rounding there: compare its other thirds only.
"""
import os
import sys

import numpy
import torch

import reference

GOLDENS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "goldens")
BATCH, MICRO_BATCHES, STEPS = 3, 2, 10
OPTIM = dict(lr=1e-2, beta1=0.9, beta2=0.95, adam_eps=1e-8, weight_decay=0.1, clip=1.0)

MODELS = {
    "gpt2": reference.Shape("gpt2", vocab=101, context=13, dim=20, heads=5, kv_heads=5, layers=2, ffn=80, tied=True),
    "llama": reference.Shape("llama", vocab=67, context=11, dim=24, heads=6, kv_heads=2, layers=3, ffn=37, tied=False),
    "llama_tied": reference.Shape("llama", vocab=53, context=9, dim=12, heads=2, kv_heads=1, layers=2, ffn=19, tied=True),
}


def initial_parameters(shape, random):
    """-> {name: float32 array}: large enough that every nonlinearity is used"""
    parameters = {}
    for name, size in reference.parameter_shapes(shape).items():
        center = 1.0 if len(size) == 1 and name.endswith("weight") else 0.0
        parameters[name] = (center + 0.2 * random.standard_normal(size)).astype("float32")
    return parameters


def make_batches(shape, random):
    """-> per micro-batch (input, target, weight), each [B,T]; each masks a different number of positions"""
    batches = []
    for micro in range(MICRO_BATCHES):
        stream = random.integers(0, shape.vocab, (BATCH, shape.context + 1)).astype("int32")
        weight = numpy.ones((BATCH, shape.context), "float32")
        if micro == 0:
            weight[0, :3] = 0  # a prompt
            weight[2, 5] = 0.5
        else:
            weight[1, -4:] = 0  # padding
            weight[2, :] = 0  # a sequence that counts for nothing
            weight[0, 1] = 0
        batches.append((stream[:, :-1].copy(), stream[:, 1:].copy(), weight))
    return batches


def compute(shape, parameters, batches, dtype):
    """-> the expected tensors as {name: torch tensor of dtype}"""
    p = {name: torch.tensor(value).to(dtype).requires_grad_() for name, value in parameters.items()}
    decayed = [value for value in p.values() if value.dim() >= 2]
    others = [value for value in p.values() if value.dim() < 2]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed, weight_decay=OPTIM["weight_decay"]), dict(params=others, weight_decay=0.0)],
        lr=OPTIM["lr"], betas=(OPTIM["beta1"], OPTIM["beta2"]), eps=OPTIM["adam_eps"])
    divisor = float(sum(weight.sum() for _, _, weight in batches))
    expected, losses, norms = {}, [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        micro_losses = []
        for micro, (tokens, targets, weights) in enumerate(batches):
            logits = reference.logits_of(p, shape, torch.tensor(tokens).long())
            loss = reference.weighted_nll(logits, torch.tensor(targets).long(), torch.tensor(weights))
            (loss / divisor).backward()
            micro_losses.append(loss.detach())
            if step == 0 and micro == 0:
                expected["logits/0"] = logits.detach().clone()
        if step == 0:
            expected["loss/micro"] = torch.stack(micro_losses)
            expected.update({"grad/" + name: value.grad.clone() for name, value in p.items()})
        losses.append(sum(micro_losses) / divisor)
        norms.append(torch.nn.utils.clip_grad_norm_(p.values(), OPTIM["clip"]))
        optimizer.step()
    expected["loss/steps"], expected["grad_norm/steps"] = torch.stack(losses), torch.stack(norms)
    expected["loss/total"], expected["grad_norm"] = torch.stack(losses[:1]), torch.stack(norms[:1])
    expected.update({"after/" + name: value.detach().clone() for name, value in p.items()})
    return expected


def build(name):
    """-> (tensors, metadata) of one golden file, and the expected values in float32 arithmetic for comparison"""
    shape = MODELS[name]
    random = numpy.random.default_rng([20240, *name.encode()])
    parameters, batches = initial_parameters(shape, random), make_batches(shape, random)
    tensors = {"param/" + key: value for key, value in parameters.items()}
    for micro, batch in enumerate(batches):
        tensors.update({f"{key}/{micro}": value for key, value in zip(("input", "target", "weight"), batch)})
    expected = compute(shape, parameters, batches, torch.float64)
    tensors.update({key: value.numpy().astype("float32") for key, value in expected.items()})
    metadata = {**vars(shape), **OPTIM, "batch": BATCH, "micro_batches": MICRO_BATCHES, "steps": STEPS,
                "divisor": float(sum(weight.sum() for _, _, weight in batches))}
    rounded = compute(shape, parameters, batches, torch.float32)
    return tensors, {key: str(value).lower() for key, value in metadata.items()}, rounded


def distance(ours, golden):
    """Largest difference, relative to the golden tensor's largest value"""
    return float(numpy.abs(ours - golden).max() / max(numpy.abs(golden).max(), 1e-30))


def without_key_bias(name, array):
    """Leaves out values that are only rounding errors, see the top of this file"""
    if not name.endswith("attn.c_attn.bias"):
        return array
    third = len(array) // 3
    return numpy.concatenate((array[:third], array[2 * third :]))


def print_rounding(name, tensors, rounded):
    print(f"{name}: float32 against float64, largest difference relative to the tensor's largest value")
    for kind in "logits/0", "loss/micro", "loss/total", "grad_norm", "loss/steps", "grad_norm/steps":
        print(f"  {kind:16} {distance(rounded[kind].numpy(), tensors[kind]):.1e}")
    for kind in "grad/", "after/":
        worst = max((distance(without_key_bias(key, value.numpy()), without_key_bias(key, tensors[key])), key)
                    for key, value in rounded.items() if key.startswith(kind))
        print(f"  {kind:16} {worst[0]:.1e}  at worst, {worst[1]}")


def main(arguments):
    torch.set_num_threads(1)
    os.makedirs(GOLDENS, exist_ok=True)
    good = True
    for name in MODELS:
        path = os.path.join(GOLDENS, name + ".safetensors")
        tensors, metadata, rounded = build(name)
        if arguments == ["--float32"]:
            print_rounding(name, tensors, rounded)
        elif arguments == ["--check"]:
            stored, stored_metadata = reference.load_safetensors(path)
            same = stored_metadata == metadata and stored.keys() == tensors.keys() and all(
                distance(without_key_bias(key, tensors[key]), without_key_bias(key, stored[key])) < 1e-6
                for key in tensors)
            print(f"{name}: {'as stored' if same else 'DIFFERS from ' + path}")
            good = good and same
        elif not arguments:
            reference.save_safetensors(path, tensors, metadata)
            print(f"{path}: {len(tensors)} tensors, {os.path.getsize(path)} bytes, "
                  f"loss {tensors['loss/total'][0]:.6f} -> {tensors['loss/steps'][-1]:.6f}")
        else:
            sys.exit(__doc__)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
