"""Greedy decoding with eager PyTorch on the CPU, a KV cache per (loop, layer); one line of JSON.

    python decode_eager.py --random [CONFIG] [--prompt-tokens 512] [--tokens 64] [--rounds 3] [--threads 2]

Every token runs all loops, as the published Hugging Face code does. Without CONFIG the shape is Ouro 1.4B's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import resource
import statistics
import time

import torch
from safetensors import safe_open

from eager_model import Cache, Config, LoopedModel, initialize

HERE = pathlib.Path(__file__).parent
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def load(directory: pathlib.Path, dtype: torch.dtype) -> LoopedModel:
    """A checkpoint in one file or in shards."""
    with torch.device("meta"):
        model = LoopedModel(Config.read(directory / "config.json"))
    tensors = {}
    for path in sorted(directory.glob("model*.safetensors")):
        with safe_open(path, "pt") as file:
            names = list(file.keys())
        # Copied: in the mapped file weights start anywhere in a cache line, and one-row products take 1.16 times as long.
        # Opened anew for each: a mapping's pages count as resident memory until it is closed.
        for name in names:
            with safe_open(path, "pt") as file:
                tensors[name] = file.get_tensor(name).to(dtype, copy=True)
    if model.config.tie_embeddings:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    model.load_state_dict(tensors, assign=True)
    return model


def random_model(path: pathlib.Path, dtype: torch.dtype) -> LoopedModel:
    with torch.device("meta"):
        model = LoopedModel(Config.read(path)).to(dtype)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        torch.nn.init.ones_(parameter)  # the norms; initialize() draws the rest
    initialize(model, seed=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=pathlib.Path, help="checkpoint directory")
    source.add_argument("--random", type=pathlib.Path, nargs="?", const=HERE / "ouro_1.4b.json",
                        help="config.json to draw weights for")
    parser.add_argument("--prompt", help="token ids with commas; default: random ones")
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32, help="to generate")
    parser.add_argument("--rounds", type=int, default=1, help="how often to do the prompt and the tokens")
    parser.add_argument("--loops", type=int, help="instead of the config's")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    dtype = DTYPES[a.dtype]
    model = load(a.model, dtype) if a.model else random_model(a.random, dtype)
    model.eval()
    if a.loops:
        model.config = dataclasses.replace(model.config, loops=a.loops)
    c = model.config
    if a.prompt:
        prompt = torch.tensor([[int(id) for id in a.prompt.split(",")]])
    else:
        generator = torch.Generator().manual_seed(0)
        prompt = torch.randint(c.vocab_size, (1, a.prompt_tokens), generator=generator)

    prompt_seconds, token_seconds = [], []
    with torch.inference_mode():
        for _ in range(a.rounds):
            ids, seconds = [], []
            cache = Cache(c, 1, prompt.shape[1] + a.tokens, dtype)
            token = prompt
            for _ in range(a.tokens):
                begin = time.perf_counter()
                state = model.states(token, cache)[-1][:, -1]  # only the last position is read out
                token = model.lm_head(state).argmax(dim=-1, keepdim=True)
                ids.append(token.item())
                seconds.append(time.perf_counter() - begin)
            prompt_seconds.append(seconds[0])
            token_seconds += seconds[1:]

    block_bytes = sum(p.numel() * p.element_size() for p in model.model.layers.parameters())
    head_bytes = model.lm_head.weight.numel() * model.lm_head.weight.element_size()
    prompt_median = statistics.median(prompt_seconds)
    median = statistics.median(token_seconds) if token_seconds else prompt_median
    print(json.dumps({
        "peer": f"torch {torch.__version__} eager",
        "dtype": a.dtype,
        "loops": c.loops,
        "threads": a.threads,
        "prompt_tokens": prompt.shape[1],
        "prompt_seconds": prompt_seconds,  # of every round, with its first token
        "prompt_tokens_per_second": prompt.shape[1] / prompt_median,
        "tokens_per_second": 1 / median,
        "token_seconds": token_seconds,
        # Weights that a token must read: the blocks once per loop, and the head.
        "gigabytes_per_second": (c.loops * block_bytes + head_bytes) / median / 1e9,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "ids": ids,
    }))


if __name__ == "__main__":
    main()
