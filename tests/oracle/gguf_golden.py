"""Golden GGUF files, made with llama.cpp's own Python package (gguf).

blocks.gguf: random blocks of every type that looplm reads and, as F32 tensors, what the package
makes of them. ouro.gguf, llama.gguf: golden checkpoints as llama.cpp's converter would write them,
in F32, query and key rows reordered; ouro.gate.safetensors: the gate that the converter drops.
tokenizer.gguf: the keys of a golden tokenizer.json.
"""

from __future__ import annotations

import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
OUT = GOLDEN / "gguf"
SEED = 7

# Where the scales of a block stand as halves.
HALVES = {
    "Q8_0": [0],
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "IQ4_NL": [0],
    "IQ4_XS": [0],
    "MXFP4": [],
}

NORMS = {
    "input_layernorm": gguf.MODEL_TENSOR.ATTN_NORM,
    "input_layernorm_2": gguf.MODEL_TENSOR.ATTN_POST_NORM,
    "post_attention_layernorm": gguf.MODEL_TENSOR.FFN_NORM,
    "post_attention_layernorm_2": gguf.MODEL_TENSOR.FFN_POST_NORM,
}


def half_bytes(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).view(np.uint8).reshape(len(values), 2)


def random_blocks(kind: gguf.GGMLQuantizationType, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random bytes, with finite scales of both signs where halves stand."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for place in HALVES[kind.name]:
        blocks[:, place : place + 2] = half_bytes(rng.normal(0, 0.02, count))
    return blocks


def write_blocks(path: pathlib.Path) -> None:
    rng = np.random.default_rng(SEED)
    writer = gguf.GGUFWriter(path, "blocks")
    columns, rows = 512, 2
    values = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    for name in ("F32", "F16", "BF16", *HALVES):
        kind = gguf.GGMLQuantizationType[name]
        per_block = gguf.GGML_QUANT_SIZES[kind][0]
        if per_block == 1:
            data = gguf.quants.quantize(values, kind)
        else:
            data = random_blocks(kind, rows * columns // per_block, rng).reshape(rows, -1)
        expected = gguf.quants.dequantize(data, kind).astype(np.float32).reshape(rows, columns)
        writer.add_tensor(name, data, raw_dtype=kind)
        writer.add_tensor(f"{name}.expected", expected)
    finish(writer)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def reordered(weight: np.ndarray, heads: int) -> np.ndarray:
    """Halves of each head interleaved, for a RoPE that turns neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_model(case: str, path: pathlib.Path) -> None:
    source = GOLDEN / "model" / case
    config = json.loads((source / "config.json").read_text())
    tensors = load_file(source / "model.safetensors")
    arch = config["model_type"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads

    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if arch == "ouro":
        writer.add_uint32("ouro.num_loops", config["total_ut_steps"])
        writer.add_bool("ouro.skip_loop_final_norm", False)
    writer.add_token_list([f"<{i}>" for i in range(config["vocab_size"])])

    # Llama's block has all names but the two norms behind the parts, which are added below.
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for name, weight in tensors.items():
        if name.startswith("model.early_exit_gate"):
            continue
        if name.endswith("q_proj.weight"):
            weight = reordered(weight, heads)
        if name.endswith("k_proj.weight"):
            weight = reordered(weight, kv_heads)
        parts = name.split(".")
        if arch == "ouro" and parts[1] == "layers" and parts[3] in NORMS:
            stored = gguf.TENSOR_NAMES[NORMS[parts[3]]].format(bid=parts[2]) + ".weight"
        else:
            stored = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(stored, np.ascontiguousarray(weight))
    finish(writer)

    gate = {k: v for k, v in tensors.items() if k.startswith("model.early_exit_gate")}
    if gate:
        save_file(gate, path.with_suffix(".gate.safetensors"))


def write_tokenizer(case: str, pre: str, path: pathlib.Path) -> None:
    """The keys of a tokenizer.json, and no tensor."""
    source = json.loads((GOLDEN / "text" / case / "tokenizer.json").read_text())
    special = {token["id"] for token in source["added_tokens"] if token["special"]}
    vocabulary = sorted(source["model"]["vocab"].items(), key=lambda item: item[1])
    writer = gguf.GGUFWriter(path, "ouro")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([text for text, _ in vocabulary])
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if i in special else kinds.NORMAL for _, i in vocabulary])
    merges = source["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    finish(writer)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    write_tokenizer("smollm", "smollm", OUT / "tokenizer.gguf")
    write_blocks(OUT / "blocks.gguf")
    for model in ("ouro", "llama"):
        write_model(model, OUT / f"{model}.gguf")
