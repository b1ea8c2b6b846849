"""State dicts as PyTorch programs save them, for `n2n-gpu import`, with what the networks make of two pictures.

    pip install -r requirements.txt
    python make_import.py [--seed 1] [--width 12] [--out DIR]

Each network is saved as <name>.pth with the prefix `unet.` of the first report's published file, in single precision.
expected.safetensors holds "<name>/<size>/input" (H, W, 3), bytes, and "<name>/<size>/output", floats on the range 0 to 255:
padded by reflection at the right and at the bottom to a multiple of 32, and cropped again. tests/import.rs reads both; with
--width 48 the stand-in for the published U-Net has its names, shapes and size (36 tensors, 3.1 MB), and the test
reads it from the folder named by N2N_IMPORT_DATA.
"""
import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import nets


def padded(net, picture, low, high):
    """The network's result for a picture (H, W, 3) of bytes whose range is low to high for the network."""
    h, w, _ = picture.shape
    x = picture.permute(2, 0, 1)[None].double() / 255 * (high - low) + low
    x = F.pad(x, (0, -w % 32, 0, -h % 32), mode="reflect")
    y = (net(x)[0, :, :h, :w] - low) / (high - low) * 255
    return y.permute(1, 2, 0).float().contiguous()


def main():
    parser = argparse.ArgumentParser(description="Writes state dicts and what the networks make of two pictures.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "import")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    cases = {
        "epfl-unet": (nets.EpflUNet(args.width, True), 0, 255),
        "epfl-resunet": (nets.EpflResUNet(args.width, False, "maxpool", False), 0, 255),
        "n2n-unet": (nets.N2nUNet(args.width), -0.5, 0.5),
    }
    expected = {}
    for name, (net, low, high) in cases.items():
        for key, p in net.named_parameters():
            if p.dim() == 4:
                nn.init.xavier_normal_(p)
            else:  # gamma near 1, biases and beta near 0 but large enough to matter
                nn.init.normal_(p, mean=float("bn" in key and key.endswith("weight")), std=0.05 * (high - low))
        state = {f"unet.{key}": p.detach().float() for key, p in net.state_dict().items()}
        torch.save(state, args.out / f"{name}.pth")
        net = net.double()
        for h, w in (64, 96), (45, 37):
            picture = torch.randint(0, 256, (h, w, 3), dtype=torch.uint8)
            expected[f"{name}/{h}x{w}/input"] = picture
            with torch.no_grad():
                expected[f"{name}/{h}x{w}/output"] = padded(net, picture, low, high)
        print(f"{name}: {len(state)} tensors, {sum(p.numel() for p in state.values())} parameters")
    save_file(expected, args.out / "expected.safetensors")


if __name__ == "__main__":
    main()
