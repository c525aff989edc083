"""Adapters (LoRA) against the `peft` package, both ways.

peft_golden.py --out DIRECTORY     writes tests/golden/model/adapter/: an adapter of peft's for the
                                   llama model beside it, and the logits that peft computes with it
peft_golden.py --looplm PROGRAM    trains an adapter with looplm, loads it with peft, and compares the
                                   log-probabilities of what both generate

Needs the packages of requirements-peft.txt beside the oracle's own.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "model"
BASE = GOLDEN / "llama"
# Log-probabilities of float32 models, of which one adds the adapter to its matrices.
LARGEST_ERROR = 2e-5


def base_model(dtype: torch.dtype) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(BASE, dtype=dtype, attn_implementation="eager").eval()


def write_golden(out: pathlib.Path) -> None:
    torch.manual_seed(7)
    targets = ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
    model = get_peft_model(
        base_model(torch.float32),
        LoraConfig(r=3, lora_alpha=12, lora_dropout=0.1, target_modules=targets,
                   task_type="CAUSAL_LM"),
    )
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(out)
    (out / "README.md").unlink()
    config = json.loads((out / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "llama"
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    ids = json.loads((BASE / "case.json").read_text())["ids"]
    model = PeftModel.from_pretrained(base_model(torch.float64), out).double().eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    save_file({"logits": logits.float().contiguous()}, out / "expected.safetensors")


def check_ours(looplm: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)

        def run(*arguments: str) -> str:
            done = subprocess.run([looplm, *arguments], cwd=directory, check=True,
                                  stdout=subprocess.PIPE, text=True)
            return done.stdout

        vocabulary = json.loads((BASE / "config.json").read_text())["vocab_size"]
        write_shard(directory / "data.tokens", vocabulary)
        (directory / "run.toml").write_text(f"""
[model]
from = "{BASE}"
[lora]
rank = 4
alpha = 8
targets = ["q_proj", "k_proj", "gate_proj", "down_proj"]
[data]
train = "data.tokens"
sequence_length = 16
[objective]
kind = "last_loop"
[optimizer]
learning_rate = 0.05
[run]
out = "out"
steps = 10
""")
        run("train", "run.toml")
        prompt = [1, 2, 3]
        for adapter in (True, False):
            model = base_model(torch.float64)
            if adapter:
                model = PeftModel.from_pretrained(model, directory / "out" / "model").double().eval()
            answer = json.loads(run(
                "run", str(BASE), *(["--lora", "out/model"] if adapter else []), "--ids",
                ",".join(map(str, prompt)), "-n", "12", "--temp", "0", "--ignore-eos", "--json",
                "-q", "--dtype", "f32", "--kv-type", "f32"))
            ids, ours = answer["ids"], answer["log_probabilities"]
            with torch.no_grad():
                logits = model(torch.tensor([prompt + ids])).logits[0]
            theirs = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
            theirs = theirs[torch.arange(len(ids)), torch.tensor(ids)]
            error = (theirs - torch.tensor(ours, dtype=torch.float64)).abs().max().item()
            print(f"{'with' if adapter else 'without'} adapter: ids {ids}, "
                  f"largest difference of log-probabilities {error:.1e}")
            assert error < LARGEST_ERROR, error


def write_shard(path: pathlib.Path, vocabulary: int) -> None:
    """A token shard (src/train/token_shard.h) of one document that counts."""
    tokens = [i * 7 % vocabulary for i in range(400)]
    body = b"".join(n.to_bytes(8, "little") for n in (0, len(tokens)))
    learnt = b"\xff" * (len(tokens) // 8)
    body += learnt + b"\0" * (-(64 + 16 + len(learnt)) % 8)
    body += b"".join(t.to_bytes(2, "little") for t in tokens)
    fnv = 0xCBF29CE484222325
    for byte in body:
        fnv = (fnv ^ byte) * 0x100000001B3 % 2**64
    header = b"LPTOKENS" + (2).to_bytes(4, "little") + (2).to_bytes(4, "little")
    for number in (len(tokens), 1, vocabulary, fnv, 0, 0):
        header += number.to_bytes(8, "little")
    path.write_bytes(header + body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--looplm")
    arguments = parser.parse_args()
    if arguments.out:
        write_golden(arguments.out / "adapter")
    if arguments.looplm:
        check_ours(str(pathlib.Path(arguments.looplm).resolve()))
