#!/usr/bin/env python3
"""Photographs as another camera than ours takes them, to judge denoisers of camera noise, as a table in Markdown.

    python3 benches/camera.py --binary target/release/n2n-gpu PHOTOS... [--model photo] [--save DIR] [--others]

A photograph is taken back to the light of a sensor (white balance and colour matrix of Brooks et al. 2019's ranges, their middle), counted as
photons with read noise through a Bayer mosaic, developed by Menon's demosaicking (2007), which the network has not been trained with, and saved
as a JPEG of quality 92 by libjpeg. Nothing here is shared with the program. `--white` is the electrons of a white pixel; `--others` measures
OpenCV's non-local means and BM3D beside it. PSNR of 8-bit pictures, mean over the photographs.
Needs: pip install pillow numpy colour-demosaicing; for --others opencv-python-headless bm3d
"""
import argparse
import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from colour_demosaicing import demosaicing_CFA_Bayer_Menon2007, mosaicing_CFA_Bayer
from PIL import Image

BALANCE = np.array([2.1, 1.0, 1.7])
MATRIX = np.array([[1.65, -0.50, -0.15], [-0.20, 1.45, -0.25], [0.02, -0.52, 1.50]])


def decode(v):
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def encode(v):
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.maximum(v, 0.0031308) ** (1 / 2.4) - 0.055)


def photograph(clean, white, read, quality, random):
    """A noisy JPEG of a clean picture (H, W, 3) of bytes, decoded."""
    light = decode(clean / 255.0) @ np.linalg.inv(MATRIX).T / BALANCE
    raw = mosaicing_CFA_Bayer(np.maximum(light, 0), "RGGB") * white
    raw = (random.poisson(raw) + random.normal(0, read, raw.shape)) / white
    rgb = demosaicing_CFA_Bayer_Menon2007(np.minimum(raw, 1), "RGGB") * BALANCE @ MATRIX.T
    picture = Image.fromarray((np.clip(encode(rgb), 0, 1) * 255 + 0.5).astype(np.uint8))
    if not quality:
        return picture
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def psnr(a, b):
    return -10 * np.log10(np.mean((a.astype(float) - b) ** 2) / 255**2)


def others(noisy):
    import bm3d
    import cv2

    sigma = np.median(np.abs(np.diff(noisy.astype(float), axis=1, n=2))) / 0.6745 / 6**0.5
    yield "non-local means (OpenCV)", cv2.fastNlMeansDenoisingColored(noisy, None, sigma, sigma, 7, 21)
    yield "BM3D", np.clip(bm3d.bm3d_rgb(noisy / 255.0, sigma / 255.0) * 255 + 0.5, 0, 255).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--model", action="append", help="a built-in name or a file; may be given again [default: photo]")
    parser.add_argument("--white", type=float, action="append", help="electrons of a white pixel; may be given again [default: 2000, 500 and 125]")
    parser.add_argument("--read", type=float, default=2.0, help="read noise, electrons")
    parser.add_argument("--quality", type=int, default=92, help="of the JPEG; 0: 8 bits, without JPEG")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, help="folder for the pictures")
    parser.add_argument("--others", action="store_true")
    arguments = parser.parse_args()
    print("| white, electrons | denoiser | noisy, dB | denoised, dB | gain, dB |\n|---|---|---|---|---|")
    for white in arguments.white or [2000, 500, 125]:
        random = np.random.default_rng(arguments.seed)
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.save or Path(temporary)) / f"white-{white:g}"
            (folder / "noisy").mkdir(parents=True, exist_ok=True)
            clean, noisy, found = {}, {}, {}
            for path in arguments.photos:
                clean[path.stem] = np.asarray(Image.open(path).convert("RGB"))
                picture = photograph(clean[path.stem], white, arguments.read, arguments.quality, random)
                picture.save(folder / "noisy" / f"{path.stem}.png")
                noisy[path.stem] = np.asarray(picture)
            for model in arguments.model or ["photo"]:
                out = folder / Path(model).name
                command = [arguments.binary, "denoise", folder / "noisy", "-o", out, "--model", model, "--json", "--quiet"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                found[model] = [psnr(np.asarray(Image.open(out / f"{name}.png")), clean[name]) for name in clean]
            if arguments.others:
                for name, picture in noisy.items():
                    for other, denoised in others(picture):
                        found.setdefault(other, []).append(psnr(denoised, clean[name]))
            before = np.mean([psnr(noisy[name], clean[name]) for name in clean])
            for name, after in found.items():
                print(f"| {white:g} | {name} | {before:.2f} | {np.mean(after):.2f} | {np.mean(after) - before:+.2f} |", flush=True)


if __name__ == "__main__":
    main()
