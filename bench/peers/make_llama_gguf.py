"""Random weights of a looped model's shape as GGUF files that llama.cpp can run; prints their paths.

    python make_llama_gguf.py FOLDER [--config ouro_1.4b.json] [--formats bf16,q8_0,q4_0] [--loops 1,4] [--vocabulary]

Released llama.cpp has no Ouro. It has another looped architecture, Nanbeige 4.2 (`src/models/nanbeige.cpp`), that does the
same work: all layers run num_loops times with a KV slot per (loop, layer), the final norm follows every loop, and the head
is applied once. What it lacks are Ouro's two norms on the outputs of attention and MLP, 4 KB each of a layer's 103 MB, and
the exit gate: nothing that a timing would see. Every matrix, the head among them, has the format that the file's name says.

Needs numpy and gguf (requirements.txt).
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
FORMATS = {
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}
F32 = gguf.GGMLQuantizationType.F32


def shapes(c: dict) -> dict[str, tuple[int, ...]]:
    """Name and (outputs, inputs) of every tensor, in the file's order."""
    hidden, ff = c["hidden_size"], c["intermediate_size"]
    q, kv = (c[key] * c["head_dim"] for key in ("num_attention_heads", "num_key_value_heads"))
    result = {"token_embd": (c["vocab_size"], hidden)}
    for n in range(c["num_hidden_layers"]):
        result |= {
            f"blk.{n}.attn_norm": (hidden,),
            f"blk.{n}.attn_q": (q, hidden),
            f"blk.{n}.attn_k": (kv, hidden),
            f"blk.{n}.attn_v": (kv, hidden),
            f"blk.{n}.attn_output": (hidden, q),
            f"blk.{n}.ffn_norm": (hidden,),
            f"blk.{n}.ffn_gate": (ff, hidden),
            f"blk.{n}.ffn_up": (ff, hidden),
            f"blk.{n}.ffn_down": (hidden, ff),
        }
    result |= {"output_norm": (hidden,), "output": (c["vocab_size"], hidden)}
    return {f"{name}.weight": shape for name, shape in result.items()}


def open_writer(path: pathlib.Path, c: dict, loops: int, matrix: gguf.GGMLQuantizationType, vocabulary: bool) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(path, "nanbeige")
    writer.add_uint32("nanbeige.num_loops", loops)  # the gguf package has no names for these two yet
    writer.add_bool("nanbeige.skip_loop_final_norm", False)
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_key_length(c["head_dim"])
    writer.add_value_length(c["head_dim"])
    writer.add_rope_dimension_count(c["head_dim"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_vocab_size(c["vocab_size"])
    if vocabulary:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list([f"t{n}" for n in range(c["vocab_size"])])
        writer.add_token_types([gguf.TokenType.NORMAL] * c["vocab_size"])
        writer.add_token_merges(["t 0"])
        writer.add_eos_token_id(0)
    else:
        writer.add_tokenizer_model("none")
    for name, shape in shapes(c).items():
        dtype = matrix if len(shape) > 1 else F32
        size = math.prod(gguf.quant_shape_to_byte_shape(shape, dtype))
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer


def make(folder: pathlib.Path, config: pathlib.Path, formats: list[str], loops: list[int], vocabulary: bool = False) -> dict[tuple[str, int], pathlib.Path]:
    """The file of each (format, loops); makes those that are not there."""
    named = "-words" if vocabulary else ""
    paths = {(f, t): folder / f"{config.stem}-{f}-{t}loop{named}.gguf" for f in formats for t in loops}
    missing = {key: path for key, path in paths.items() if not path.exists()}
    if not missing:
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    c = json.loads(config.read_text())
    # A file gets its name when it is whole.
    writers = {
        key: open_writer(path.with_suffix(".partial"), c, key[1], FORMATS[key[0]], vocabulary)
        for key, path in missing.items()
    }
    generator = np.random.default_rng(0)
    for shape in shapes(c).values():
        if len(shape) == 1:
            data = np.ones(shape, dtype=np.float32)
            encoded = {f: data for f in formats}
        else:
            data = generator.standard_normal(shape, dtype=np.float32)
            data *= c.get("initializer_range", 0.02)
            encoded = {f: gguf.quantize(data, FORMATS[f]) for f in {key[0] for key in missing}}
        for (f, _), writer in writers.items():
            writer.write_tensor_data(encoded[f])
    for key, writer in writers.items():
        writer.close()
        missing[key].with_suffix(".partial").rename(missing[key])
    return paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=pathlib.Path, help="for the files, 10 GB in all")
    parser.add_argument("--config", type=pathlib.Path, default=HERE / "ouro_1.4b.json")
    parser.add_argument("--formats", type=lambda s: s.split(","), default=list(FORMATS))
    parser.add_argument("--loops", type=lambda s: [int(t) for t in s.split(",")], default=[1, 4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--vocabulary", action="store_true", help="name the tokens t0, t1, ..., so that a server can send them")
    a = parser.parse_args()
    for path in make(a.folder, a.config, a.formats, a.loops, a.vocabulary).values():
        print(path)


if __name__ == "__main__":
    main()
