"""Small files of tensors from PyTorch, NumPy and safetensors, and beside them what must be read from them.

    pip install -r requirements.txt
    python make_files.py [--seed 1] [--out DIR]          writes the files to DIR, by default files/

expected.safetensors holds each tensor of each file as a contiguous one, "<file>/<path>": keys and indices joined by dots.
"float/<file>/<path>" is the same in float32.
"""
import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

TYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
         torch.float16, torch.bfloat16, torch.float32, torch.float64]


def pictures(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def flatten(value, path):
    """Tensors by path."""
    if isinstance(value, torch.Tensor):
        yield path, value.detach().contiguous()
    elif isinstance(value, np.ndarray):
        value = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        yield path, torch.from_numpy(value)
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from flatten(item, f"{path}.{key}" if "/" in path else f"{path}/{key}")


def views():
    base = torch.randn(4, 6, 5)
    storage = torch.arange(24, dtype=torch.float32)
    return {
        "transposed": base.transpose(0, 2),
        "part": base[1:3, ::2, 1:4],
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "expanded": torch.randn(3, 1).expand(3, 4),
        "first": storage[:12].view(3, 4),
        "second": storage[12:],
        "whole": storage,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
    }


def torch_files():
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), up=nn.ConvTranspose2d(4, 2, 2), norm=nn.BatchNorm2d(2)))
    parameters = OrderedDict(net.named_parameters())
    parameters["tied"] = parameters["conv.bias"]
    types = {str(t).split(".")[1]: (torch.randn(3, 4) * 50).to(t) for t in TYPES}
    nested = {
        "state_dict": net.state_dict(), "epoch": 3, "steps": 5_000_000_000, "debt": -70_000, "loss": 0.25, "best": True,
        "name": "naïve", "scheduler": None, "dtype": torch.float16, "size": torch.Size([1, 2, 3]),
        "state": {0: [torch.ones(2), (torch.zeros(1), False)], 300: []},
    }
    return {
        "pairs.pkl": (pictures(5, 3, 4, 6), pictures(5, 3, 4, 6)),
        "dict.pt": {"noisy": pictures(3, 4, 6, 3), "clean": pictures(3, 4, 6, 3)},
        "grey.pt": [pictures(3, 1, 4, 6), pictures(3, 4, 6)],
        "state.pth": net.state_dict(),
        "parameters.pth": parameters,
        "views.pth": views(),
        "types.pth": types,
        "nested.pth": nested,
    }


def numpy_files(out):
    cube = np.random.default_rng(torch.initial_seed()).standard_normal((2, 3, 4))
    arrays = {
        "c.npy": cube.astype("<f4"),
        "fortran.npy": np.asfortranarray(cube),
        "big_endian.npy": (cube * 1000).astype(">i4"),
        "half.npy": np.asfortranarray(cube.astype("<f2")),
        "scalar.npy": np.array(7, dtype="<i8"),
        "both.npy": pictures(2, 3, 4, 6, 3).numpy(),
    }
    for name, array in arrays.items():
        np.save(out / name, array)
    for name, save in [("pairs.npz", np.savez), ("packed.npz", np.savez_compressed)]:
        arrays[name] = {"y": pictures(3, 3, 4, 6).numpy(), "x": pictures(3, 3, 4, 6).numpy()}
        save(out / name, **arrays[name])
    return arrays


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "files")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)

    files = torch_files()
    for name, value in files.items():
        torch.save(value, args.out / name)
    torch.save(files["pairs.pkl"], args.out / "old_format.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.zeros(2, dtype=torch.complex64), args.out / "complex.pth")
    torch.jit.script(nn.Conv2d(1, 1, 1)).save(str(args.out / "script.pt"))
    np.save(args.out / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    files["tensors.safetensors"] = {"target": pictures(3, 3, 4, 6), "input": pictures(3, 3, 4, 6)}
    save_file(files["tensors.safetensors"], args.out / "tensors.safetensors")
    files.update(numpy_files(args.out))

    expected = {path: tensor for name, value in files.items() for path, tensor in flatten(value, name)}
    expected.update({f"float/{path}": tensor.to(torch.float32) for path, tensor in expected.items()})
    save_file({path: tensor.clone() for path, tensor in expected.items()}, args.out / "expected.safetensors")


if __name__ == "__main__":
    main()
