"""The looped language model on explicit tensors, written from its definition to check looplm.

Nothing here is fast or clever: one packed row of tokens, dense masks, no cache. Parameters are a
dict keyed by Hugging Face names. The arithmetic runs in the dtype of the parameters; golden files
use float64 and round once at the end.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch

Tensor = torch.Tensor
Parameters = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Config:
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    loops: int = 4
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    tie_embeddings: bool = False
    sandwich: bool = True  # norm each sub-layer's output too, before the residual addition
    norm_between_loops: bool = True
    exit_gate: bool = True
    max_positions: int = 512
    model_type: str = "ouro"
    dtype: str = "float32"  # of the stored checkpoint
    initializer_range: float = 0.02


# Chooses which keys and values a layer's queries see: (layer, q, k, v) to (rows, heads, head_dim).
# q is (rows, heads, head_dim), k and v are (rows, kv_heads, head_dim), all of the current rows.
Attention = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * (x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps))


def rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    """RoPE on (rows, heads, head_dim) in the layout that pairs element j with j + head_dim / 2."""
    half = x.shape[-1] // 2
    # In float64 whatever the model runs in: an angle of a few hundred radians has lost five digits
    # in float32, and that error belongs to the side that is being tested.
    exponents = torch.arange(half, dtype=torch.float64) / half
    angles = positions.to(torch.float64)[:, None] * theta ** (-exponents)
    cos = angles.cos().to(x.dtype)[:, None, :]
    sin = angles.sin().to(x.dtype)[:, None, :]
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
    """Softmax attention of q (rows, heads, dim) to k, v (others, kv_heads, dim) where `allowed`."""
    group = q.shape[1] // k.shape[1]
    k = k.repeat_interleave(group, dim=1)  # query head h reads key head h // group
    v = v.repeat_interleave(group, dim=1)
    scores = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1])
    scores = scores.masked_fill(~allowed, -math.inf)
    return torch.einsum("hij,jhd->ihd", torch.softmax(scores, dim=-1), v)


def block(
    config: Config, p: Parameters, layer: int, x: Tensor, positions: Tensor, attention: Attention
) -> Tensor:
    """One layer on the residual stream x (rows, hidden)."""

    def weight(name: str) -> Tensor:
        return p[f"model.layers.{layer}.{name}.weight"]

    def norm(name: str, y: Tensor) -> Tensor:
        return rms_norm(y, weight(name), config.rms_norm_eps)

    rows = x.shape[0]
    a = norm("input_layernorm", x)
    q = (a @ weight("self_attn.q_proj").T).view(rows, config.heads, config.head_dim)
    k = (a @ weight("self_attn.k_proj").T).view(rows, config.kv_heads, config.head_dim)
    v = (a @ weight("self_attn.v_proj").T).view(rows, config.kv_heads, config.head_dim)
    q = rotate(q, positions, config.rope_theta)
    k = rotate(k, positions, config.rope_theta)
    a = attention(layer, q, k, v).reshape(rows, -1) @ weight("self_attn.o_proj").T
    if config.sandwich:
        a = norm("input_layernorm_2", a)
    x = x + a

    m = norm("post_attention_layernorm", x)
    gate = torch.nn.functional.silu(m @ weight("mlp.gate_proj").T)
    m = (gate * (m @ weight("mlp.up_proj").T)) @ weight("mlp.down_proj").T
    if config.sandwich:
        m = norm("post_attention_layernorm_2", m)
    return x + m


def run_loop(
    config: Config, p: Parameters, x: Tensor, positions: Tensor, attention: Attention
) -> tuple[Tensor, Tensor]:
    """All layers once. Returns what enters the next loop, and the normed state that is read out."""
    for layer in range(config.layers):
        x = block(config, p, layer, x, positions, attention)
    normed = rms_norm(x, p["model.norm.weight"], config.rms_norm_eps)
    return (normed if config.norm_between_loops else x), normed


def embed(p: Parameters, ids: Tensor) -> Tensor:
    return p["model.embed_tokens.weight"][ids]


def head(config: Config, p: Parameters, normed: Tensor) -> Tensor:
    name = "model.embed_tokens.weight" if config.tie_embeddings else "lm_head.weight"
    return normed @ p[name].T


def gate_logit(p: Parameters, normed: Tensor) -> Tensor:
    """The exit gate before its sigmoid, (..., hidden) to (...)."""
    return normed @ p["model.early_exit_gate.weight"][0] + p["model.early_exit_gate.bias"][0]


@dataclasses.dataclass
class Outputs:
    normed: Tensor  # (loops, rows, hidden)
    logits: Tensor  # (loops, rows, vocab)
    gate_logits: Tensor | None  # (loops, rows); None for a model without a gate


def document_rows(starts: list[int]) -> tuple[Tensor, Tensor]:
    """Document number and position within its document for every row.

    `starts` holds the first row of each document, then the row count.
    """
    lengths = [end - begin for begin, end in zip(starts, starts[1:])]
    documents = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    positions = torch.cat([torch.arange(n) for n in lengths])
    return documents, positions


def forward(
    config: Config, p: Parameters, ids: Tensor, starts: list[int] | None = None,
    loops: int | None = None
) -> Outputs:
    """Every loop's read-out for packed documents: no row sees another document's rows."""
    documents, positions = document_rows(starts if starts is not None else [0, len(ids)])
    rows = torch.arange(len(ids))
    allowed = (documents[:, None] == documents[None, :]) & (rows[:, None] >= rows[None, :])

    def attention(_layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, allowed)

    x = embed(p, ids)
    states = []
    for _ in range(loops or config.loops):
        x, normed = run_loop(config, p, x, positions, attention)
        states.append(normed)
    normed = torch.stack(states)
    gates = gate_logit(p, normed) if config.exit_gate else None
    return Outputs(normed, head(config, p, normed), gates)
