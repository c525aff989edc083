"""Holds the oracle against itself and against other ways to say the same; no files are written."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch.nn import functional

import objectives
from checkpoint import as_dtype, random_parameters
from decode import KV_POLICIES, Options, decode, decode_by_recomputation
from model import Config, Parameters, Tensor, forward
from objectives import Prior
from optimizer import AdamW, Settings, is_decayed, learning_rate
from train_golden import (
    FORWARD_LOOKING, GATE, GEOMETRIC, LAST_LOOP, POISSON, STAGE_ONE, STAGE_TWO, Batch,
    loss_and_gradients,
)

BASE = Config(
    vocab_size=40, hidden_size=24, intermediate_size=32, layers=2, heads=4, kv_heads=2, head_dim=8,
    loops=4,
)
IDS = torch.tensor([3, 17, 29, 5, 5, 38, 0, 11, 24, 8, 31, 2])


def make(seed: int = 1, **changes: object) -> tuple[Config, Parameters]:
    config = dataclasses.replace(BASE, **changes)
    return config, as_dtype(random_parameters(config, seed), torch.float64)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    error = ((actual - expected).norm() / expected.norm()).item()
    assert error < tolerance, f"relative error {error:.1e}"


def plain_transformer(c: Config, p: Parameters, ids: Tensor) -> Tensor:
    """Llama from PyTorch's own modules, with RoPE as a product of complex numbers."""
    exponents = torch.arange(0, c.head_dim, 2, dtype=torch.float64) / c.head_dim
    angles = torch.outer(torch.arange(len(ids), dtype=torch.float64), c.rope_theta**-exponents)
    turns = torch.polar(torch.ones_like(angles), angles)

    def rotated(x: Tensor) -> Tensor:  # (heads, rows, dim)
        half = c.head_dim // 2
        z = torch.complex(x[..., :half], x[..., half:]) * turns
        return torch.cat([z.real, z.imag], dim=-1)

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (c.hidden_size,), p[name], c.rms_norm_eps)

    x = functional.embedding(ids, p["model.embed_tokens.weight"])
    for layer in range(c.layers):
        name = f"model.layers.{layer}."
        a = norm(name + "input_layernorm.weight", x)
        q, k, v = (
            functional.linear(a, p[f"{name}self_attn.{which}_proj.weight"])
            .unflatten(-1, (-1, c.head_dim))
            .transpose(0, 1)
            for which in "qkv"
        )
        a = functional.scaled_dot_product_attention(
            rotated(q)[None], rotated(k)[None], v[None], is_causal=True, enable_gqa=True
        )[0]
        x = x + functional.linear(
            a.transpose(0, 1).flatten(1), p[name + "self_attn.o_proj.weight"]
        )
        m = norm(name + "post_attention_layernorm.weight", x)
        gate = functional.silu(functional.linear(m, p[name + "mlp.gate_proj.weight"]))
        up = functional.linear(m, p[name + "mlp.up_proj.weight"])
        x = x + functional.linear(gate * up, p[name + "mlp.down_proj.weight"])
    return functional.linear(norm("model.norm.weight", x), p["lm_head.weight"])


def one_loop_without_sandwich_is_a_plain_transformer() -> None:
    config, p = make(loops=1, sandwich=False, exit_gate=False)
    assert_close(forward(config, p, IDS).logits[0], plain_transformer(config, p, IDS))


def loops_equal_unrolled_copies() -> None:
    """States, and shared gradients as the sum of the copies' gradients."""
    config, p = make(norm_between_loops=False, loops=3)
    deep = dataclasses.replace(config, layers=6, loops=1)
    copies = {}
    for name, value in p.items():
        if not name.startswith("model.layers."):
            copies[name] = value
            continue
        _, _, layer, rest = name.split(".", 3)
        for loop in range(3):
            copies[f"model.layers.{loop * 2 + int(layer)}.{rest}"] = value
    assert_close(forward(config, p, IDS).normed[-1], forward(deep, copies, IDS).normed[0])

    batch = Batch(IDS.tolist(), IDS.roll(-1).tolist(), [0, len(IDS)])
    _, shared = loss_and_gradients(config, p, batch, LAST_LOOP)
    _, apart = loss_and_gradients(deep, copies, batch, LAST_LOOP)
    name = "self_attn.k_proj.weight"
    total = sum(apart[f"model.layers.{layer}.{name}"] for layer in (1, 3, 5))
    assert_close(shared[f"model.layers.1.{name}"], total)


