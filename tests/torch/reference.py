"""The two transformers in plain PyTorch, as the reference for ours: short, slow, and independent of our code.

A model is a dict of parameters under Hugging Face's own names (GPT2LMHeadModel, LlamaForCausalLM) and a Shape. Every
function works in the dtype of the parameters, so float64 parameters give a float64 reference.
Letters: B sequences, T positions, D width, H heads, K key/value heads, E head width, F width of the MLP, V vocabulary.
"""
import dataclasses
import json
import math
import struct

import numpy
import torch
import torch.nn.functional as functional


@dataclasses.dataclass
class Shape:
    arch: str  # "gpt2" | "llama"
    vocab: int
    context: int
    dim: int
    heads: int
    kv_heads: int
    layers: int
    ffn: int
    tied: bool
    eps: float = 1e-5
    rope_theta: float = 10000.0


@dataclasses.dataclass
class Pass:
    """What a pass through the model may do beside the plain one."""
    document_start: torch.Tensor = None  # [B,T] the first position that each one attends to; None: 0
    drop: object = lambda x, site: x  # dropout of x [B,T,D]; sites: 2l and 2l + 1 behind both projections of block l, 2L behind the embedding
    product: object = torch.matmul  # of two tensors


PLAIN = Pass()


def parameter_shapes(s):
    """-> {name: shape}, in a fixed order"""
    head = s.dim // s.heads
    kv = s.kv_heads * head
    shapes = {}
    if s.arch == "gpt2":
        shapes["transformer.wte.weight"] = (s.vocab, s.dim)
        shapes["transformer.wpe.weight"] = (s.context, s.dim)
        for i in range(s.layers):
            h = f"transformer.h.{i}."
            shapes[h + "ln_1.weight"] = shapes[h + "ln_1.bias"] = (s.dim,)
            shapes[h + "attn.c_attn.weight"], shapes[h + "attn.c_attn.bias"] = (s.dim, 3 * s.dim), (3 * s.dim,)
            shapes[h + "attn.c_proj.weight"], shapes[h + "attn.c_proj.bias"] = (s.dim, s.dim), (s.dim,)
            shapes[h + "ln_2.weight"] = shapes[h + "ln_2.bias"] = (s.dim,)
            shapes[h + "mlp.c_fc.weight"], shapes[h + "mlp.c_fc.bias"] = (s.dim, s.ffn), (s.ffn,)
            shapes[h + "mlp.c_proj.weight"], shapes[h + "mlp.c_proj.bias"] = (s.ffn, s.dim), (s.dim,)
        shapes["transformer.ln_f.weight"] = shapes["transformer.ln_f.bias"] = (s.dim,)
    else:
        shapes["model.embed_tokens.weight"] = (s.vocab, s.dim)
        for i in range(s.layers):
            h = f"model.layers.{i}."
            shapes[h + "input_layernorm.weight"] = (s.dim,)
            shapes[h + "self_attn.q_proj.weight"] = (s.dim, s.dim)
            shapes[h + "self_attn.k_proj.weight"] = shapes[h + "self_attn.v_proj.weight"] = (kv, s.dim)
            shapes[h + "self_attn.o_proj.weight"] = (s.dim, s.dim)
            shapes[h + "post_attention_layernorm.weight"] = (s.dim,)
            shapes[h + "mlp.gate_proj.weight"] = shapes[h + "mlp.up_proj.weight"] = (s.ffn, s.dim)
            shapes[h + "mlp.down_proj.weight"] = (s.dim, s.ffn)
        shapes["model.norm.weight"] = (s.dim,)
    if not s.tied:
        shapes["lm_head.weight"] = (s.vocab, s.dim)
    return shapes


