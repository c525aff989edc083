#!/usr/bin/env python3
"""looplm's server beside llama.cpp's on the same shape: tokens per second and latency at several numbers of streams.

    bench/peers/serve_beside.py LOOPLM MODEL LLAMA_SERVER GGUF [--threads 1] [--streams 1,4,16] [--rounds 3]

MODEL is `looplm init --preset ouro-1.4b --out MODEL`; GGUF is a file of make_llama_gguf.py (--vocabulary, so that the server can
spell tokens). LLAMA_SERVER is llama.cpp's `llama-server`, built for this machine. Both servers are loaded, and the one that is not measured is
stopped (SIGSTOP). Rounds are taken in turns; each sends new random prompts, so that no cache of prompts helps. The table has
medians over the rounds, and the median of the ratios within a round. With --under a command of yours runs each round, one that
quiets the machine for a while. On a busy machine compare the processor time of --threads 1; waiting threads spin.
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
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "clients"))
import load  # noqa: E402


def start(stack: contextlib.ExitStack, name: str, command: list[str]) -> tuple[str, str, int]:
    """Name, address and process of a server that takes requests; it ends with the stack."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop() -> None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()

    stack.callback(stop)
    url = f"http://127.0.0.1:{port}"
    while process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url + "/health")
            return name, url, process.pid
        time.sleep(0.2)
    sys.exit(f"{name} has not started: {command}")


def processor_seconds(pid: int) -> float:
    user, system = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure(url: str, pid: int, bodies: list[dict]) -> tuple[float, ...]:
    """Tokens per second, medians of the seconds to the first token and between tokens, and processor seconds per token."""
    os.kill(pid, signal.SIGCONT)
    used = processor_seconds(pid)
    try:
        seconds, firsts, gaps = asyncio.run(load.burst(load.Http(url), bodies))
    finally:
        os.kill(pid, signal.SIGSTOP)
    tokens = len(firsts) + len(gaps)
    expected = sum(body["max_tokens"] for body in bodies)
    if tokens != expected:
        sys.exit(f"{url} sent {tokens} tokens; expected {expected}")
    return tokens / seconds, statistics.median(firsts), statistics.median(gaps), (processor_seconds(pid) - used) / tokens


def one_round(a: argparse.Namespace, number: int) -> dict[str, list[tuple[float, ...]]]:
    """What was measured of each server, by number of streams."""
    rng = random.Random(number)
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name, _, _ in a.loaded}
    for streams in a.streams:
        for name, url, pid in a.loaded if number % 2 == 0 else a.loaded[::-1]:
            measured[name].append(measure(url, pid, bodies(a, rng, streams, a.tokens)))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("looplm")
    parser.add_argument("model")
    parser.add_argument("llama_server")
    parser.add_argument("gguf")
    parser.add_argument("--dtype", default="int8", help="of looplm's weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=lambda text: [int(n) for n in text.split(",")], default=[1, 4, 16])
    parser.add_argument("--prompt", type=int, default=16, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=16, help="tokens of each answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--under", default="", help="command that runs each round, given what to run; the servers are loaded before")
    parser.add_argument("--loaded", type=json.loads, help=argparse.SUPPRESS)  # names, addresses and processes of the servers
    parser.add_argument("--round", type=int, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.loaded:
        print(json.dumps(one_round(a, a.round)))
        return
    context = 256 if a.prompt + a.tokens <= 256 else a.prompt + a.tokens
    with contextlib.ExitStack() as stack:
        a.loaded = [
            start(stack, "looplm", [a.looplm, "serve", a.model, "--log", "off", "--dtype", a.dtype, "--speculate", "off",
                                    "--threads", str(a.threads), "--kv-gib", "6"]),
            start(stack, "llama.cpp", [a.llama_server, "-m", a.gguf, "-t", str(a.threads), "-np", str(max(a.streams)),
                                       "-c", str(max(a.streams) * context), "--no-cache-prompt", "--cache-ram", "0"]),
        ]
        for _, url, pid in a.loaded:
            measure(url, pid, bodies(a, random.Random(-1), 1, 2))
        print(f"ready; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        rounds = []
        for number in range(a.rounds):
            if a.under:
                again = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--loaded", json.dumps(a.loaded), "--round", str(number)]
                done = subprocess.run([*shlex.split(a.under), *again], stdout=subprocess.PIPE, text=True, check=True)
                rounds.append(json.loads(done.stdout.splitlines()[-1]))
            else:
                rounds.append(one_round(a, number))
            print(json.dumps(rounds[-1]), flush=True)
    print("| streams | looplm, tokens/s | llama.cpp | ratio | first token, s | llama.cpp | between tokens, ms | llama.cpp | processor time per token, ms | llama.cpp |\n" + "|---:" * 10 + "|")
    for i, streams in enumerate(a.streams):
        ours, theirs = ([one[name][i] for one in rounds] for name in ("looplm", "llama.cpp"))
        ratio = statistics.median(x[0] / y[0] for x, y in zip(ours, theirs))
        m = [[statistics.median(values) for values in zip(*of)] for of in (ours, theirs)]
        print(f"| {streams} | {m[0][0]:.2f} | {m[1][0]:.2f} | {ratio:.2f} | {m[0][1]:.2f} | {m[1][1]:.2f} | {1e3 * m[0][2]:.0f} | {1e3 * m[1][2]:.0f} "
              f"| {1e3 * m[0][3]:.0f} | {1e3 * m[1][3]:.0f} |")


def bodies(a: argparse.Namespace, rng: random.Random, streams: int, tokens: int) -> list[dict]:
    return [{"prompt": [rng.randrange(100, a.vocabulary) for _ in range(a.prompt)], "max_tokens": tokens, "temperature": 0,
             "ignore_eos": True} for _ in range(streams)]


if __name__ == "__main__":
    main()