def shared_heads_equal_repeated_heads() -> None:
    config, p = make()
    full = dataclasses.replace(config, kv_heads=4)
    repeated = {
        name: w.unflatten(0, (2, 8)).repeat_interleave(2, dim=0).flatten(0, 1)
        if "k_proj" in name or "v_proj" in name
        else w
        for name, w in p.items()
    }
    assert_close(forward(config, p, IDS).logits, forward(full, repeated, IDS).logits)


def packed_documents_equal_documents_alone() -> None:
    config, p = make()
    starts = [0, 4, 5, 12]
    packed = forward(config, p, IDS, starts).logits
    for begin, end in zip(starts, starts[1:]):
        assert_close(packed[:, begin:end], forward(config, p, IDS[begin:end]).logits)


def cached_decoding_equals_recomputation() -> None:
    config, p = make()
    prompt = IDS[:5].tolist()
    for options in (
        Options(), Options(max_loops=6), Options(rule="gate", threshold=0.6, min_loops=2),
        Options(rule="relative_difference", threshold=0.7), Options(read_out="weighted"),
    ):
        cached = decode(config, p, prompt, options, 12)
        assert (cached.ids, cached.loops) == decode_by_recomputation(config, p, prompt, options, 12)


def kv_policies_agree_where_they_must() -> None:
    prompt = IDS[:5].tolist()
    config, p = make(loops=1)
    alone = [decode(config, p, prompt, Options(kv=kv), 12).ids for kv in KV_POLICIES]
    assert all(ids == alone[0] for ids in alone), "one loop has one plane whatever the policy"

    config, p = make()
    full = decode(config, p, prompt, Options(), 12)
    last_exited = decode(config, p, prompt, Options(kv="last-exited"), 12)
    assert full == last_exited, "nothing to repeat where nothing exits early"
    different = {
        tuple(decode(config, p, prompt, Options(kv=kv), 12).log_probabilities)
        for kv in ("full", "last", "mean", "first")
    }
    assert len(different) == 4, "the policies must show"

    always = Options(rule="gate", threshold=0.0)
    ids = [decode(config, p, prompt, dataclasses.replace(always, kv=kv), 12).ids
           for kv in ("last", "mean", "first")]
    # All exit after the first loop, so only the prompt's planes differ.
    assert ids[0] != ids[2], "the prompt's planes are reduced by the same policy"


def exit_distribution_is_the_product() -> None:
    z = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stop = torch.sigmoid(z)
    stop[-1] = 1
    before = torch.cat([torch.ones(1, 7), (1 - stop[:-1]).cumprod(dim=0)])
    p = objectives.exit_log_probabilities(z).exp()
    assert_close(p, stop * before)
    assert_close(p.sum(dim=0), torch.ones(7, dtype=torch.float64))
    # Saturated gates must not make infinities times zero.
    z = torch.tensor([[800.0], [-800.0], [0.0]], dtype=torch.float64, requires_grad=True)
    nll = torch.ones_like(z)
    objectives.stage_one(nll, z, 0.1, Prior()).sum().backward()
    assert z.grad is not None and z.grad.isfinite().all()


def priors_have_their_moments() -> None:
    t = torch.arange(1, 401, dtype=torch.float64)
    geometric = objectives.log_prior(Prior("geometric", parameter=0.3), 400).exp()
    assert_close((t * geometric).sum(), torch.tensor(1 / 0.3, dtype=torch.float64))
    prior = Prior("poisson_lognormal", mean=3.0, sigma=0.5)
    p = objectives.log_prior(prior, 400).exp()
    mean = (t * p).sum()
    assert_close(mean, torch.tensor(4.0, dtype=torch.float64))  # 1 + E[e^tau]
    variance = ((t - mean) ** 2 * p).sum()  # E[e^tau] + Var[e^tau] of a log-normal
    assert_close(variance, torch.tensor(3.0 + 9.0 * math.expm1(0.25), dtype=torch.float64))
    short = objectives.log_prior(prior, 4)
    assert_close(short[1:] - short[:1], p[1:4].log() - p[:1].log())