def causal_attention(q, k, v, how=PLAIN):
    """q [B,H,T,E]; k, v [B,K,T,E] with K dividing H -> [B,T,H*E]. Query head h reads key head h // (H/K)."""
    batch, heads, length, head = q.shape
    k = k.repeat_interleave(heads // k.shape[1], dim=1)
    v = v.repeat_interleave(heads // v.shape[1], dim=1)
    scores = how.product(q, k.transpose(-1, -2)) / math.sqrt(head)  # [B,H,T,T]
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)  # the future
    if how.document_start is not None:
        hidden = hidden | (torch.arange(length) < how.document_start[:, None, :, None])  # other documents
    scores = scores.masked_fill(hidden, float("-inf"))
    return how.product(scores.softmax(-1), v).transpose(1, 2).reshape(batch, length, heads * head)


def split_heads(x, heads):
    """[B,T,heads*E] -> [B,heads,T,E]"""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gpt2_features(p, s, tokens, how=PLAIN):
    """tokens [B,T] -> final hidden state [B,T,D]. Matrices are stored [in,out]; a missing bias counts as zero."""
    norm = lambda x, name: functional.layer_norm(
        x, (s.dim,), p[name + ".weight"], p.get(name + ".bias"), s.eps)
    linear = lambda x, name: how.product(x, p[name + ".weight"]) + p.get(name + ".bias", 0)
    x = how.drop(p["transformer.wte.weight"][tokens] + p["transformer.wpe.weight"][: tokens.shape[1]], 2 * s.layers)
    for i in range(s.layers):
        h = f"transformer.h.{i}."
        q, k, v = linear(norm(x, h + "ln_1"), h + "attn.c_attn").split(s.dim, dim=-1)
        attended = causal_attention(split_heads(q, s.heads), split_heads(k, s.heads), split_heads(v, s.heads), how)
        x = x + how.drop(linear(attended, h + "attn.c_proj"), 2 * i)
        x = x + how.drop(linear(gelu_tanh(linear(norm(x, h + "ln_2"), h + "mlp.c_fc")), h + "mlp.c_proj"), 2 * i + 1)
    return norm(x, "transformer.ln_f")


def rotate(x, theta):
    """Rotary positions, Hugging Face's convention: component e is rotated with component e + E/2. x [B,heads,T,E]"""
    length, head = x.shape[-2:]
    frequency = theta ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)  # [E/2]
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency  # [T,E/2]
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    low, high = x[..., : head // 2], x[..., head // 2 :]
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


def llama_features(p, s, tokens, how=PLAIN):
    """tokens [B,T] -> final hidden state [B,T,D]. Matrices are stored [out,in]."""
    norm = lambda x, name: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + s.eps) * p[name + ".weight"]
    linear = lambda x, name: how.product(x, p[name + ".weight"].T) + p.get(name + ".bias", 0)
    x = how.drop(p["model.embed_tokens.weight"][tokens], 2 * s.layers)
    for i in range(s.layers):
        h = f"model.layers.{i}."
        y = norm(x, h + "input_layernorm")
        q = rotate(split_heads(linear(y, h + "self_attn.q_proj"), s.heads), s.rope_theta)
        k = rotate(split_heads(linear(y, h + "self_attn.k_proj"), s.kv_heads), s.rope_theta)
        v = split_heads(linear(y, h + "self_attn.v_proj"), s.kv_heads)
        x = x + how.drop(linear(causal_attention(q, k, v, how), h + "self_attn.o_proj"), 2 * i)
        y = norm(x, h + "post_attention_layernorm")
        gated = functional.silu(linear(y, h + "mlp.gate_proj")) * linear(y, h + "mlp.up_proj")
        x = x + how.drop(linear(gated, h + "mlp.down_proj"), 2 * i + 1)
    return norm(x, "model.norm")


def logits_of(p, s, tokens, how=PLAIN):
    """tokens [B,T] -> [B,T,V]"""
    features = (gpt2_features if s.arch == "gpt2" else llama_features)(p, s, tokens, how)
    embedding = "transformer.wte.weight" if s.arch == "gpt2" else "model.embed_tokens.weight"
    return how.product(features, p[embedding if s.tied else "lm_head.weight"].T)


def weighted_nll(logits, targets, weights):
    """Sum over positions of weight * -ln p(target), in nats. A target of weight 0 is not read, and one below 0 is none."""
    rows = (weights.flatten() * (targets.flatten() >= 0)).nonzero().flatten()
    picked = logits.flatten(0, 1)[rows]
    nll = functional.cross_entropy(picked, targets.flatten()[rows], reduction="none")
    return (nll * weights.flatten()[rows].to(nll.dtype)).sum()


# --- safetensors: 8 bytes of little-endian header length, a JSON header, raw data

_DTYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I32": "<i4", "I64": "<i8"}


def save_safetensors(path, tensors, metadata):
    """tensors {name: numpy array of float32, float64 or int32}; metadata {str: str}"""
    names = {numpy.dtype(v): k for k, v in _DTYPES.items()}
    header, offset = {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # data starts on a multiple of 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(numpy.ascontiguousarray(array).tobytes())


def load_safetensors(path):
    """-> ({name: numpy array}, metadata). Checks that the ranges are inside the file and fit the shapes."""
    data = open(path, "rb").read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    body, tensors = memoryview(data)[8 + length :], {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "BF16":  # the upper half of a float32
            halves = numpy.frombuffer(body[begin:end], "<u2").astype("<u4")
            array = (halves << 16).view("<f4")
        else:
            array = numpy.frombuffer(body[begin:end], _DTYPES[entry["dtype"]])
        if not 0 <= begin <= end <= len(body):
            raise ValueError(f"{path}: {name} lies at bytes {begin} to {end} of {len(body)}")
        tensors[name] = array.reshape(entry["shape"])
    return tensors, metadata
