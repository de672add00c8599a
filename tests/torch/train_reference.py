#!/usr/bin/env python3
"""The baseline: nanoGPT's CPU recipe in plain PyTorch, on the text and the split that lapilli uses.

Usage: train_reference.py TEXT [--seed 1] [--steps 2000] [--threads 2]
       train_reference.py --step-only char|mid|v32k|L,H,D,T,B,V [--repeat 20] [--threads 2] [--device cuda] [--dtype bf16] [--compile]

Training: characters of TEXT, the last tenth for validation; 4 layers, 4 heads, width 128, context 64, batch 12, no
biases, no dropout, tied head, weights from N(0, 0.02), residual projections scaled by 1/sqrt(2 layers). AdamW with lr
1e-3, 100 warm-up steps, cosine to 1e-4 over --steps, betas 0.9 and 0.99, decay 0.1 on matrices, clip 1. Validation is
exact: every token after the first is predicted once, in consecutive windows of 64. Prints one JSON object.

--step-only: median milliseconds of forward + backward + AdamW on random tokens, for one of three configurations or any other
(layers, heads, width, context, sequences, vocabulary); in f32 or under autocast, on the CPU or a GPU.
Both print matmul_gflops, the rate of a 1024 x 1024 x 1024 matmul: PyTorch is as fast as the BLAS below it. Debian's own
default is some 50 times slower than OpenBLAS (package libopenblas0-openmp; OPENBLAS_CORETYPE=SkylakeX where it does
not recognise an AVX-512 processor). Quote no time without that number.
"""
import argparse
import json
import math
import statistics
import sys
import time

import torch
import torch.nn.functional as functional

CONFIGS = {  # layers, heads, width, context, batch, vocabulary
    "char": (4, 4, 128, 64, 12, 65),
    "mid": (6, 6, 384, 256, 8, 65),
    "v32k": (4, 4, 256, 256, 4, 32000),
}


class Block(torch.nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = (torch.nn.Parameter(torch.ones(dim)) for _ in range(2))
        linear = lambda inputs, outputs: torch.nn.Linear(inputs, outputs, bias=False)
        self.qkv, self.attention_out = linear(dim, 3 * dim), linear(dim, dim)
        self.up, self.down = linear(dim, 4 * dim), linear(4 * dim, dim)

    def attention(self, x, future):  # x [B,T,D], future [T,T] bool
        batch, length, dim = x.shape
        q, k, v = (y.view(batch, length, self.heads, -1).transpose(1, 2) for y in self.qkv(x).split(dim, dim=-1))
        if hasattr(functional, "scaled_dot_product_attention"):  # PyTorch 2: the kernel its users get
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-1, -2)) / math.sqrt(dim // self.heads)
            y = scores.masked_fill(future, float("-inf")).softmax(-1) @ v
        return self.attention_out(y.transpose(1, 2).reshape(batch, length, dim))

    def forward(self, x, future):
        x = x + self.attention(functional.layer_norm(x, x.shape[-1:], self.norm_1), future)
        return x + self.down(functional.gelu(self.up(functional.layer_norm(x, x.shape[-1:], self.norm_2))))


class Gpt(torch.nn.Module):
    def __init__(self, layers, heads, dim, context, vocab):
        super().__init__()
        self.tokens, self.positions = torch.nn.Embedding(vocab, dim), torch.nn.Embedding(context, dim)
        self.blocks = torch.nn.ModuleList(Block(dim, heads) for _ in range(layers))
        self.norm = torch.nn.Parameter(torch.ones(dim))
        self.register_buffer("future", torch.ones(context, context, dtype=torch.bool).triu(1))
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("attention_out.weight", "down.weight"))
                torch.nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if residual else 1))

    def forward(self, tokens, targets, reduction="mean"):  # both [B,T]
        length = tokens.shape[1]
        x = self.tokens(tokens) + self.positions.weight[:length]
        for block in self.blocks:
            x = block(x, self.future[:length, :length])
        logits = functional.linear(functional.layer_norm(x, x.shape[-1:], self.norm), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


def make_optimizer(model):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)],
                             lr=1e-3, betas=(0.9, 0.99))


