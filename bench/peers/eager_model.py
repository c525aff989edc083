"""A looped language model as a PyTorch practitioner writes it: modules, SDPA, a preallocated cache.

Eager CPU code without torch.compile: the peer that looplm is timed against. Parameter names are the
Hugging Face ones, so that a checkpoint loads with load_state_dict.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclasses.dataclass(frozen=True)
class Config:
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    loops: int
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    tie_embeddings: bool = False

    @staticmethod
    def read(path: pathlib.Path) -> Config:
        """From a config.json of Ouro's structure; other structures are not this peer's."""
        c = json.loads(path.read_text())
        native = {"norm_placement": "sandwich", "norm_between_loops": True, "exit_gate": True}
        changed = [key for key, usual in native.items() if c.get(key, usual) != usual]
        if c["model_type"] != "ouro" or changed:
            raise SystemExit(f"{path}: only Ouro's own structure runs here ({changed})")
        return Config(
            vocab_size=c["vocab_size"],
            hidden_size=c["hidden_size"],
            intermediate_size=c["intermediate_size"],
            layers=c["num_hidden_layers"],
            heads=c["num_attention_heads"],
            kv_heads=c["num_key_value_heads"],
            head_dim=c["head_dim"],
            loops=c["total_ut_steps"],
            rope_theta=c["rope_theta"],
            rms_norm_eps=c["rms_norm_eps"],
            tie_embeddings=c["tie_word_embeddings"],
        )


class Cache:
    """Keys and values per (loop, layer), allocated once: growing by torch.cat copies all of them."""

    def __init__(self, config: Config, batch: int, positions: int, dtype: torch.dtype):
        shape = (config.loops * config.layers, batch, config.kv_heads, positions, config.head_dim)
        self.k = torch.zeros(shape, dtype=dtype)
        self.v = torch.zeros(shape, dtype=dtype)
        self.length = 0

    def extend(self, slot: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + k.shape[2]
        self.k[slot, :, :, self.length : end] = k
        self.v[slot, :, :, self.length : end] = v
        return self.k[slot, :, :, :end], self.v[slot, :, :, :end]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.head_dim = c.head_dim
        self.grouped = c.heads != c.kv_heads
        self.q_proj = nn.Linear(c.hidden_size, c.heads * c.head_dim, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, c.kv_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, c.kv_heads * c.head_dim, bias=False)
        self.o_proj = nn.Linear(c.heads * c.head_dim, c.hidden_size, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, slot: int
    ) -> Tensor:
        def heads(y: Tensor) -> Tensor:  # (batch, seq, heads * dim) to (batch, heads, seq, dim)
            return y.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

        q = rotate(heads(self.q_proj(x)), cos, sin)
        k = rotate(heads(self.k_proj(x)), cos, sin)
        v = heads(self.v_proj(x))
        if cache is not None:
            k, v = cache.extend(slot, k, v)
        # One new position sees everything in the cache; a prompt starts with an empty one.
        a = functional.scaled_dot_product_attention(
            q, k, v, is_causal=q.shape[2] > 1, enable_gqa=self.grouped
        )
        return self.o_proj(a.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.self_attn = Attention(c)
        self.mlp = Mlp(c)
        self.input_layernorm = nn.RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.input_layernorm_2 = nn.RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.post_attention_layernorm_2 = nn.RMSNorm(c.hidden_size, c.rms_norm_eps)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, slot: int
    ) -> Tensor:
        a = self.self_attn(self.input_layernorm(x), cos, sin, cache, slot)
        x = x + self.input_layernorm_2(a)
        return x + self.post_attention_layernorm_2(self.mlp(self.post_attention_layernorm(x)))


class Trunk(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.layers = nn.ModuleList(Block(c) for _ in range(c.layers))
        self.norm = nn.RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.early_exit_gate = nn.Linear(c.hidden_size, 1)


class LoopedModel(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.config = c
        self.model = Trunk(c)
        self.lm_head = nn.Linear(c.hidden_size, c.vocab_size, bias=False)
        if c.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def states(self, ids: Tensor, cache: Cache | None = None) -> list[Tensor]:
        """The normed state (batch, seq, hidden) after every loop."""
        c = self.config
        x = self.model.embed_tokens(ids)
        start = cache.length if cache is not None else 0
        positions = torch.arange(start, start + ids.shape[1])
        frequencies = c.rope_theta ** (-torch.arange(0, c.head_dim, 2) / c.head_dim)
        angles = torch.outer(positions, frequencies).repeat(1, 2)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        result = []
        for loop in range(c.loops):
            for number, layer in enumerate(self.model.layers):
                x = layer(x, cos, sin, cache, loop * c.layers + number)
            x = self.model.norm(x)
            result.append(x)
        if cache is not None:
            cache.length += ids.shape[1]
        return result


def initialize(model: LoopedModel, seed: int, std: float = 0.02) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=std, generator=generator)
