"""State dicts as PyTorch programs save them, for `n2n-gpu import`, with what the networks make of two pictures.

    pip install -r requirements.txt
    python make_import.py [--seed 1] [--width 12] [--out DIR]

Each network is saved as <name>.pth with the prefix `unet.` of the first report's published file, in single precision.
expected.safetensors holds "<name>/<size>/input" (H, W, 3), bytes, and "<name>/<size>/output", floats on the range 0 to 255:
padded by reflection at the right and at the bottom to a multiple of what the network divides by, and cropped again. tests/import.rs reads both; with
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


def padded(net, picture, divisor, inputs, outputs):
    """The network's result for a picture (H, W, 3) of bytes, whose black and white are `inputs` to it and `outputs` from it."""
    h, w, _ = picture.shape
    x = picture.permute(2, 0, 1)[None].double() / 255 * (inputs[1] - inputs[0]) + inputs[0]
    x = F.pad(x, (0, -w % divisor, 0, -h % divisor), mode="reflect")
    y = (net(x)[0, :, :h, :w] - outputs[0]) / (outputs[1] - outputs[0]) * 255
    return y.permute(1, 2, 0).float().contiguous()


def fill(net, scale):
    """Parameters, and statistics that BatchNorm keeps, as a training might leave them."""
    for name, p in [*net.named_parameters(), *net.named_buffers()]:
        if p.dim() == 4:
            nn.init.xavier_normal_(p)
        elif name.endswith("running_var"):
            nn.init.uniform_(p, 0.5, 1.5)
        elif p.dim() == 1:  # gamma near 1, biases, beta and means near 0 but large enough to matter
            gamma = name.endswith("weight")
            nn.init.normal_(p, mean=float(gamma), std=0.05 * (1 if gamma else scale))


def main():
    parser = argparse.ArgumentParser(description="Writes state dicts and what the networks make of two pictures.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "import")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    grey, half, normalised, unit = (0, 255), (-0.5, 0.5), (-2, 2), (0, 1)
    cases = {
        "epfl-unet": (nets.EpflUNet(args.width, True), 32, grey, grey),
        "epfl-resunet": (nets.EpflResUNet(args.width, False, "maxpool", False), 32, grey, grey),
        "n2n-unet": (nets.N2nUNet(args.width), 32, half, half),
        "unet": (nets.UNet(args.width, 2, "batch"), 4, half, half),
        "epfl-convnet": (nets.EpflConvNet(), 4, normalised, unit),
    }
    expected = {}
    for name, (net, divisor, inputs, outputs) in cases.items():
        fill(net, inputs[1] - inputs[0])
        net.eval()
        state = {f"unet.{key}": p.detach().clone() for key, p in net.state_dict().items()}
        torch.save(state, args.out / f"{name}.pth")
        net = net.double()
        for h, w in (64, 96), (45, 37):
            picture = torch.randint(0, 256, (h, w, 3), dtype=torch.uint8)
            expected[f"{name}/{h}x{w}/input"] = picture
            with torch.no_grad():
                expected[f"{name}/{h}x{w}/output"] = padded(net, picture, divisor, inputs, outputs)
        print(f"{name}: {len(state)} tensors, {sum(p.numel() for p in state.values())} parameters")
    save_file(expected, args.out / "expected.safetensors")


if __name__ == "__main__":
    main()
