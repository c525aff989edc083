"""The exit distribution and the training losses (arXiv:2510.25741 sections 3.2 to 3.4).

T loops; lambda_t = sigmoid(z_t) with z_t the gate logit of loop t = 1..T. Tensors are (T, rows).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch.nn.functional import logsigmoid

Tensor = torch.Tensor


def exit_log_probabilities(z: Tensor) -> Tensor:
    """log p_t (equation 3): p_t = lambda_t prod_{j<t} (1 - lambda_j); p_T takes what is left."""
    go_on = logsigmoid(-z[:-1]).cumsum(dim=0)  # log prod_{j<=t} (1 - lambda_j), t = 1..T-1
    survival = torch.cat([torch.zeros_like(z[:1]), go_on])
    stop = torch.cat([logsigmoid(z[:-1]), torch.zeros_like(z[:1])])
    return survival + stop


@dataclasses.dataclass(frozen=True)
class Prior:
    """What Stage I pulls the exit distribution towards."""

    kind: str = "entropy"  # entropy, uniform, geometric or poisson_lognormal
    parameter: float = 0.5  # geometric: the probability of stopping at each loop
    mean: float = 3.0  # Poisson-lognormal: mean of t - 1 before truncation
    sigma: float = 0.5  # Poisson-lognormal: standard deviation of tau


def log_prior(prior: Prior, loops: int) -> Tensor:
    """log prior_t for t = 1..T, truncated to T loops and renormalised."""
    t = torch.arange(1, loops + 1, dtype=torch.float64)
    if prior.kind == "uniform":
        log_weights = torch.zeros_like(t)
    elif prior.kind == "geometric":
        log_weights = math.log(prior.parameter) + (t - 1) * math.log1p(-prior.parameter)
    elif prior.kind == "poisson_lognormal":
        log_weights = _poisson_lognormal(t, prior.mean, prior.sigma).log()
    else:
        raise ValueError(f"no prior of kind {prior.kind}")
    return log_weights - torch.logsumexp(log_weights, dim=0)


def _poisson_lognormal(t: Tensor, mean: float, sigma: float) -> Tensor:
    """P(1 + Poisson(e^tau) = t) with tau ~ N(log(mean) - sigma^2 / 2, sigma).

    The trapezoid rule on +-12 standard deviations: for an analytic integrand that dies out at both
    ends its error falls faster than any power of the step; 4001 points are far below 1e-14.
    """
    x = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    tau = math.log(mean) - sigma**2 / 2 + sigma * x
    count = (t - 1)[:, None]
    log_pmf = count * tau - tau.exp() - torch.lgamma(count + 1)
    return (log_pmf.exp() * density).sum(dim=1)


def stage_one(nll: Tensor, z: Tensor, beta: float, prior: Prior) -> Tensor:
    """Loss per row (equation 4): sum_t p_t nll_t - beta H(p), or + beta KL(p || prior)."""
    log_p = exit_log_probabilities(z)
    p = log_p.exp()
    penalty = (p * log_p).sum(dim=0)  # -H(p)
    if prior.kind != "entropy":
        penalty = penalty - (p * log_prior(prior, len(z)).to(z.dtype)[:, None]).sum(dim=0)
    return (p * nll).sum(dim=0) + beta * penalty


def stage_two(
    nll: Tensor, z: Tensor, k: float = 50.0, gamma: float = 0.005, forward_looking: bool = False
) -> Tensor:
    """Loss per row (equations 5 and 6); only the gate learns, so nll is detached.

    The gain of loop t over loop t-1, t = 2..T, teaches lambda_t (as printed) or, forward-looking,
    lambda_{t-1}. The divisor is T in both, as printed.
    """
    nll = nll.detach()
    gain = (nll[:-1] - nll[1:]).clamp(min=0)
    go_on = torch.sigmoid(k * (gain - gamma))
    taught = z[:-1] if forward_looking else z[1:]
    cross_entropy = -(go_on * logsigmoid(-taught) + (1 - go_on) * logsigmoid(taught))
    return cross_entropy.sum(dim=0) / len(z)


def last_loop(nll: Tensor) -> Tensor:
    return nll[-1]


IGNORED_TARGET = -1


def target_rows(targets: Tensor) -> Tensor:
    return (targets != IGNORED_TARGET).nonzero()[:, 0]


def token_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """-log p_t(target) in nats for the rows that have a target: (T, rows, V) to (T, targets)."""
    rows = target_rows(targets)
    log_p = torch.log_softmax(logits[:, rows], dim=-1)
    index = targets[rows].expand(len(logits), -1)[..., None]
    return -log_p.gather(-1, index)[..., 0]


def token_entropy(logits: Tensor) -> Tensor:
    """Entropy of the next-token distribution in nats, (..., V) to (...)."""
    log_p = torch.log_softmax(logits, dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)
