#!/usr/bin/env python3
"""looplm's server beside llama.cpp's on the same shape: tokens per second and latency at several numbers of streams.

    /tmp/peers/bin/python bench/peers/serve_beside.py LOOPLM MODEL GGUF [--threads 1] [--streams 1,4,16] [--rounds 3]

MODEL is `looplm init --preset ouro-1.4b --out MODEL`; GGUF is a file of make_llama_gguf.py (--vocabulary, so that the server can
spell tokens). llama.cpp comes built with the package xllamacpp. Both servers are loaded, and the one that is not measured is
stopped (SIGSTOP). Rounds are taken in turns; each sends new random prompts, so that no cache of prompts helps. The last
columns are medians over the rounds, and looplm's rate over llama.cpp's within a round. With --under the rounds alone run by a
command of yours, one that quiets the machine for a while.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import shlex
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "clients"))
import load  # noqa: E402


def llama_server(gguf: str, threads: int, streams: int, context: int) -> None:
    """In a process of its own: serves until standard input ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_parallel = streams
    params.n_ctx = streams * context
    params.n_gpu_layers = 0
    params.n_predict = -1
    params.port = 0
    params.verbosity = 0
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def start(stack: contextlib.ExitStack, name: str, command: list[str]) -> tuple[str, str, int]:
    """Name, address and process of a server that takes requests; it ends with the stack."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def stop() -> None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()

    stack.callback(stop)
    for line in process.stdout:
        if "http://" in line:
            return name, line.split()[-1], process.pid
    sys.exit(f"{name} has not started: {command}")


class Peer:
    def __init__(self, name: str, url: str, pid: int):
        self.name, self.url, self.pid = name, url, pid
        self.rates: dict[int, list[float]] = {}
        self.firsts: dict[int, list[float]] = {}
        self.gaps: dict[int, list[float]] = {}

    def measure(self, streams: int, bodies: list[dict]) -> None:
        os.kill(self.pid, signal.SIGCONT)
        try:
            seconds, firsts, gaps = asyncio.run(load.burst(load.Http(self.url), bodies))
        finally:
            os.kill(self.pid, signal.SIGSTOP)
        tokens = len(firsts) + len(gaps)
        expected = sum(body["max_tokens"] for body in bodies)
        if tokens != expected:
            sys.exit(f"{self.name} sent {tokens} tokens; expected {expected}")
        self.rates.setdefault(streams, []).append(tokens / seconds)
        self.firsts.setdefault(streams, []).append(statistics.median(firsts))
        self.gaps.setdefault(streams, []).append(statistics.median(gaps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("looplm")
    parser.add_argument("model")
    parser.add_argument("gguf")
    parser.add_argument("--dtype", default="int8", help="of looplm's weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--prompt", type=int, default=16, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=16, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no round after so many")
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--under", default="", help="command that runs the rounds, given what to run; the servers are loaded before")
    parser.add_argument("--loaded", type=json.loads, help=argparse.SUPPRESS)  # names, addresses and processes of the servers
    a = parser.parse_args()
    if a.loaded:
        return rounds(a, [Peer(*one) for one in a.loaded])
    context = 256 if a.prompt + a.tokens <= 256 else a.prompt + a.tokens
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import serve_beside; serve_beside.llama_server("
    with contextlib.ExitStack() as stack:
        loaded = [
            start(stack, "looplm", [a.looplm, "serve", a.model, "--port", "0", "--log", "off", "--dtype", a.dtype, "--speculate", "off",
                                    "--threads", str(a.threads), "--kv-gib", "6"]),
            start(stack, "llama.cpp", [sys.executable, "-c", code + f"{a.gguf!r}, {a.threads}, {max(a.streams)}, {context})"]),
        ]
        for one in loaded:
            Peer(*one).measure(0, bodies(a, random.Random(0), 1, 2))
        if a.under:
            again = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--loaded", json.dumps(loaded)]
            sys.exit(subprocess.run([*shlex.split(a.under), *again]).returncode)
        rounds(a, [Peer(*one) for one in loaded])


def bodies(a: argparse.Namespace, rng: random.Random, streams: int, tokens: int) -> list[dict]:
    return [{"prompt": [rng.randrange(100, a.vocabulary) for _ in range(a.prompt)], "max_tokens": tokens, "temperature": 0,
             "ignore_eos": True} for _ in range(streams)]


def rounds(a: argparse.Namespace, peers: list[Peer]) -> None:
    ours, theirs = peers
    rng = random.Random(1)
    print(f"ready; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    began = time.monotonic()
    for number in range(a.rounds):
        for streams in a.streams:
            if time.monotonic() - began > a.seconds:
                break
            for peer in peers if number % 2 == 0 else peers[::-1]:
                peer.measure(streams, bodies(a, rng, streams, a.tokens))
            print(f"round {number + 1}, {streams} streams: {ours.rates[streams][-1]:.2f} and {theirs.rates[streams][-1]:.2f} tokens/s", flush=True)
    print("| streams | looplm, tokens/s | llama.cpp | ratio | first token, s | llama.cpp | between tokens, ms | llama.cpp |\n|---:|---:|---:|---:|---:|---:|---:|---:|")
    for streams in a.streams:
        if streams not in ours.rates:
            continue
        ratio = statistics.median(x / y for x, y in zip(ours.rates[streams], theirs.rates[streams]))
        m = [statistics.median(values[streams]) for peer in peers for values in (peer.rates, peer.firsts, peer.gaps)]
        print(f"| {streams} | {m[0]:.2f} | {m[3]:.2f} | {ratio:.2f} | {m[1]:.2f} | {m[4]:.2f} | {1e3 * m[2]:.0f} | {1e3 * m[5]:.0f} |")
    print(json.dumps({peer.name: peer.rates for peer in peers}))


if __name__ == "__main__":
    main()
