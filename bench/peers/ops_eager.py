"""Times one of PyTorch's CPU operations at one shape; prints one line of JSON.

One operation per call and about a second of work, so that calls can alternate with another
program's and both see the same machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


@dataclasses.dataclass
class Work:
    forward: Callable[[], Tensor]
    inputs: list[Tensor]  # what backward makes gradients for
    flop: float  # of the forward direction; 0 where bytes decide
    bytes: float  # read and written by the forward direction, each operand once
    # How much more forward and backward together do than forward.
    both: float = 3


def attention(a: argparse.Namespace, dtype: torch.dtype) -> Work:
    """Causal attention of a.batch sequences; backward does five products for forward's two."""
    q = torch.randn(a.batch, a.heads, a.seq, a.head_dim, dtype=dtype)
    k = torch.randn(a.batch, a.kv_heads, a.seq, a.head_dim, dtype=dtype)
    v = torch.randn_like(k)
    grouped = a.heads != a.kv_heads

    def forward() -> Tensor:
        return functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, enable_gqa=grouped
        )

    pairs = a.batch * a.heads * a.seq * (a.seq + 1) / 2
    moved = (2 * q.numel() + 2 * k.numel()) * q.element_size()
    return Work(forward, [q, k, v], 4 * pairs * a.head_dim, moved, both=3.5)


def head(a: argparse.Namespace, dtype: torch.dtype) -> Work:
    """Projection to the vocabulary and cross-entropy in float32."""
    x = torch.randn(a.rows, a.hidden, dtype=dtype)
    w = 0.02 * torch.randn(a.vocab, a.hidden, dtype=dtype)
    targets = torch.randint(a.vocab, (a.rows,))

    def forward() -> Tensor:
        return functional.cross_entropy(functional.linear(x, w).float(), targets)

    moved = (x.numel() + w.numel()) * x.element_size()
    return Work(forward, [x, w], 2 * a.rows * a.hidden * a.vocab, moved)


def linear(a: argparse.Namespace, dtype: torch.dtype) -> Work:
    x = torch.randn(a.rows, a.hidden, dtype=dtype)
    w = 0.02 * torch.randn(a.out, a.hidden, dtype=dtype)
    moved = (x.numel() + w.numel() + a.rows * a.out) * x.element_size()
    return Work(
        lambda: functional.linear(x, w), [x, w], 2 * a.rows * a.hidden * a.out, moved
    )


def rms_norm(a: argparse.Namespace, dtype: torch.dtype) -> Work:
    x = torch.randn(a.rows, a.hidden, dtype=dtype)
    w = torch.ones(a.hidden, dtype=dtype)
    return Work(
        lambda: functional.rms_norm(x, (a.hidden,), w, 1e-6), [x, w], 0,
        2 * x.numel() * x.element_size(), both=2.5,
    )


def swiglu(a: argparse.Namespace, dtype: torch.dtype) -> Work:
    """silu(gate) * up, without its projections; a.hidden is the width."""
    gate = torch.randn(a.rows, a.hidden, dtype=dtype)
    up = torch.randn_like(gate)
    return Work(
        lambda: functional.silu(gate) * up, [gate, up], 0,
        3 * gate.numel() * gate.element_size(), both=8 / 3,
    )


OPERATIONS = {
    "attention": attention, "head": head, "linear": linear, "rms_norm": rms_norm, "swiglu": swiglu,
}


def timed(run: Callable[[], object], seconds: float) -> list[float]:
    """Two runs to warm up, then at least five and as many as fit."""
    run()
    run()
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("op", choices=OPERATIONS)
    parser.add_argument("--mode", choices=["forward", "backward", "both"], default="forward",
                        help="backward times it alone, both forward and backward together")
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=2048)
    parser.add_argument("--out", type=int, default=2048, help="linear: its other width")
    parser.add_argument("--vocab", type=int, default=49152)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--kv-heads", type=int, default=16)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=1.0)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    work = OPERATIONS[a.op](a, DTYPES[a.dtype])

    if a.mode == "forward":
        with torch.inference_mode():
            times = timed(work.forward, a.seconds)
        share = 1.0
    else:
        for x in work.inputs:
            x.requires_grad_()
        gradient = torch.ones_like(work.forward())

        def both() -> None:
            torch.autograd.grad(work.forward(), work.inputs, gradient)

        if a.mode == "both":
            times = timed(both, a.seconds)
            share = work.both
        else:
            result = work.forward()
            times = timed(
                lambda: torch.autograd.grad(result, work.inputs, gradient, retain_graph=True),
                a.seconds,
            )
            share = work.both - 1

    median = statistics.median(times)
    shape_keys = {
        "attention": ("batch", "heads", "kv_heads", "seq", "head_dim"),
        "head": ("rows", "hidden", "vocab"),
        "linear": ("rows", "hidden", "out"),
    }.get(a.op, ("rows", "hidden"))
    print(json.dumps({
        "peer": f"torch {torch.__version__}",
        "op": a.op,
        "mode": a.mode,
        "dtype": a.dtype,
        "threads": a.threads,
        **{key: getattr(a, key) for key in shape_keys},
        "median_seconds": median,
        "least_seconds": min(times),
        "repeats": len(times),
        "gflop_per_second": work.flop * share / median / 1e9,
        "gigabytes_per_second": work.bytes * share / median / 1e9,
    }))


if __name__ == "__main__":
    main()
