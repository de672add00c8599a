#!/usr/bin/env python3
"""Writes the goldens of models beyond one tile of every kernel: T > 64, N = B*T > 256, D > 64, with a document mask, dropout, masked
and missing targets, computed in float64 by PyTorch. The tensors are large, so the files hold what is left of them, see below.

Usage: make_tile_goldens.py            writes tests/torch/goldens/{gpt2,llama}_tiles.safetensors
       make_tile_goldens.py --check    compares the files that are there with a fresh computation, all but the roundings, which take three
                                       times as long; exit 1 on a difference
       make_tile_goldens.py --rounding prints how far each precision is from float64

Metadata (strings): as in make_goldens.py, and dropout seed.
Tensors (F32, I32 for tokens):
  init/NAME            [3] center, amplitude, stream: element i of the parameter starts at
                       center + amplitude * (2^-31 * philox(i, stream; key kInit) - 1)
  input/m target/m     [B,T] of micro-batch m; a target of -1 is none, whatever its weight
  weight/m             [B,T] 1, 0 (masked) or 0.5
  document_start/m     [B,T] the first position that each one attends to
  logits/0             what is left of [B,T,V], micro-batch 0, without dropout
  grad/NAME after/NAME what is left of the gradient of the first step, both micro-batches together, before clipping; and of the parameter
                       after the last step
  loss/steps grad_norm/steps  [10] loss and global norm before update 1..10, as in make_goldens.py
  rounding/loss rounding/grad_norm  [3] as below, the largest of all steps

What is left of a tensor x is [36]: sum_i +-x_i for 32 patterns of signs, |x|, and the rounding of three precisions. Pattern p has a minus
where bit p of philox(i, 0; key kSigns) is set. The mean of the 32 squared sums of a difference d is |d|^2 (Johnson and Lindenstrauss),
within a quarter as a standard deviation: what a comparison of norms finds, these find.

Rounding: how far the same PyTorch code is from float64, |difference| / |x|: all in float32; float64 with the operands of every product,
forward and backward, rounded to the 11 bits of f16; the same with the 8 bits of bf16. Tolerances are small multiples of these.

philox(i, s; k) is word i % 4 of Philox4x32-10 at counter (i / 4, s, 0, 0) with key (k, 0). Dropout follows model/ops/elementwise.h:
element i of n is dropped where word i / ceil(n/4) at counter (i % ceil(n/4), micro-batch * (2L+1) + site, step, 0) with key (seed, 0) is
below rate * 2^32.
"""
import functools
import math
import os
import sys

import numpy
import torch

import make_goldens
import reference

GOLDENS = make_goldens.GOLDENS
MICRO_BATCHES, STEPS, BATCH = 2, 10, 3
# A large epsilon: where gradients are tiny, AdamW divides rounding by rounding, and nothing could be compared after it.
OPTIM = dict(lr=1e-2, beta1=0.9, beta2=0.95, adam_eps=1e-4, weight_decay=0.1, clip=1.0)
DROPOUT, SEED = 0.125, 20240
INIT_KEY, SIGNS_KEY, PATTERNS = 1, 2, 32
AMPLITUDE = 0.25  # a power of two: values are exact before they are rounded to float32

# Lengths, widths and vocabularies that are no multiples of tiles: 97 and 89 positions are two tiles of attention; 291 and 267 rows are more than
# a workgroup of 256 has threads, as are the columns of some products. Heads of 40 begin at 16 bytes in 16-bit memory, those of 18 do not.
MODELS = {
    "gpt2_tiles": reference.Shape("gpt2", vocab=307, context=97, dim=80, heads=2, kv_heads=2, layers=2, ffn=136, tied=True),
    "llama_tiles": reference.Shape("llama", vocab=211, context=89, dim=72, heads=4, kv_heads=2, layers=2, ffn=130, tied=False),
}
# Where documents begin, by micro-batch and sequence: beside the edges of tiles, within them, and nowhere.
DOCUMENTS = [[[0, 5, 63, 64, 65, 69], [0], [0, 40]], [[0, 33, 66], [0, 1, 2, 70], [0, 87]]]


def philox(counter, key):
    """Philox4x32-10 (Salmon and others, SC 2011). counter: four arrays or numbers, key: two numbers -> [4, n] uint32"""
    counter = [numpy.asarray(word, "uint64") for word in numpy.broadcast_arrays(*counter)]
    low = numpy.uint64(0xFFFFFFFF)
    for i in range(10):
        keys = [numpy.uint64((key[0] + i * 0x9E3779B9) & 0xFFFFFFFF), numpy.uint64((key[1] + i * 0xBB67AE85) & 0xFFFFFFFF)]
        a, b = numpy.uint64(0xD2511F53) * counter[0], numpy.uint64(0xCD9E8D57) * counter[2]
        shift = numpy.uint64(32)
        counter = [(b >> shift) ^ counter[1] ^ keys[0], b & low, (a >> shift) ^ counter[3] ^ keys[1], a & low]
    return numpy.stack(counter).astype("uint32")


