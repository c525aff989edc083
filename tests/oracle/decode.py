"""Greedy decoding token by token: exit rules, read-outs and KV policies, in the slow obvious way.

How a sequence is decoded:

- The prompt always runs all max_loops loops and writes a KV plane per (loop, layer). The exit rule
  is applied to its last position as to any other, but only chooses the read-out.
- A generated position runs its loops in turn. Loop u attends to what the policy keeps of earlier
  positions, and at its own position to its own fresh keys and values of this loop.
- It may exit after loop t if t >= min_loops and the rule says so; it exits after max_loops anyway.
  The rule sees every loop from the first. Under the policy "full", and for the weighted read-out,
  the loops after the exit run all the same; the other policies skip them.
- When it is finished, having run e loops, the policy decides what later positions see of it:
    full         loop u sees loop u
    last-exited  loop u sees loop min(u, e)
    last         all loops see loop e
    mean         all loops see the mean of loops 1..e (of rotated keys, and of values)
    first        all loops see loop 1
  The last three also reduce the prompt's planes to one per layer that way once the prompt has been
  read, with e = max_loops.
"""

from __future__ import annotations

import dataclasses
import math

import torch

from model import Config, Parameters, Tensor, attend, embed, forward, gate_logit, head, run_loop
from objectives import exit_log_probabilities, token_entropy

KV_POLICIES = ("full", "last", "mean", "first", "last-exited")


@dataclasses.dataclass(frozen=True)
class Options:
    rule: str = "fixed"  # fixed, gate, hidden_difference, relative_difference, margin or entropy
    threshold: float = 1.0
    min_loops: int = 1
    max_loops: int = 0  # 0: as many as the model was trained for
    read_out: str = "selected"  # or weighted
    kv: str = "full"


@dataclasses.dataclass
class Decoded:
    ids: list[int]
    loops: list[int]  # the loop whose read-out chose each token; max_loops if weighted
    log_probabilities: list[float]  # log softmax of the logits read out, at the chosen id
    # How far the nearest decision was from going the other way: a gap between the best and the
    # second logit, and between a rule's statistic and its threshold.
    smallest_logit_gap: float
    smallest_rule_gap: float


def exit_statistic(rule: str, normed: Tensor, logits: Tensor, z: Tensor | None) -> float | None:
    """What a rule compares with its threshold after the last of the given loops of one position.

    normed (t, hidden), logits (t, vocab) and z (t) hold loops 1..t. None: cannot exit yet.
    """
    if rule == "gate":
        assert z is not None
        # 1 - prod_{j<=t} (1 - lambda_j), without cancellation.
        return -math.expm1(torch.nn.functional.logsigmoid(-z).sum().item())
    if rule in ("hidden_difference", "relative_difference"):
        if len(normed) < 2:
            return None
        difference = (normed[-1] - normed[-2]).norm().item()
        return difference if rule == "hidden_difference" else difference / normed[-1].norm().item()
    if rule == "margin":
        best = torch.softmax(logits[-1], dim=-1).topk(2).values
        return (best[0] - best[1]).item()
    if rule == "entropy":
        return token_entropy(logits[-1]).item()
    raise ValueError(f"no rule {rule}")


def wants_exit(rule: str, threshold: float, statistic: float) -> bool:
    if rule == "gate":
        # A saturated gate rounds the statistic to 1; a threshold of 1 still means every loop.
        return threshold < 1 and statistic >= threshold
    if rule in ("hidden_difference", "relative_difference"):
        return statistic < threshold
    if rule == "margin":
        return statistic >= threshold
    return statistic <= threshold  # entropy


class Reader:
    """Collects one position's loops, decides when it exits and which logits choose its token."""

    def __init__(self, config: Config, p: Parameters, options: Options):
        self._config, self._p, self._options = config, p, options
        self._max_loops = options.max_loops or config.loops
        self._normed: list[Tensor] = []
        self.exit_loop = 0  # from 1; 0: goes on
        self.rule_gap = math.inf

    def feed(self, normed: Tensor) -> None:
        self._normed.append(normed)
        if self.exit_loop > 0:
            return
        t = len(self._normed)
        wants = False
        if self._options.rule != "fixed":
            states = torch.stack(self._normed)
            logits = head(self._config, self._p, states)
            z = gate_logit(self._p, states) if self._config.exit_gate else None
            statistic = exit_statistic(self._options.rule, states, logits, z)
            if statistic is not None:
                wants = wants_exit(self._options.rule, self._options.threshold, statistic)
                if self._options.min_loops <= t < self._max_loops:
                    self.rule_gap = min(self.rule_gap, abs(statistic - self._options.threshold))
        if t == self._max_loops or (wants and t >= self._options.min_loops):
            self.exit_loop = t

    @property
    def done(self) -> bool:
        if self._options.kv == "full" or self._options.read_out == "weighted":
            return len(self._normed) == self._max_loops
        return self.exit_loop > 0

    def read_out(self) -> tuple[Tensor, int]:
        """Logits that choose the token, and the loop to report for it."""
        states = torch.stack(self._normed)
        logits = head(self._config, self._p, states)
        if self._options.read_out == "selected":
            return logits[self.exit_loop - 1], self.exit_loop
        p = exit_log_probabilities(gate_logit(self._p, states)[:, None]).exp()
        return (p * logits).sum(dim=0), self._max_loops