def train_step(model, optimizer, tokens, targets):
    optimizer.zero_grad(set_to_none=True)
    loss = model(tokens, targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def learning_rate(step, steps, warmup=100, highest=1e-3, lowest=1e-4):
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    return lowest + 0.5 * (1 + math.cos(math.pi * progress)) * (highest - lowest)


@torch.no_grad()
def whole_split_loss(model, tokens, context):
    """Mean nats over every token after the first, in consecutive windows; -> (loss, tokens predicted)"""
    count = len(tokens) - 1
    full = count // context * context
    inputs, targets = tokens[:full].view(-1, context), tokens[1 : full + 1].view(-1, context)
    total = sum(model(x, y, "sum").item() for x, y in zip(inputs.split(64), targets.split(64)))
    if full < count:
        total += model(tokens[None, full:-1], tokens[None, full + 1 :], "sum").item()
    return total / count, count


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def machine(device="cpu"):
    """The conditions of a measured time"""
    a, b, times = torch.randn(1024, 1024, device=device), torch.randn(1024, 1024, device=device), []
    for _ in range(5):
        wait(device)
        began = time.perf_counter()
        a @ b
        wait(device)
        times.append(time.perf_counter() - began)
    return {"torch": torch.__version__, "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
            "threads": torch.get_num_threads(), "matmul_gflops": 2 * 1024**3 / min(times) / 1e9}


def train(path, seed, steps):
    text = open(path, encoding="utf-8", newline="").read()
    letters = sorted(set(text))
    index = {letter: i for i, letter in enumerate(letters)}
    tokens = torch.tensor([index[letter] for letter in text])
    split = len(tokens) * 9 // 10
    training, validation = tokens[:split], tokens[split:]

    torch.manual_seed(seed)
    layers, heads, dim, context, batch, _ = CONFIGS["char"]
    model = Gpt(layers, heads, dim, context, len(letters))
    optimizer = make_optimizer(model)
    before, _ = whole_split_loss(model, validation, context)
    began = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        starts = torch.randint(len(training) - context, (batch,)).tolist()
        inputs = torch.stack([training[i : i + context] for i in starts])
        targets = torch.stack([training[i + 1 : i + context + 1] for i in starts])
        loss = train_step(model, optimizer, inputs, targets)
        if step % 200 == 0:
            print(f"step {step:5} loss {loss:.4f}", file=sys.stderr)
    seconds = time.perf_counter() - began
    after, count = whole_split_loss(model, validation, context)
    return {**machine(), "seed": seed, "steps": steps,
            "parameters": sum(p.numel() for p in model.parameters()), "vocab": len(letters),
            "ln_vocab": math.log(len(letters)), "loss_before": before, "train_loss": loss, "val_loss": after,
            "val_tokens": count, "seconds": seconds, "tokens_per_s": steps * batch * context / seconds}


def time_steps(config, repeat, device, dtype, compiled):
    layers, heads, dim, context, batch, vocab = CONFIGS.get(config) or map(int, config.split(","))
    torch.manual_seed(1)
    model = Gpt(layers, heads, dim, context, vocab).to(device)
    optimizer = make_optimizer(model)
    tokens = torch.randint(vocab, (batch, context + 1), device=device)
    run = torch.compile(model) if compiled else model
    rounded = {"f32": None, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]

    def loss_of(inputs, targets):
        with torch.autocast(device, dtype=rounded, enabled=rounded is not None):
            return run(inputs, targets)
    loss_of.parameters = model.parameters

    times = []
    for _ in range(repeat + 3):
        began = time.perf_counter()
        train_step(loss_of, optimizer, tokens[:, :-1], tokens[:, 1:])  # reads the loss, and so waits
        wait(device)
        times.append(time.perf_counter() - began)
    median = statistics.median(times[3:])  # the first three warm caches and allocator
    return {**machine(device), "config": config, "dtype": dtype, "compiled": compiled,
            "parameters": sum(p.numel() for p in model.parameters()), "median_ms": median * 1e3,
            "fastest_ms": min(times[3:]) * 1e3, "tokens_per_s": batch * context / median}


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("Usage: ")[1])
    parser.add_argument("text", nargs="?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--step-only", metavar="CONFIG")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("f32", "f16", "bf16"), default="f32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--repeat", type=int, default=20)
    arguments = parser.parse_args()
    if (arguments.text is None) == (arguments.step_only is None):
        parser.error("give either TEXT or --step-only")
    torch.set_num_threads(arguments.threads)
    if arguments.step_only:
        print(json.dumps(time_steps(arguments.step_only, arguments.repeat, arguments.device, arguments.dtype, arguments.compile)))
    else:
        print(json.dumps(train(arguments.text, arguments.seed, arguments.steps)))


if __name__ == "__main__":
    main()
