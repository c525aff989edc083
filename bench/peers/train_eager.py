"""Trains a looped model on random tokens with PyTorch on the CPU, eager or compiled; prints one line of JSON.

The Stage I objective, all loops' logits, AdamW, clip 1.0: the step that looplm's trainer does.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import statistics
import time

import torch
from torch import Tensor
from torch.nn import functional

from eager_model import Config, LoopedModel, initialize


def stage_one_loss(model: LoopedModel, ids: Tensor, targets: Tensor, beta: float) -> Tensor:
    states = model.states(ids)
    nll = torch.stack([
        # In float32 as usual; autocast would leave the logits in bfloat16.
        functional.cross_entropy(
            model.lm_head(h).flatten(0, 1).float(), targets.flatten(), reduction="none"
        )
        for h in states
    ])
    gates = torch.stack([model.model.early_exit_gate(h)[..., 0].flatten() for h in states]).float()
    go_on = functional.logsigmoid(-gates[:-1]).cumsum(dim=0)
    survival = torch.cat([torch.zeros_like(gates[:1]), go_on])
    log_p = survival + torch.cat([functional.logsigmoid(gates[:-1]), torch.zeros_like(gates[:1])])
    p = log_p.exp()
    return (p * nll).sum(dim=0).mean() + beta * (p * log_p).sum(dim=0).mean()


def make_optimizer(model: LoopedModel, rate: float) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    kept = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def read_arguments() -> tuple[argparse.Namespace, Config]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=pathlib.Path, help="config.json to take all sizes from")
    parser.add_argument("--vocab", type=int, default=49152)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--intermediate", type=int, default=704)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--head-dim", type=int, default=64)
    parser.add_argument("--loops", type=int, default=4)
    parser.add_argument("--tied", action="store_true")
    parser.add_argument("--batch", type=int, default=2, help="sequences per step")
    parser.add_argument("--seq", type=int, default=256, help="tokens per sequence")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=1, help="steps before the timed ones")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32", help="bf16: autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile of model and loss")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    config = Config.read(a.config) if a.config else Config(
        vocab_size=a.vocab, hidden_size=a.hidden, intermediate_size=a.intermediate,
        layers=a.layers, heads=a.heads, kv_heads=a.kv_heads, head_dim=a.head_dim, loops=a.loops,
        tie_embeddings=a.tied,
    )
    return a, config


def main() -> None:
    a, config = read_arguments()
    torch.set_num_threads(a.threads)
    model = LoopedModel(config)
    initialize(model, a.seed)
    loss_of = torch.compile(stage_one_loss) if a.compile else stage_one_loss
    optimizer = make_optimizer(model, a.learning_rate)
    generator = torch.Generator().manual_seed(a.seed + 1)
    seconds, processor_seconds, losses = [], [], []
    for _ in range(a.warmup + a.steps):
        tokens = torch.randint(config.vocab_size, (a.batch, a.seq + 1), generator=generator)
        begin, processor_begin = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=a.dtype == "bf16"):
            loss = loss_of(model, tokens[:, :-1], tokens[:, 1:], a.beta)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
        processor_seconds.append(time.process_time() - processor_begin)
    timed = seconds[a.warmup :]
    print(json.dumps({
        "peer": f"torch {torch.__version__} {'compiled' if a.compile else 'eager'}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "dtype": a.dtype,
        "threads": a.threads,
        "batch": a.batch,
        "seq": a.seq,
        "tokens_per_second": a.batch * a.seq / statistics.median(timed),
        "tokens_per_processor_second":
            a.batch * a.seq / statistics.median(processor_seconds[a.warmup :]),
        "step_seconds": timed,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "loss": losses,
    }))


if __name__ == "__main__":
    main()
