"""Loads what looplm saves in transformers, and holds the logits against looplm's. On demand:

    tests/oracle/environment /tmp/oracle tests/oracle/requirements-peft.txt
    /tmp/oracle/bin/python tests/oracle/transformers_load.py [--looplm build/release/looplm] [--code FOLDER]

- A plain model (one loop, no gate) that looplm trained loads in transformers' LlamaForCausalLM, also with grouped
  heads and tied embeddings, and comes back from save_pretrained with the same logits.
- --code names a folder with the hub's modeling_ouro.py and configuration_ouro.py: the bundled looped model is then
  loaded through its auto_map with that code.

Exit status 1 if the largest difference of a logit exceeds 1e-4 of the largest logit.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

ROOT = pathlib.Path(__file__).parent.parent.parent
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3]
RUN = """
[model]
type = "llama"
vocab_size = 1024
hidden_size = 64
layers = 3
heads = 4
kv_heads = {kv_heads}
intermediate_size = 96
norm_placement = "pre"
norm_between_loops = false
exit_gate = false
initializer_range = 0.2
tie_embeddings = {tied}
rope_theta = 50000
eos_token_id = 0
tokenizer = "{tokenizer}"
[data]
train = "{out}/text.tokens"
sequence_length = 64
[objective]
kind = "last_loop"
[run]
out = "{out}/run"
steps = 3
[compute]
save_dtype = "f32"
"""


def looplm_logits(program: str, directory: pathlib.Path) -> np.ndarray:
    """(loops, positions, vocabulary)"""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "logits.npy"
        ids = ",".join(map(str, IDS))
        command = [program, "trace", str(directory), "--ids", ids, "--dtype", "f32", "--kv-type", "f32", "--logits", str(out), "--json"]
        subprocess.run(command, check=True, capture_output=True)
        return np.load(out)


def compare(what: str, ours: np.ndarray, model: torch.nn.Module) -> bool:
    with torch.no_grad():
        theirs = model(torch.tensor([IDS])).logits[0].float().numpy()
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    good = error <= 1e-4
    print(f"{what}: largest difference {error:.1e} of the largest logit{'' if good else ', FAULT'}")
    return good


def plain(program: str, tied: bool, kv_heads: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        (out / "text.txt").write_text("the quick brown fox\n\njumps over\n\nthe lazy dog\n" * 20)
        tokenizer = ROOT / "models/small"
        build = [program, "data", "build", f"{out}/text.txt", "--tokenizer", str(tokenizer), "--out", f"{out}/text.tokens"]
        subprocess.run(build, check=True, capture_output=True)
        values = {"kv_heads": kv_heads, "tied": str(tied).lower(), "tokenizer": tokenizer, "out": out}
        (out / "run.toml").write_text(RUN.format(**values))
        subprocess.run([program, "train", f"{out}/run.toml"], check=True, capture_output=True)
        saved = out / "run/model"
        ours = looplm_logits(program, saved)[-1]
        what = f"LlamaForCausalLM, {kv_heads} kv heads, {'tied' if tied else 'untied'}"
        model = transformers.AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32)
        assert type(model) is transformers.LlamaForCausalLM, type(model)
        good = compare(what, ours, model)
        transformers.AutoTokenizer.from_pretrained(saved)
        model.save_pretrained(out / "theirs")
        back = looplm_logits(program, out / "theirs")[-1]
        return compare("  saved by transformers, read by looplm", back, model) and good


def looped(program: str, code: pathlib.Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder) / "small"
        shutil.copytree(ROOT / "models/small", directory)
        for name in ("modeling_ouro.py", "configuration_ouro.py"):
            shutil.copy(code / name, directory)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, trust_remote_code=True)
        return compare("the hub's OuroForCausalLM", looplm_logits(program, directory)[-1], model)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looplm", default=str(ROOT / "build/release/looplm"))
    parser.add_argument("--code", type=pathlib.Path)
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.looplm).resolve())
    good = [plain(program, tied, kv_heads) for tied in (False, True) for kv_heads in (4, 2)]
    if arguments.code:
        good.append(looped(program, arguments.code))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
