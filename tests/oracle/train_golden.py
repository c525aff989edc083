"""Writes tests/golden/model/train_*/: losses, the gradient of every parameter, a training curve.

train_golden.py --out DIRECTORY

Everything is computed in float64 from the stored float32 weights and rounded once to float32. The
console shows how far float32 PyTorch itself is from that, so that a test's tolerance can be judged.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import numpy as np
import torch

import objectives
from checkpoint import (
    as_dtype, digits, random_parameters, save_checkpoint, save_expected, write_json,
)
from model import Config, Outputs, Parameters, Tensor, forward
from objectives import IGNORED_TARGET, Prior
from optimizer import AdamW, Settings, learning_rate

GATE = ("model.early_exit_gate.weight", "model.early_exit_gate.bias")


@dataclasses.dataclass(frozen=True)
class Batch:
    ids: list[int]
    targets: list[int]
    document_starts: list[int]


@dataclasses.dataclass(frozen=True)
class Objective:
    name: str
    kind: str  # stage1, stage2 or last_loop
    beta: float = 0.1  # stage1
    prior: Prior = Prior()  # stage1
    k: float = 50.0  # stage2
    gamma: float = 0.005  # stage2
    forward_looking: bool = False  # stage2

    def rows(self, nll: Tensor, z: Tensor | None) -> Tensor:
        if self.kind == "last_loop":
            return objectives.last_loop(nll)
        assert z is not None
        if self.kind == "stage1":
            return objectives.stage_one(nll, z, self.beta, self.prior)
        return objectives.stage_two(nll, z, self.k, self.gamma, self.forward_looking)

    def json(self) -> dict[str, object]:
        if self.kind == "stage1":
            return {"kind": self.kind, "beta": self.beta, "prior": dataclasses.asdict(self.prior)}
        if self.kind == "stage2":
            return {"kind": self.kind, "k": self.k, "gamma": self.gamma,
                    "forward_looking": self.forward_looking}
        return {"kind": self.kind}


STAGE_ONE = Objective("stage1_entropy", "stage1")
UNIFORM = Objective("stage1_uniform", "stage1", prior=Prior("uniform"))
GEOMETRIC = Objective("stage1_geometric", "stage1", prior=Prior("geometric", parameter=0.3))
POISSON = Objective("stage1_poisson_lognormal", "stage1", prior=Prior("poisson_lognormal"))
STAGE_TWO = Objective("stage2", "stage2")
FORWARD_LOOKING = Objective("stage2_forward_looking", "stage2", forward_looking=True)
LAST_LOOP = Objective("last_loop", "last_loop")


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    why: str
    config: Config
    seed: int
    objectives: tuple[Objective, ...]


def plain(**changes: object) -> Config:
    base = Config(
        vocab_size=48, hidden_size=24, intermediate_size=40, layers=2, heads=4, kv_heads=4,
        head_dim=6, max_positions=64,
    )
    return dataclasses.replace(base, **changes)


CASES = [
    Case(
        "train_gqa", "every objective; fewer key heads than heads, heads * head_dim != hidden",
        plain(kv_heads=2, head_dim=8), seed=28,
        objectives=(
            STAGE_ONE, UNIFORM, GEOMETRIC, POISSON, LAST_LOOP, STAGE_TWO, FORWARD_LOOKING,
        ),
    ),
    Case(
        "train_tied", "the embedding's gradient comes from both ends",
        plain(layers=1, tie_embeddings=True), seed=22, objectives=(STAGE_ONE, LAST_LOOP),
    ),
    Case(
        "train_unnormed", "pre-norms; the state before the final norm enters the next loop",
        plain(layers=1, sandwich=False, norm_between_loops=False, loops=3), seed=38,
        objectives=(STAGE_ONE, STAGE_TWO),
    ),
]

# Short documents, one of a single token (it has no target), and a last one that the row's end cuts.
DOCUMENTS = (7, 1, 12, 4, 8)


# float32 PyTorch must be closer than this, so that a test may ask for 1e-4.
LARGEST_FLOAT32_ERROR = 2e-5


def random_batch(draw: np.random.Generator, vocab: int) -> Batch:
    """A row as a loader packs it: next tokens within the document, -1 where there is none."""
    return pack(draw.integers(0, vocab, sum(DOCUMENTS) + 1).tolist(), DOCUMENTS)


def counting_batch(draw: np.random.Generator, vocab: int) -> Batch:
    """Documents that count up in fives from anywhere: something to learn in ten steps."""
    stream = []
    lengths = DOCUMENTS * 4
    for length in (*lengths[:-1], lengths[-1] + 1):
        first = int(draw.integers(vocab))
        stream += [(first + 5 * i) % vocab for i in range(length)]
    return pack(stream, lengths)


def pack(stream: list[int], lengths: tuple[int, ...]) -> Batch:
    """A stream of one token more than the documents' lengths add up to."""
    rows = sum(lengths)
    starts = np.cumsum([0, *lengths]).tolist()
    targets = stream[1:]  # the cut document goes on with the stream's last token
    for start in starts[1:-1]:
        targets[start - 1] = IGNORED_TARGET
    targets[starts[2] + 3] = IGNORED_TARGET  # as a masked prompt token in fine-tuning
    return Batch(stream[:rows], targets, starts)


