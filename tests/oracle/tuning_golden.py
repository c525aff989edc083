"""Writes tests/golden/model/train_tuning/: loss curves of the objectives for fine-tuning.

tuning_golden.py --out DIRECTORY

The gate is frozen in all of them: no gradient, no weight decay. In float64 from float32 weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import numpy as np
import torch
from torch.nn.functional import logsigmoid

import objectives
from checkpoint import as_dtype, digits, random_parameters, save_checkpoint, write_json
from model import Config, Parameters, Tensor, forward
from optimizer import AdamW, Settings, learning_rate
from train_golden import GATE, Batch, digit, pack, plain

STEPS = 8
DPO_BETA = 0.3
DISTIL_WEIGHT = 0.7
TEACHER_TOP = 5
SETTINGS = Settings(learning_rate=0.01, clip=1.5, weight_decay=0.2)


@dataclasses.dataclass(frozen=True)
class Step:
    batch: Batch
    pairs: list[int]  # documents that are a chosen answer, the rejected one behind it
    teacher: dict[str, list[list[float]]]  # of each target, another model's most likely tokens


def logits_of(config: Config, p: Parameters, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the rows with targets: logits (T, rows, V), and the gate's (T, rows)."""
    out = forward(config, p, torch.tensor(batch.ids), batch.document_starts)
    rows = objectives.target_rows(torch.tensor(batch.targets))
    return out.logits[:, rows], out.gate_logits[:, rows]


def nll_of(config: Config, p: Parameters, batch: Batch) -> Tensor:
    out = forward(config, p, torch.tensor(batch.ids), batch.document_starts)
    return objectives.token_nll(out.logits, torch.tensor(batch.targets))


def expected(config: Config, p: Parameters, _start: Parameters, step: Step) -> Tensor:
    _, z = logits_of(config, p, step.batch)
    exits = objectives.exit_log_probabilities(z).exp().detach()
    return (exits * nll_of(config, p, step.batch)).sum(dim=0).mean()


def distil(config: Config, p: Parameters, _start: Parameters, step: Step) -> Tensor:
    logits, _ = logits_of(config, p, step.batch)
    log_p = torch.log_softmax(logits, dim=-1)
    teacher = log_p[-1].detach()
    divergence = (teacher.exp() * (teacher - log_p[:-1])).sum(dim=-1).mean(dim=0)
    return (nll_of(config, p, step.batch)[-1] + DISTIL_WEIGHT * divergence).mean()


def taught(config: Config, p: Parameters, _start: Parameters, step: Step) -> Tensor:
    """Every loop by another model's most likely tokens; all others are one outcome."""
    logits, _ = logits_of(config, p, step.batch)
    log_p = torch.log_softmax(logits, dim=-1)
    ids = torch.tensor(step.teacher["ids"]).expand(len(logits), -1, -1)
    teacher = torch.tensor(step.teacher["log_probabilities"], dtype=log_p.dtype)
    rest = torch.log1p(-teacher.exp().sum(dim=-1))
    others = torch.logsumexp(log_p.scatter(-1, ids, float("-inf")), dim=-1)
    named = (teacher.exp() * (teacher - log_p.gather(-1, ids))).sum(dim=-1)
    divergence = (named + rest.exp() * (rest - others)).mean(dim=0)
    return (nll_of(config, p, step.batch)[-1] + DISTIL_WEIGHT * divergence).mean()


def draw_teacher(draw: np.random.Generator, batch: Batch, vocab: int) -> dict[str, list[list[float]]]:
    rows = len(objectives.target_rows(torch.tensor(batch.targets)))
    log_p = torch.log_softmax(torch.tensor(2 * draw.standard_normal((rows, vocab))), dim=-1)
    top = torch.topk(log_p, TEACHER_TOP, dim=-1)
    return {"ids": top.indices.tolist(), "log_probabilities": top.values.float().tolist()}