def words(count, stream, key):
    """-> [count] uint32"""
    return philox((numpy.arange((count + 3) // 4), stream, 0, 0), (key, 0)).T.reshape(-1)[:count]


@functools.lru_cache(maxsize=None)
def kept(count, stream, step):
    """-> [count] whether dropout keeps each element"""
    quarter = (count + 3) // 4
    drawn = philox((numpy.arange(quarter), stream, step, 0), (SEED, 0)).reshape(-1)[:count]
    return drawn >= numpy.uint32(math.floor(DROPOUT * 2**32))


def initial_parameters(shape):
    """-> ({name: float32 array}, {name: [center, amplitude, stream]})"""
    parameters, init = {}, {}
    for stream, (name, size) in enumerate(reference.parameter_shapes(shape).items()):
        center = 1.0 if len(size) == 1 and name.endswith("weight") else 0.0
        unit = words(math.prod(size), stream, INIT_KEY).astype("float64") * 2.0**-31 - 1
        parameters[name] = (center + AMPLITUDE * unit).astype("float32").reshape(size)
        init[name] = numpy.array([center, AMPLITUDE, stream], "float32")
    return parameters, init


def make_batches(shape):
    """-> per micro-batch (input, target, weight, document_start), each [B,T]"""
    random, batches = numpy.random.default_rng(7), []
    for micro in range(MICRO_BATCHES):
        stream = random.integers(0, shape.vocab, (BATCH, shape.context + 1)).astype("int32")
        target, weight = stream[:, 1:].copy(), numpy.ones((BATCH, shape.context), "float32")
        start = numpy.zeros((BATCH, shape.context), "int32")
        for sequence, begins in enumerate(DOCUMENTS[micro]):
            for begin in begins:
                start[sequence, begin:] = begin
        target[0, 40:47] = -1
        target[1, -1] = -1
        weight[0, :3] = 0
        weight[1, 5::7] = 0.5
        if micro == 1:
            weight[1, 20:] = 0
        batches.append((stream[:, :-1].copy(), target, weight, start))
    return batches


def rounded_to(x, bits):
    """x with so many significant bits, to nearest even; the range of the exponent stays"""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.round(mantissa * 2**bits), (exponent - bits).double())


class RoundedProduct(torch.autograd.Function):
    """a b with operands of so many bits, forward and backward."""

    @staticmethod
    def forward(context, a, b, bits):
        a, b = rounded_to(a, bits), rounded_to(b, bits)
        context.save_for_backward(a, b)
        context.bits = bits
        return a @ b

    @staticmethod
    def backward(context, d_c):
        a, b = context.saved_tensors
        d_c = rounded_to(d_c, context.bits)
        d_a = d_c @ b.transpose(-1, -2)
        if b.dim() < a.dim():
            a, d_c = a.flatten(0, -2), d_c.flatten(0, -2)
        return d_a, a.transpose(-1, -2) @ d_c, None


def compute(shape, parameters, batches, dtype=torch.float64, bits=None):
    """-> the expected tensors as {name: float64 array}"""
    p = {name: torch.tensor(value).to(dtype).requires_grad_() for name, value in parameters.items()}
    decayed = [value for value in p.values() if value.dim() >= 2]
    others = [value for value in p.values() if value.dim() < 2]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed, weight_decay=OPTIM["weight_decay"]), dict(params=others, weight_decay=0.0)],
        lr=OPTIM["lr"], betas=(OPTIM["beta1"], OPTIM["beta2"]), eps=OPTIM["adam_eps"])
    product = torch.matmul if bits is None else lambda a, b: RoundedProduct.apply(a, b, bits)
    divisor = divisor_of(batches)
    expected, losses, norms = {}, [], []

    def logits_of(micro, drop=reference.PLAIN.drop):
        tokens, _, _, start = (torch.tensor(array).long() for array in batches[micro])
        return reference.logits_of(p, shape, tokens, reference.Pass(start, drop, product))

    expected["logits/0"] = logits_of(0).detach()
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        micro_losses = []
        for micro, (_, target, weight, _) in enumerate(batches):
            def drop(x, site):
                mask = kept(x.numel(), micro * (2 * shape.layers + 1) + site, step)
                return x * torch.tensor(mask).view(x.shape).to(x.dtype) / (1 - DROPOUT)

            loss = reference.weighted_nll(logits_of(micro, drop), torch.tensor(target).long(), torch.tensor(weight))
            (loss / divisor).backward()
            micro_losses.append(loss.detach())
        if step == 1:
            expected.update({"grad/" + name: value.grad.clone() for name, value in p.items()})
        losses.append(sum(micro_losses) / divisor)
        norms.append(torch.nn.utils.clip_grad_norm_(p.values(), OPTIM["clip"]))
        optimizer.step()
    expected["loss/steps"], expected["grad_norm/steps"] = torch.stack(losses), torch.stack(norms)
    expected.update({"after/" + name: value.detach().clone() for name, value in p.items()})
    return {name: make_goldens.without_key_bias(name, value.double().numpy()) for name, value in expected.items()}