def run(config: Config, p: Parameters, batch: Batch) -> tuple[Outputs, Tensor, Tensor | None]:
    """Outputs, and of the rows with targets: nll (T, targets) and gate logits (T, targets)."""
    out = forward(config, p, torch.tensor(batch.ids), batch.document_starts)
    targets = torch.tensor(batch.targets)
    nll = objectives.token_nll(out.logits, targets)
    rows = objectives.target_rows(targets)
    return out, nll, out.gate_logits[:, rows] if out.gate_logits is not None else None


def loss_and_gradients(
    config: Config, p: Parameters, batch: Batch, objective: Objective
) -> tuple[float, dict[str, Tensor]]:
    """The mean loss over all rows that have a target, and its gradients."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in p.items()}
    if objective.kind == "stage2":  # everything but the gate is frozen
        leaves = {n: v if n in GATE else v.requires_grad_(False) for n, v in leaves.items()}
    _, nll, z = run(config, leaves, batch)
    loss = objective.rows(nll, z).mean()
    loss.backward()
    gradients = {
        # The last loop's loss does not reach the gate.
        name: leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)
        for name, leaf in leaves.items()
        if leaf.requires_grad
    }
    return loss.item(), gradients


def digit(value: float) -> float:
    return digits([value])[0]


def write_case(case: Case, directory: pathlib.Path) -> None:
    stored = random_parameters(case.config, case.seed)
    p = as_dtype(stored, torch.float64)
    draw = np.random.Generator(np.random.PCG64(1000 + case.seed))
    batch = random_batch(draw, case.config.vocab_size)
    save_checkpoint(case.config, stored, directory)

    with torch.no_grad():
        out, nll, z = run(case.config, p, batch)
        rows = objectives.target_rows(torch.tensor(batch.targets))
        golden: dict[str, object] = {"why": case.why, **dataclasses.asdict(batch)}
        golden["nll"] = digits(nll.mean(dim=1))
        golden["entropy"] = digits(objectives.token_entropy(out.logits[:, rows]).mean(dim=1))
        assert z is not None
        log_p = objectives.exit_log_probabilities(z)
        golden["exit"] = digits(log_p.exp().mean(dim=1))
        golden["exit_entropy"] = digit(-(log_p.exp() * log_p).sum(dim=0).mean())

    entries = []
    for objective in case.objectives:
        loss, gradients = loss_and_gradients(case.config, p, batch, objective)
        single = loss_and_gradients(case.config, as_dtype(p, torch.float32), batch, objective)
        report_error(f"{case.name} {objective.name}", loss, gradients, *single)
        entry: dict[str, object] = {"name": objective.name, **objective.json(), "loss": digit(loss)}
        if objective.prior.kind in ("geometric", "poisson_lognormal"):
            log_prior = objectives.log_prior(objective.prior, case.config.loops)
            entry["log_prior"] = digits(log_prior)
        if objective is not UNIFORM:  # it has the gradients of the entropy
            entry["gradients"] = f"gradients_{objective.name}.safetensors"
            save_expected(gradients, directory / str(entry["gradients"]))
        entries.append(entry)
    golden["objectives"] = entries
    write_json(golden, directory / "case.json")


def report_error(
    what: str, loss: float, gradients: dict[str, Tensor], single_loss: float,
    single: dict[str, Tensor]
) -> None:
    errors = {
        name: ((single[name].double() - g).norm() / g.norm()).item()
        for name, g in gradients.items()
        if g.norm() > 0
    }
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] < LARGEST_FLOAT32_ERROR, f"{what}: {worst} off by {errors[worst]:.1e}"
    print(
        f"{what}: loss {loss:.6f}, float32 off by {abs(single_loss - loss) / abs(loss):.1e}; "
        f"gradients by at most {errors[worst]:.1e} ({worst})"
    )


CURVE_STEPS = 10


def curve(config: Config, p: Parameters, batches: list[Batch], settings: Settings) -> list[dict]:
    """Trains p in place."""
    adam = AdamW(settings, p)
    steps = []
    for number, batch in enumerate(batches, start=1):
        loss, gradients = loss_and_gradients(config, p, batch, STAGE_ONE)
        norm = adam.update(p, gradients)
        rate = learning_rate(settings, number)
        steps.append(
            {"loss": digit(loss), "gradient_norm": digit(norm), "learning_rate": digit(rate)}
        )
    return steps


def write_curve(directory: pathlib.Path) -> None:
    config = plain(layers=1, kv_heads=2)
    settings = Settings(learning_rate=0.02, clip=1.5)
    stored = random_parameters(config, seed=24, std=0.1)
    draw = np.random.Generator(np.random.PCG64(1024))
    batches = [counting_batch(draw, config.vocab_size) for _ in range(CURVE_STEPS)]

    save_checkpoint(config, stored, directory)  # first: training works in place, and a float32 copy may be no copy
    p = as_dtype(stored, torch.float64)
    steps = curve(config, p, batches, settings)
    single = as_dtype(stored, torch.float32)
    single_steps = curve(config, single, batches, settings)
    norms = [step["gradient_norm"] for step in steps]
    assert min(norms) < settings.clip < max(norms), f"the clip must act on some steps only: {norms}"

    off = max(abs(a["loss"] / b["loss"] - 1) for a, b in zip(single_steps, steps))
    drift = max(((single[n].double() - v).norm() / v.norm()).item() for n, v in p.items())
    print(f"train_curve: losses {[round(step['loss'], 4) for step in steps]}")
    print(f"train_curve: gradient norms {[round(n, 3) for n in norms]}")
    print(f"train_curve: float32 off by {off:.1e} in loss, {drift:.1e} in final parameters")

    save_expected(p, directory / "final.safetensors")
    golden = {
        "why": "ten steps of AdamW with warm-up, weight decay and a clip that acts on some steps",
        "objective": STAGE_ONE.json(),
        "optimizer": dataclasses.asdict(settings),
        "steps": [dataclasses.asdict(b) | step for b, step in zip(batches, steps)],
        # Of the parameters after the last step, in float64.
        "final_sum": digit(sum(v.sum() for v in p.values())),
        "final_square_sum": digit(sum(v.square().sum() for v in p.values())),
    }
    write_json(golden, directory / "case.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    torch.set_num_threads(1)  # faster on tensors this small, and one order of summation
    for case in CASES:
        write_case(case, out / case.name)
    write_curve(out / "train_curve")


if __name__ == "__main__":
    main()