def dpo(config: Config, p: Parameters, start: Parameters, step: Step) -> Tensor:
    """TRL's sigmoid loss; log-probabilities are those of the last loop."""

    def scores(of: Parameters) -> Tensor:
        rows = objectives.target_rows(torch.tensor(step.batch.targets))
        nll = torch.zeros(len(step.batch.ids), dtype=torch.float64).to(p["model.norm.weight"])
        nll = nll.index_add(0, rows, nll_of(config, of, step.batch)[-1])
        starts = step.batch.document_starts
        return torch.stack([-nll[a:b].sum() for a, b in zip(starts, starts[1:])])

    policy = scores(p)
    with torch.no_grad():
        reference = scores(start)
    chosen = torch.tensor(step.pairs)
    ratio = (policy[chosen] - policy[chosen + 1]) - (reference[chosen] - reference[chosen + 1])
    return -logsigmoid(DPO_BETA * ratio).mean()


def draw_step(draw: np.random.Generator, vocab: int) -> Step:
    """Three pairs of unequal answers to the same prompts, and a document that belongs to none."""
    lengths = (7, 9, 12, 5, 8, 11, 6)
    stream = draw.integers(0, vocab, sum(lengths) + 1).tolist()
    batch = pack(stream, lengths)
    targets = list(batch.targets)
    starts = batch.document_starts
    for document in range(6):
        for row in range(starts[document], starts[document] + 2):
            targets[row] = objectives.IGNORED_TARGET
            if document % 2:
                batch.ids[row] = batch.ids[starts[document - 1] + row - starts[document]]
    return Step(Batch(batch.ids, targets, starts), [0, 2, 4], {})


def curve(config: Config, stored: Parameters, steps: list[Step], objective: object,
          dtype: torch.dtype) -> tuple[list[float], list[float]]:
    start = {name: value.clone() for name, value in as_dtype(stored, dtype).items()}
    p = {name: value.clone() for name, value in start.items()}
    trained = {name: value for name, value in p.items() if name not in GATE}
    adam = AdamW(SETTINGS, trained)
    losses, norms = [], []
    for step in steps:
        leaves = {n: v.detach().clone().requires_grad_(n not in GATE) for n, v in p.items()}
        loss = objective(config, leaves, start, step)
        loss.backward()
        norms.append(adam.update(trained, {n: leaves[n].grad for n in trained}))
        losses.append(loss.item())
    return losses, norms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    directory = parser.parse_args().out / "train_tuning"
    torch.set_num_threads(1)
    config = plain(kv_heads=2)
    stored = random_parameters(config, seed=31, std=0.15)
    save_checkpoint(config, stored, directory)
    draw = np.random.Generator(np.random.PCG64(1031))
    steps = [draw_step(draw, config.vocab_size) for _ in range(STEPS)]
    draw = np.random.Generator(np.random.PCG64(1032))
    steps = [dataclasses.replace(s, teacher=draw_teacher(draw, s.batch, config.vocab_size))
             for s in steps]
    curves = {}
    for objective in (expected, distil, taught, dpo):
        losses, norms = curve(config, stored, steps, objective, torch.float64)
        single, _ = curve(config, stored, steps, objective, torch.float32)
        off = max(abs(a / b - 1) for a, b in zip(single, losses))
        print(f"{objective.__name__}: losses {[round(x, 4) for x in losses]}, "
              f"float32 off by {off:.1e}")
        curves[objective.__name__] = {"loss": digits(losses), "gradient_norm": digits(norms)}
    write_json({
        "why": "eight steps of AdamW under each objective for fine-tuning, the gate frozen",
        "dpo_beta": DPO_BETA,
        "distil_weight": DISTIL_WEIGHT,
        "optimizer": dataclasses.asdict(SETTINGS),
        "learning_rate": digits([learning_rate(SETTINGS, n) for n in range(1, STEPS + 1)]),
        "steps": [dataclasses.asdict(s.batch) | {"pairs": s.pairs, "teacher": s.teacher}
                  for s in steps],
        "curves": curves,
    }, directory / "case.json")


if __name__ == "__main__":
    main()
