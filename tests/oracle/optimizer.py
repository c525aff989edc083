"""AdamW with decoupled weight decay, a warm-up and a global gradient clip, spelled out."""

from __future__ import annotations

import dataclasses

import torch

from model import Parameters, Tensor


@dataclasses.dataclass(frozen=True)
class Settings:
    learning_rate: float = 0.01
    warmup_steps: int = 4
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0


def learning_rate(s: Settings, step: int) -> float:
    """For steps from 1: linear up to the full rate at step `warmup_steps`, then constant."""
    return s.learning_rate * min(1.0, step / s.warmup_steps)


def is_decayed(name: str) -> bool:
    """Every matrix is, embedding, head and the gate's one row too; norms and gate bias are not."""
    return not (name.endswith("norm.weight") or "layernorm" in name or name.endswith(".bias"))


class AdamW:
    def __init__(self, settings: Settings, parameters: Parameters):
        self._settings = settings
        self._step = 0
        self._mean = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self._square = {name: torch.zeros_like(p) for name, p in parameters.items()}

    def update(self, parameters: Parameters, gradients: dict[str, Tensor]) -> float:
        """Changes the parameters; returns the norm of all gradients before the clip."""
        s = self._settings
        self._step += 1
        norm = torch.sqrt(sum(g.square().sum() for g in gradients.values())).item()
        scale = min(1.0, s.clip / norm)
        rate = learning_rate(s, self._step)
        for name, p in parameters.items():
            g = gradients[name] * scale
            m, v = self._mean[name], self._square[name]
            m.mul_(s.beta1).add_((1 - s.beta1) * g)
            v.mul_(s.beta2).add_((1 - s.beta2) * g.square())
            m_hat = m / (1 - s.beta1**self._step)
            v_hat = v / (1 - s.beta2**self._step)
            if is_decayed(name):
                p.mul_(1 - rate * s.weight_decay)
            p.sub_(rate * m_hat / (v_hat.sqrt() + s.epsilon))
        return norm