def penalties_agree() -> None:
    """KL to the uniform prior is the entropy reward plus beta log T."""
    g = torch.Generator().manual_seed(2)
    nll, z = torch.rand(2, 4, 9, dtype=torch.float64, generator=g)
    entropy = objectives.stage_one(nll, z, 0.1, Prior())
    uniform = objectives.stage_one(nll, z, 0.1, Prior("uniform"))
    assert_close(uniform, entropy + 0.1 * math.log(4))
    gain = (nll[:-1] - nll[1:]).clamp(min=0)
    target = 1 - torch.sigmoid(50 * (gain - 0.005))
    loss = functional.binary_cross_entropy_with_logits(z[1:], target, reduction="none")
    assert_close(objectives.stage_two(nll, z), loss.sum(dim=0) / 4)


def gradients_equal_finite_differences() -> None:
    batch = Batch(IDS.tolist(), [*IDS[1:5].tolist(), -1, *IDS[6:].tolist(), 7], [0, 5, 12])
    for changes in ({}, {"norm_between_loops": False, "sandwich": False, "tie_embeddings": True}):
        config, p = make(**changes)
        for objective in (STAGE_ONE, GEOMETRIC, POISSON, LAST_LOOP, STAGE_TWO, FORWARD_LOOKING):
            _, gradients = loss_and_gradients(config, p, batch, objective)
            assert objective.kind != "stage2" or set(gradients) == set(GATE)
            generator = torch.Generator().manual_seed(3)
            for name, gradient in gradients.items():
                if gradient.norm() == 0:
                    continue
                way = torch.randn(gradient.shape, dtype=torch.float64, generator=generator)
                step = 1e-5
                up, down = (
                    loss_and_gradients(config, p | {name: p[name] + s * way}, batch, objective)[0]
                    for s in (step, -step)
                )
                slope = (gradient * way).sum().item()
                error = abs((up - down) / (2 * step) - slope)
                error /= (gradient.norm() * way.norm()).item()
                assert error < 1e-7, f"{objective.name}, {name}: {error:.1e}"


def optimizer_equals_pytorch() -> None:
    config, p = make(layers=1)
    settings = Settings(clip=0.5)
    theirs = {name: value.clone().requires_grad_() for name, value in p.items()}
    groups = [
        {"params": [v for n, v in theirs.items() if is_decayed(n)]},
        {"params": [v for n, v in theirs.items() if not is_decayed(n)], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(
        groups, betas=(0.9, 0.95), eps=settings.epsilon, weight_decay=settings.weight_decay
    )
    ours = AdamW(settings, p)
    generator = torch.Generator().manual_seed(4)
    for step in range(1, 7):
        scale = 10.0 ** -step  # some over the clip, some under it
        gradients = {
            n: scale * torch.randn(v.shape, dtype=torch.float64, generator=generator)
            for n, v in p.items()
        }
        ours.update(p, gradients)
        for name, value in theirs.items():
            value.grad = gradients[name].clone()
        torch.nn.utils.clip_grad_norm_(theirs.values(), settings.clip)
        for group in adam.param_groups:
            group["lr"] = learning_rate(settings, step)
        adam.step()
    for name, value in theirs.items():
        assert_close(p[name], value.detach(), 1e-7)  # theirs adds 1e-6 to the norm it clips by


CHECKS = [
    one_loop_without_sandwich_is_a_plain_transformer,
    loops_equal_unrolled_copies,
    shared_heads_equal_repeated_heads,
    packed_documents_equal_documents_alone,
    cached_decoding_equals_recomputation,
    kv_policies_agree_where_they_must,
    exit_distribution_is_the_product,
    priors_have_their_moments,
    penalties_agree,
    gradients_equal_finite_differences,
    optimizer_equals_pytorch,
]


def main() -> None:
    torch.set_num_threads(1)
    for check in CHECKS:
        check()
        print(f"ok {check.__name__.replace('_', ' ')}")
    print(f"{len(CHECKS)} passed, 0 failed")


if __name__ == "__main__":
    main()
