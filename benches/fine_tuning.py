#!/usr/bin/env python3
"""What fine-tuning a model on bursts of one camera brings on other photographs of that camera, as a table in Markdown.

    python3 benches/fine_tuning.py --binary target/release/n2n-gpu --held-out PHOTOS... -- PHOTOS...

The camera is that of camera.py, which no model in the box has been trained with. Of each of the photographs (twenty, if as many are given) it takes
four shots, cut to 512 pixels a side: `train --from MODEL --burst` learns from these alone for `--minutes`. Both models then denoise one shot of each
photograph held out. PSNR of 8-bit pictures, mean over the photographs: against the mean of sixteen more shots, which is what this camera shows without
noise, and against the photograph itself, of which the camera's false colours and its curve's bias are kept in every shot, so that no burst tells of them.
Needs: pip install pillow numpy colour-demosaicing
"""
import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from camera import photograph, psnr
from PIL import Image

SHOTS = 4
MORE_SHOTS = 16
SIDE = 512


def centre(path):
    picture = Image.open(path).convert("RGB")
    left, top = [max(0, (size - SIDE) // 2) for size in picture.size]
    # A mosaic has whole squares of 2 x 2.
    right, bottom = [first + min(size, SIDE) // 2 * 2 for first, size in zip((left, top), picture.size)]
    return np.asarray(picture.crop((left, top, right, bottom)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--held-out", nargs="+", type=Path, required=True)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--white", type=float, default=470, help="electrons of a white pixel")
    parser.add_argument("--read", type=float, default=2.0, help="read noise, electrons")
    parser.add_argument("--quality", type=int, default=92, help="of the JPEG; 0: 8 bits, without JPEG")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--options", default="", help="more options of train")
    parser.add_argument("--save", type=Path, help="folder for pictures and run")
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)

    def shot(clean):
        return photograph(clean, arguments.white, arguments.read, arguments.quality, random)

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.save or Path(temporary)
        for path in arguments.photos[:20]:
            scene = folder / "bursts" / path.stem
            scene.mkdir(parents=True)
            for number in range(SHOTS):
                shot(centre(path)).save(scene / f"{number}.png")
        (folder / "noisy").mkdir()
        clean = {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in arguments.held_out}
        mean = {}
        for name, picture in clean.items():
            shot(picture).save(folder / "noisy" / f"{name}.png")
            mean[name] = np.mean([np.asarray(shot(picture)) for _ in range(MORE_SHOTS)], axis=0)

        run = folder / "run"
        command = [arguments.binary, "train", "--from", arguments.model, "--burst", folder / "bursts", "--out", run]
        subprocess.run([*command, "--minutes", str(arguments.minutes), "--device", "cpu", *arguments.options.split()], check=True)

        def row(name, pictures):
            found = {name: np.asarray(Image.open(pictures / f"{name}.png")) for name in clean}
            scores = [np.mean([psnr(found[name], of[name]) for name in clean]) for of in (mean, clean)]
            print(f"| {name} | {scores[0]:.2f} | {scores[1]:.2f} |", flush=True)

        print("| denoiser | against more shots, dB | against the photographs, dB |\n|---|---|---|")
        row("none", folder / "noisy")
        for name, model in [(arguments.model, arguments.model), ("fine-tuned", run / "best.safetensors")]:
            out = folder / name.replace("/", "-")
            command = [arguments.binary, "denoise", folder / "noisy", "-o", out, "--model", model, "--strength", "1"]
            subprocess.run([*command, "--device", "cpu", "--quiet"], check=True)
            row(name, out)


if __name__ == "__main__":
    main()
