"""looplm train against an eager PyTorch trainer: same shape, loss, batch and threads, runs alternating.

    python compare_training.py LOOPLM [--rounds 5] [--hidden 256 --layers 4 ...] [--memory block_inputs]

Prints a line per run, then medians of tokens per second and of peak resident memory, and their ratios. Needs PyTorch in this
Python; looplm is the built program.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


def run(command: list[str], cwd: pathlib.Path) -> tuple[str, int]:
    """Standard output, and the peak resident bytes of the process."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(command)}\n{output}")
    return output, usage.ru_maxrss * 1024


def write_inputs(a: argparse.Namespace, work: pathlib.Path) -> None:
    """Random ids do for speed; they come as JSON lines through looplm's own tokenizer and shards."""
    generator = random.Random(1)
    words = ["".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(3000)]
    lines = [" ".join(generator.choices(words, k=4 * a.seq)) for _ in range(8 * a.batch)]
    (work / "text.txt").write_text("\n".join(lines) + "\n")
    subprocess.run([a.looplm, "tokenizer", "train", "text.txt", "--vocab-size", "2048", "--out", "tok"],
                   cwd=work, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([a.looplm, "data", "build", "text.txt", "--split", "line", "--tokenizer", "tok", "--out", "t.tokens"],
                   cwd=work, check=True, stdout=subprocess.DEVNULL)
    (work / "run.toml").write_text(f"""
[model]
vocab_size = {a.vocab}
hidden_size = {a.hidden}
intermediate_size = {a.intermediate}
layers = {a.layers}
heads = {a.heads}
loops = {a.loops}
[data]
train = "t.tokens"
sequence_length = {a.seq}
[batch]
sequences = {a.batch}
[objective]
beta = 0.1
[run]
steps = {a.steps + 1}
log_every = 1
out = "run"
[compute]
dtype = "{a.dtype}"
memory = "{a.memory}"
threads = {a.threads}
""")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("looplm")
    parser.add_argument("--rounds", type=int, default=5)
    for name, default in {"vocab": 8192, "hidden": 512, "intermediate": 1408, "layers": 4, "heads": 8, "loops": 4,
                          "batch": 4, "seq": 256, "steps": 4, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--memory", default="block_inputs")
    a = parser.parse_args()
    a.looplm = str(pathlib.Path(a.looplm).resolve())

    ours: list[tuple[float, int]] = []
    theirs: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        write_inputs(a, work)
        for _ in range(a.rounds):
            subprocess.run(["rm", "-rf", "run"], cwd=work, check=True)
            _, peak = run([a.looplm, "train", "run.toml"], work)
            log = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()]
            speeds = [entry["tokens_per_second"] for entry in log if "tokens_per_second" in entry][1:]
            ours.append((statistics.median(speeds), peak))
            print(f"looplm   {ours[-1][0]:8.0f} tok/s  {peak / 2**20:7.0f} MiB", flush=True)
            sizes = [f"--{n}={getattr(a, n)}" for n in
                     ("vocab", "hidden", "intermediate", "layers", "heads", "loops", "batch", "seq", "steps", "threads")]
            output, peak = run([sys.executable, str(HERE / "train_eager.py"), *sizes, f"--kv-heads={a.heads}",
                                f"--head-dim={a.hidden // a.heads}", f"--dtype={a.dtype}"], work)
            theirs.append((json.loads(output)["tokens_per_second"], peak))
            print(f"PyTorch  {theirs[-1][0]:8.0f} tok/s  {peak / 2**20:7.0f} MiB", flush=True)

    def median(runs: list[tuple[float, int]], index: int) -> float:
        return statistics.median(entry[index] for entry in runs)

    print(f"speed    {median(ours, 0):.0f} / {median(theirs, 0):.0f} tok/s = {median(ours, 0) / median(theirs, 0):.2f}")
    print(f"memory   {median(ours, 1) / 2**20:.0f} / {median(theirs, 1) / 2**20:.0f} MiB ="
          f" {median(ours, 1) / median(theirs, 1):.2f}")


if __name__ == "__main__":
    main()
