"""Makes the golden files of this folder with the reference implementations (safetensors, torch, numpy).

python3 make_golden.py [FOLDER]    writes them
python3 make_golden.py --check DIR loads a directory that looplm wrote and prints names, shapes and sums
"""

import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def make(folder: pathlib.Path) -> None:
    tensors = {
        "f32": torch.tensor([[1.5, -2.25, 3.0], [0.0, -0.0, 1e-30]], dtype=torch.float32),
        "bf16": torch.tensor([1.0, -3.140625, 65280.0, 1e-38], dtype=torch.bfloat16),
        "f16": torch.tensor([[0.5], [65504.0], [6e-8]], dtype=torch.float16),
        "i64": torch.tensor([7], dtype=torch.int64),
        "scalar": torch.tensor(42.0),
        "empty": torch.zeros(0, 5),
    }
    save_file(tensors, folder / "python.safetensors", metadata={"note": "gänse"})
    np.save(folder / "numpy_matrix.npy", np.arange(6, dtype=np.float32).reshape(2, 3) / 4)
    np.save(folder / "numpy_vector.npy", np.array([0.5, -1, 2], dtype=np.float32))
    np.save(folder / "numpy_cube.npy", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    np.save(folder / "numpy_scalar.npy", np.array(3, dtype=np.float32))
    # A header of exactly 128 bytes before padding.
    np.save(folder / "numpy_boundary.npy", np.ones((1,) * 13 + (100,), dtype=np.float32))


def check(directory: pathlib.Path) -> None:
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            print(path.name, "metadata", file.metadata())
        for name, tensor in sorted(load_file(path).items()):
            print(name, tensor.dtype, list(tensor.shape), tensor.double().sum().item())


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        check(pathlib.Path(sys.argv[2]))
    else:
        make(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
