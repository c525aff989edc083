"""looplm train against a PyTorch trainer: same shape, loss, batch and threads, runs alternating.

    python compare_training.py LOOPLM [--rounds 5] [--hidden 256 --layers 4 ...] [--memory block_inputs] [--peers eager,compiled]

Prints a line per run, then medians of tokens per second, of tokens per processor second and of peak resident memory, and their
ratios. Processor seconds with one thread also tell something on a machine that has other work. Needs PyTorch in this Python;
looplm is the built program.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


def run(command: list[str], cwd: pathlib.Path) -> tuple[str, float, int]:
    """Standard output, processor seconds and peak resident bytes of the process."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(command)}\n{output}")
    return output, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def write_inputs(a: argparse.Namespace, work: pathlib.Path) -> None:
    """Random ids do for speed; they come as JSON lines through looplm's own tokenizer and shards."""
    generator = random.Random(1)
    words = ["".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(3000)]
    lines = [" ".join(generator.choices(words, k=4 * a.seq)) for _ in range(8 * a.batch)]
    (work / "text.txt").write_text("\n".join(lines) + "\n")
    subprocess.run([a.looplm, "tokenizer", "train", "text.txt", "--vocab-size", str(min(2048, a.vocab)), "--out", "tok"],
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
log_every = 1
out = "run"
[compute]
dtype = "{a.dtype}"
memory = "{a.memory}"
threads = {a.threads}
""")


@dataclasses.dataclass
class Speed:
    per_second: float  # tokens
    per_processor_second: float
    peak_bytes: float

    def __str__(self) -> str:
        return (f"{self.per_second:8.0f} tok/s  {self.per_processor_second:8.0f} per processor second"
                f"  {self.peak_bytes / 2**20:7.0f} MiB")


def run_looplm(a: argparse.Namespace, work: pathlib.Path) -> Speed:
    def train(steps: int) -> tuple[float, int]:
        subprocess.run(["rm", "-rf", "run"], cwd=work, check=True)
        return run([a.looplm, "train", "run.toml", "--set", f"run.steps={steps}"], work)[1:]

    # Start, first step and saving, which are not meant. The system's part of it varies, so the least of two.
    short = min(train(1)[0] for _ in range(2))
    long, peak = train(1 + a.steps)
    log = [json.loads(line) for line in (work / "run" / "log.jsonl").read_text().splitlines()]
    speeds = [entry["tokens_per_second"] for entry in log if "tokens_per_second" in entry][1:]
    return Speed(statistics.median(speeds), a.steps * a.batch * a.seq / (long - short), peak)


def run_pytorch(a: argparse.Namespace, work: pathlib.Path, kind: str) -> Speed:
    sizes = [f"--{n}={getattr(a, n)}" for n in
             ("vocab", "hidden", "intermediate", "layers", "heads", "loops", "batch", "seq", "steps", "threads")]
    command = [sys.executable, str(HERE / "train_eager.py"), *sizes, f"--kv-heads={a.heads}",
               f"--head-dim={a.hidden // a.heads}", f"--dtype={a.dtype}"]
    output, _, peak = run(command + (["--compile"] if kind == "compiled" else []), work)
    result = json.loads(output)
    return Speed(result["tokens_per_second"], result["tokens_per_processor_second"], peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("looplm")
    parser.add_argument("--rounds", type=int, default=5)
    for name, default in {"vocab": 8192, "hidden": 512, "intermediate": 1408, "layers": 4, "heads": 8, "loops": 4,
                          "batch": 4, "seq": 256, "steps": 4, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--memory", default="block_inputs")
    parser.add_argument("--peers", default="eager", help="of eager and compiled, with a comma between")
    a = parser.parse_args()
    a.looplm = str(pathlib.Path(a.looplm).resolve())
    peers = a.peers.split(",")
    if not set(peers) <= {"eager", "compiled"}:
        parser.error(f"--peers is {a.peers}; expected eager, compiled or both")

    runs: dict[str, list[Speed]] = {name: [] for name in ["looplm", *peers]}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        write_inputs(a, work)
        for _ in range(a.rounds):
            for name, speeds in runs.items():
                speeds.append(run_looplm(a, work) if name == "looplm" else run_pytorch(a, work, name))
                print(f"{name:9}{speeds[-1]}", flush=True)

    medians = {
        name: Speed(*(statistics.median(getattr(s, f.name) for s in speeds) for f in dataclasses.fields(Speed)))
        for name, speeds in runs.items()
    }
    ours = medians["looplm"]
    print("medians")
    for name, theirs in medians.items():
        print(f"{name:9}{theirs}  looplm's speed over it {ours.per_second / theirs.per_second:.2f},"
              f" per processor second {ours.per_processor_second / theirs.per_processor_second:.2f},"
              f" memory {ours.peak_bytes / theirs.peak_bytes:.2f}")


if __name__ == "__main__":
    main()
