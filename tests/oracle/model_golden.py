"""Writes tests/golden/model/<case>/: tiny checkpoints with what they must compute.

model_golden.py --out DIRECTORY

Everything is computed in float64 from the stored weights and rounded once to float32.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import pathlib

import numpy as np
import torch

from checkpoint import (
    as_dtype, digits, random_parameters, save_checkpoint, save_expected, write_json,
)
from decode import Decoded, Options, decode
from model import Config, Outputs, Parameters, forward
from objectives import exit_log_probabilities

# A token must not flip in float32: logits and statistics are good to about 1e-5 here, so decisions
# this far from the other side are safe in every sane implementation.
SMALLEST_GAP = 5e-4


@dataclasses.dataclass(frozen=True)
class DecodeCase:
    options: Options
    tokens: int = 24
    prompt_length: int = 6


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    why: str
    config: Config
    seed: int
    documents: tuple[int, ...] = (16,)  # lengths; packed into one row
    loops: int = 0  # 0: as many as trained
    std: float = 0.2
    decodes: tuple[DecodeCase, ...] = ()


def plain(**changes: object) -> Config:
    base = Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, layers=2, heads=4, kv_heads=4,
        head_dim=8, rope_theta=1e6,
    )
    return dataclasses.replace(base, **changes)


def every_rule(**changes: object) -> tuple[DecodeCase, ...]:
    options = [
        Options(),
        Options(max_loops=2),
        Options(rule="gate", threshold=0.5),
        Options(rule="gate", threshold=0.7, min_loops=2, max_loops=3),
        Options(rule="gate", threshold=1.0),
        Options(rule="hidden_difference", threshold=4.5),
        Options(rule="relative_difference", threshold=0.75),
        Options(rule="margin", threshold=0.15),
        Options(rule="entropy", threshold=3.0),
        Options(read_out="weighted"),
    ]
    return tuple(DecodeCase(dataclasses.replace(o, **changes)) for o in options)


CASES = [
    Case(
        "ouro", "Ouro's own structure: sandwich norms, gate, four loops, untied head", plain(),
        seed=1,
        decodes=tuple(
            case
            for kv in ("full", "last", "mean", "first", "last-exited")
            for case in every_rule(kv=kv)
        ),
    ),
    Case(
        "gqa",
        "fewer key heads than heads, heads * head_dim != hidden, more than two pages of positions",
        plain(hidden_size=40, layers=1, kv_heads=2, head_dim=16, loops=3, rope_theta=1e4),
        seed=2,
        documents=(70,),
        decodes=tuple(
            DecodeCase(Options(rule="gate", threshold=0.6, kv=kv), tokens=40, prompt_length=60)
            for kv in ("full", "last", "last-exited")
        ),
    ),
    Case(
        "llama", "a plain transformer: pre-norms, one loop, no gate",
        plain(
            sandwich=False, exit_gate=False, loops=1, model_type="llama", kv_heads=2,
            rope_theta=1e4,
        ),
        seed=3, decodes=(DecodeCase(Options()),),
    ),
    Case(
        "unnormed", "the state before the final norm enters the next loop; pre-norms with loops",
        plain(sandwich=False, norm_between_loops=False, loops=3), seed=4,
        decodes=(
            DecodeCase(Options()),
            DecodeCase(Options(rule="gate", threshold=0.5, kv="last-exited")),
            DecodeCase(Options(rule="relative_difference", threshold=0.5, kv="mean")),
        ),
    ),
    Case("tied", "the embedding is the head", plain(layers=1, tie_embeddings=True), seed=5,
         decodes=(DecodeCase(Options(rule="gate", threshold=0.5)),)),
    Case("no_gate", "loops without an exit gate", plain(layers=1, exit_gate=False), seed=6,
         decodes=(DecodeCase(Options(rule="margin", threshold=0.15)),)),
    Case(
        "deeper", "five loops of a model trained for two", plain(loops=2), seed=7, loops=5,
        decodes=(
            DecodeCase(Options(max_loops=5)),
            DecodeCase(Options(rule="gate", threshold=0.8, max_loops=5)),
            DecodeCase(Options(rule="gate", threshold=0.8, max_loops=5, kv="mean")),
            DecodeCase(Options(max_loops=5, read_out="weighted")),
        ),
    ),
    Case("packed", "documents of several lengths in one row, one of a single token",
         plain(layers=1), seed=8, documents=(5, 1, 9, 3)),
    Case("bf16", "a checkpoint stored as bfloat16", plain(dtype="bfloat16"), seed=9,
         decodes=(DecodeCase(Options(rule="gate", threshold=0.5)),)),
    Case("f16", "a checkpoint stored as float16", plain(layers=1, dtype="float16"), seed=10,
         decodes=(DecodeCase(Options(rule="gate", threshold=0.5)),)),
    Case(
        "odd", "sizes that fill no vector register",
        plain(
            vocab_size=101, hidden_size=40, intermediate_size=72, layers=3, heads=3, kv_heads=1,
            head_dim=10, rope_theta=1e4,
        ),
        seed=11, documents=(13,),
        decodes=(
            DecodeCase(Options(rule="gate", threshold=0.5)),
            DecodeCase(Options(rule="gate", threshold=0.5, kv="first")),
        ),
    ),
]


def expected_tensors(out: Outputs) -> dict[str, torch.Tensor]:
    tensors = {"normed": out.normed, "logits": out.logits}
    if out.gate_logits is not None:
        tensors["gate_logits"] = out.gate_logits
        tensors["exit_probabilities"] = exit_log_probabilities(out.gate_logits).exp()
    return tensors


def check_loops_differ(case: Case, out: Outputs) -> None:
    """A golden file that a model with one loop too few would pass is worthless."""
    for t in range(1, len(out.logits)):
        change = (out.logits[t] - out.logits[t - 1]).abs().max().item()
        assert change > 0.1, f"{case.name}: loop {t + 1} changes the logits by {change:.3g} only"
    if out.gate_logits is not None:
        assert out.gate_logits.std() > 0.2, f"{case.name}: the gate says the same everywhere"


def is_telling(options: Options, result: Decoded) -> bool:
    """Whether every decision is clear, the text is no short cycle, and depths differ."""
    clear = min(result.smallest_logit_gap, result.smallest_rule_gap) > SMALLEST_GAP
    depths = collections.Counter(result.loops).most_common()
    exits = options.rule != "fixed" and options.threshold != 1 and options.read_out == "selected"
    differ = len(depths) > 1 and depths[1][1] >= 3
    return clear and len(set(result.ids)) >= 6 and (differ or not exits)


def decode_golden(case: Case, parameters: Parameters, d: DecodeCase) -> dict[str, object]:
    """The first of a fixed series of random prompts whose continuation is telling."""
    draw = np.random.Generator(np.random.PCG64(2000 + case.seed))
    for _ in range(100):
        prompt = draw.integers(1, case.config.vocab_size, d.prompt_length).tolist()
        result = decode(case.config, parameters, prompt, d.options, d.tokens)
        if is_telling(d.options, result):
            break
    else:
        raise RuntimeError(f"{case.name}: no telling prompt for {d.options}; change the threshold")
    counts = [result.loops.count(t + 1) for t in range(max(result.loops))]
    print(
        f"  {d.options.kv:12} {d.options.rule:20} {d.options.read_out:9} exits {counts}, "
        f"gaps {result.smallest_logit_gap:.1e} {result.smallest_rule_gap:.1e}"
    )
    return dataclasses.asdict(d.options) | {
        "prompt": prompt,
        "ids": result.ids,
        "loops": result.loops,
        "log_probabilities": digits(result.log_probabilities),
    }


def write_case(case: Case, directory: pathlib.Path) -> None:
    stored = random_parameters(case.config, case.seed, case.std)
    parameters = as_dtype(stored, torch.float64)
    rows = sum(case.documents)
    draw = np.random.Generator(np.random.PCG64(1000 + case.seed))
    ids = draw.integers(1, case.config.vocab_size, rows).tolist()
    starts = np.cumsum([0, *case.documents]).tolist()
    loops = case.loops or case.config.loops

    out = forward(case.config, parameters, torch.tensor(ids), starts, loops)
    check_loops_differ(case, out)
    single = forward(case.config, as_dtype(stored, torch.float32), torch.tensor(ids), starts, loops)
    error = (single.logits - out.logits).norm() / out.logits.norm()
    print(f"{case.name:9} {case.why}; float32 logits off by {error:.1e}")

    save_checkpoint(case.config, stored, directory)
    save_expected(expected_tensors(out), directory / "expected.safetensors")
    decodes = [decode_golden(case, parameters, d) for d in case.decodes]
    golden = {
        "why": case.why,
        "loops": loops,
        "ids": ids,
        "document_starts": starts,
        "decodes": decodes,
    }
    write_json(golden, directory / "case.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)  # ten times faster on tensors this small, and one order of summation
    for case in CASES:
        write_case(case, out / case.name)


if __name__ == "__main__":
    main()