def divisor_of(batches):
    return float(sum((weight * (target >= 0)).sum() for _, target, weight, _ in batches))


def projections(array):
    """-> [32] the signed sums"""
    x = array.reshape(-1)
    bits = words(x.size, 0, SIGNS_KEY)
    return numpy.array([numpy.where(bits >> numpy.uint32(p) & numpy.uint32(1), -x, x).sum() for p in range(PATTERNS)])


def distance(ours, golden):
    return float(numpy.linalg.norm(ours - golden) / numpy.linalg.norm(golden))


def build(name, with_roundings):
    """-> (tensors, metadata) of one golden file"""
    shape = MODELS[name]
    (parameters, init), batches = initial_parameters(shape), make_batches(shape)
    tensors = {"init/" + key: value for key, value in init.items()}
    for micro, batch in enumerate(batches):
        tensors.update({f"{key}/{micro}": value for key, value in zip(("input", "target", "weight", "document_start"), batch)})
    exact = compute(shape, parameters, batches)
    how = [dict(dtype=torch.float32), dict(bits=11), dict(bits=8)]
    rounded = [compute(shape, parameters, batches, **each) if with_roundings else exact for each in how]
    for key, value in exact.items():
        if key.startswith("loss/") or key.startswith("grad_norm/"):
            tensors[key] = value.astype("float32")
            continue
        left = [*projections(value), numpy.linalg.norm(value), *(distance(each[key], value) for each in rounded)]
        tensors[key] = numpy.array(left, "float32")
    for key in "loss", "grad_norm":
        steps = exact[key + "/steps"]
        tensors["rounding/" + key] = numpy.array([numpy.abs(each[key + "/steps"] / steps - 1).max() for each in rounded], "float32")
    metadata = {**vars(shape), **OPTIM, "batch": BATCH, "micro_batches": MICRO_BATCHES, "steps": STEPS, "divisor": divisor_of(batches),
                "dropout": DROPOUT, "seed": SEED}
    return tensors, {key: str(value).lower() for key, value in metadata.items()}


def is_same(key, fresh, stored):
    if key.startswith("rounding/"):
        return fresh.shape == stored.shape
    if len(fresh) == PATTERNS + 4:
        return numpy.abs(fresh - stored)[:-3].max() <= 1e-6 * stored[PATTERNS]
    return numpy.abs(fresh - stored).max() <= 1e-6 * numpy.abs(stored).max()


def print_rounding(name, tensors):
    print(f"{name}: distance from float64, relative to the norm: float32, f16 operands, bf16 operands")
    for key, value in tensors.items():
        if key.startswith("rounding/") or len(value) == PATTERNS + 4:
            print(f"  {key:50}", *(f"{each:.1e}" for each in value[-3:]))


def main(arguments):
    torch.set_num_threads(1)
    good = True
    for name in MODELS:
        path = os.path.join(GOLDENS, name + ".safetensors")
        tensors, metadata = build(name, with_roundings=arguments != ["--check"])
        if arguments == ["--rounding"]:
            print_rounding(name, tensors)
        elif arguments == ["--check"]:
            stored, stored_metadata = reference.load_safetensors(path)
            same = stored_metadata == metadata and stored.keys() == tensors.keys()
            different = [key for key in tensors if not same or not is_same(key, tensors[key], stored[key])]
            print(f"{name}: {'DIFFERS from ' + path + ': ' + ', '.join(different[:5]) if different else 'as stored'}")
            good = good and not different
        elif not arguments:
            reference.save_safetensors(path, tensors, metadata)
            print(f"{path}: {len(tensors)} tensors, {os.path.getsize(path)} bytes, "
                  f"loss {tensors['loss/steps'][0]:.6f} -> {tensors['loss/steps'][-1]:.6f}")
        else:
            sys.exit(__doc__)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
