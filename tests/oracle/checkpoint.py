"""Tiny random checkpoints in Hugging Face's layout: config.json and model.safetensors."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable

import numpy as np
import torch
from safetensors.torch import save_file

from model import Config, Parameters

STORED_TYPES = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16,
}


def parameter_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Checkpoint names in the order of the model, matrices as (out, in)."""
    hidden, mlp = config.hidden_size, config.intermediate_size
    query, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    block: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (mlp, hidden),
        "mlp.up_proj": (mlp, hidden),
        "mlp.down_proj": (hidden, mlp),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    if config.sandwich:
        block["input_layernorm_2"] = block["post_attention_layernorm_2"] = (hidden,)

    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden)
    }
    for layer in range(config.layers):
        for name, shape in block.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    shapes["model.norm.weight"] = (hidden,)
    if config.exit_gate:
        shapes["model.early_exit_gate.weight"] = (1, hidden)
        shapes["model.early_exit_gate.bias"] = (1,)
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, hidden)
    return shapes


def random_parameters(
    config: Config, seed: int, std: float = 0.2, gate_bias: float = -0.5
) -> Parameters:
    """Parameters in the stored dtype. `std` is large, so that loops and gates differ visibly.

    NumPy draws them: unlike PyTorch's, its named generators keep their streams over versions.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    parameters = {}
    for name, shape in parameter_shapes(config).items():
        values = draw.standard_normal(shape)
        if name == "model.early_exit_gate.bias":
            values = np.full(shape, gate_bias)
        elif len(shape) == 1:
            values = 1 + 0.25 * values  # RMSNorm scales
        elif name == "model.embed_tokens.weight":
            values = 0.5 * values  # so that the token still shows next to normed sub-layer outputs
        else:
            values = std * values
        parameters[name] = torch.from_numpy(values).to(STORED_TYPES[config.dtype])
    return parameters


def as_dtype(parameters: Parameters, dtype: torch.dtype) -> Parameters:
    return {name: value.to(dtype) for name, value in parameters.items()}


def config_json(config: Config) -> dict[str, object]:
    """config.json as the model type's Hugging Face code reads it.

    looplm's own keys stand only where the structure is not the model type's own.
    """
    ouro = config.model_type == "ouro"
    prefix = "Ouro" if ouro else "Llama"
    native = (
        (config.sandwich, config.exit_gate, config.norm_between_loops) == (True, True, True)
        if ouro
        else (config.sandwich, config.exit_gate, config.loops) == (False, False, 1)
    )
    result: dict[str, object] = {}
    if native:
        result["architectures"] = [f"{prefix}ForCausalLM"]
    result["model_type"] = config.model_type
    if native and ouro:
        result["auto_map"] = {
            "AutoConfig": "configuration_ouro.OuroConfig",
            "AutoModel": "modeling_ouro.OuroModel",
            "AutoModelForCausalLM": "modeling_ouro.OuroForCausalLM",
        }
    result |= {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rms_norm_eps": config.rms_norm_eps,
        "initializer_range": config.initializer_range,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "tie_word_embeddings": config.tie_embeddings,
        "use_cache": True,
    }
    if ouro:
        result |= {
            "use_sliding_window": False,
            "sliding_window": None,
            "max_window_layers": config.layers,
            "layer_types": ["full_attention"] * config.layers,
            "total_ut_steps": config.loops,
            "early_exit_threshold": 1.0,
        }
    if not config.norm_between_loops:
        result["norm_between_loops"] = False
    if config.sandwich != ouro:
        result["norm_placement"] = "sandwich" if config.sandwich else "pre"
    if config.exit_gate != ouro:
        result["exit_gate"] = config.exit_gate
    result |= {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    result["torch_dtype"] = config.dtype
    return result


def save_checkpoint(config: Config, parameters: Parameters, directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    write_json(config_json(config), directory / "config.json")
    save_file(parameters, directory / "model.safetensors", metadata={"format": "pt"})


def save_expected(tensors: dict[str, torch.Tensor], path: pathlib.Path) -> None:
    """Rounds what was computed in float64 to float32, once."""
    rounded = {name: value.detach().float().contiguous() for name, value in tensors.items()}
    save_file(rounded, path)


def digits(values: Iterable[float]) -> list[float]:
    """Rounded, so that another machine's order of summation does not show in the files."""
    return [float(f"{value:.10g}") for value in values]


def write_json(value: object, path: pathlib.Path) -> None:
    """Objects and lists of objects over several lines, lists of numbers on one."""

    def text(x: object, indent: str) -> str:
        inner = indent + "  "
        if isinstance(x, dict) and x:
            items = [f"{inner}{json.dumps(key)}: {text(v, inner)}" for key, v in x.items()]
            return "{\n" + ",\n".join(items) + f"\n{indent}}}"
        if isinstance(x, list) and any(isinstance(item, (dict, list)) for item in x):
            return "[\n" + ",\n".join(inner + text(item, inner) for item in x) + f"\n{indent}]"
        return json.dumps(x)

    path.write_text(text(value, "") + "\n")