class Planes:
    """Keys and values of finished positions: kept[u][layer] is a list of (k, v) per position."""

    def __init__(self, config: Config, loops: int, policy: str):
        self._policy = policy
        self._kept = [[[] for _ in range(config.layers)] for _ in range(loops)]

    def seen(self, loop: int, layer: int) -> list[tuple[Tensor, Tensor]]:
        return self._kept[loop][layer]

    def finish_position(self, written: list[list[tuple[Tensor, Tensor]]]) -> None:
        """written[u][layer] for the loops that ran, u = 0..e-1."""
        exited = len(written) - 1
        for loop, layers in enumerate(self._kept):
            for layer, positions in enumerate(layers):
                if self._policy in ("full", "last-exited"):
                    positions.append(written[min(loop, exited)][layer])
                elif self._policy == "last":
                    positions.append(written[exited][layer])
                elif self._policy == "first":
                    positions.append(written[0][layer])
                else:
                    ks, vs = zip(*(w[layer] for w in written))
                    positions.append((torch.stack(ks).mean(dim=0), torch.stack(vs).mean(dim=0)))


def read_prompt(
    config: Config, p: Parameters, prompt: Tensor, loops: int
) -> tuple[Tensor, list[list[list[tuple[Tensor, Tensor]]]]]:
    """Normed states (loops, rows, hidden), and (k, v) by [position][loop][layer]."""
    positions = torch.arange(len(prompt))
    causal = positions[:, None] >= positions[None, :]
    written = [[[] for _ in range(loops)] for _ in prompt]
    x = embed(p, prompt)
    states = []
    for loop in range(loops):

        def attention(_layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            for i in range(len(prompt)):
                written[i][loop].append((k[i], v[i]))
            return attend(q, k, v, causal)

        x, normed = run_loop(config, p, x, positions, attention)
        states.append(normed)
    return torch.stack(states), written


def run_position(
    config: Config, p: Parameters, token: int, position: int, loops: int, planes: Planes,
    reader: Reader
) -> None:
    x = embed(p, torch.tensor([token]))
    written: list[list[tuple[Tensor, Tensor]]] = []
    for loop in range(loops):
        written.append([])

        def attention(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            written[loop].append((k[0], v[0]))
            ks, vs = zip(*planes.seen(loop, layer), (k[0], v[0]))
            everything = torch.ones(1, len(ks), dtype=torch.bool)
            return attend(q, torch.stack(ks), torch.stack(vs), everything)

        x, normed = run_loop(config, p, x, torch.tensor([position]), attention)
        reader.feed(normed[0])
        if reader.done:
            break
    planes.finish_position(written)


def decode(
    config: Config, p: Parameters, prompt: list[int], options: Options, tokens: int
) -> Decoded:
    """Greedy continuation of `tokens` tokens; no token ends it."""
    loops = options.max_loops or config.loops
    planes = Planes(config, loops, options.kv)
    reader = Reader(config, p, options)
    states, written = read_prompt(config, p, torch.tensor(prompt), loops)
    for position in written:
        planes.finish_position(position)
    for normed in states[:, -1]:
        reader.feed(normed)

    result = Decoded([], [], [], math.inf, math.inf)
    while True:
        logits, loop = reader.read_out()
        best = logits.topk(2).values
        token = int(logits.argmax())
        result.ids.append(token)
        result.loops.append(loop)
        result.log_probabilities.append(torch.log_softmax(logits, dim=-1)[token].item())
        result.smallest_logit_gap = min(result.smallest_logit_gap, (best[0] - best[1]).item())
        result.smallest_rule_gap = min(result.smallest_rule_gap, reader.rule_gap)
        if len(result.ids) == tokens:
            return result
        reader = Reader(config, p, options)
        position = len(prompt) + len(result.ids) - 1
        run_position(config, p, token, position, loops, planes, reader)


def decode_by_recomputation(
    config: Config, p: Parameters, prompt: list[int], options: Options, tokens: int
) -> tuple[list[int], list[int]]:
    """What the policy "full" means: the whole text is run again, all loops, for every token."""
    text = list(prompt)
    chosen_loops = []
    while len(text) < len(prompt) + tokens:
        out = forward(config, p, torch.tensor(text), loops=options.max_loops or config.loops)
        reader = Reader(config, p, options)
        for normed in out.normed[:, -1]:
            reader.feed(normed)
        logits, loop = reader.read_out()
        text.append(int(logits.argmax()))
        chosen_loops.append(loop)
    return text[len(prompt):], chosen_loops
