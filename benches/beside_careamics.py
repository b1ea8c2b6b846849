#!/usr/bin/env python3
"""Noise2Noise on the same noisy pairs and for the same time as CAREamics, side by side on the CPU, as a table in Markdown.

    python3 benches/beside_careamics.py --binary target/release/n2n-gpu --held-out PHOTOS... -- PHOTOS... [--minutes 10]

Of each of the photographs (thirty, if as many are given) the centre of 512 x 512 pixels gets Gaussian noise twice, in 8 bits. Both programs
train on these pairs with their defaults (CAREamics on patches of 64 x 64 in batches of 16, as its guide has them) for `--minutes`, then denoise noisy
centres of the photographs held out. PSNR of 8-bit pictures, mean over them; memory is the largest resident set of training.
Needs: pip install pillow numpy careamics (0.3)
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 512


def centre(path):
    picture = Image.open(path).convert("RGB")
    left, top = [(size - SIDE) // 2 for size in picture.size]
    return np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)))


def large(paths):
    return [path for path in paths if min(Image.open(path).size) >= SIDE]


def careamics(folder, minutes):
    """Trains and denoises with CAREamics: in a process of its own."""
    from careamics import CAREamist
    from careamics.config import create_advanced_n2n_config

    config = create_advanced_n2n_config(
        experiment_name="pairs",
        data_type="array",
        axes="SYXC",
        patch_size=[64, 64],
        batch_size=16,
        num_epochs=100_000,
        n_channels_in=3,
        num_workers=0,
        trainer_params={"max_time": {"seconds": round(60 * minutes)}, "accelerator": "cpu"},
    )
    trainer = CAREamist(config, work_dir=folder / "careamics", enable_progress_bar=False)
    a, b = (np.load(folder / f"{name}.npy") for name in "ab")
    trainer.train(train_data=a, train_data_target=b)
    denoised, _ = trainer.predict(np.load(folder / "noisy.npy"), batch_size=1)
    pictures = np.concatenate([picture.reshape(-1, SIDE, SIDE, 3) for picture in denoised])
    np.save(folder / "careamics.npy", pictures)


def run(command):
    """Runs a command to its end; its largest resident set in MiB."""
    process = subprocess.Popen([str(part) for part in command], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--held-out", nargs="+", type=Path)
    parser.add_argument("--binary")
    parser.add_argument("--noise", type=float, default=25, help="standard deviation, of 255")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--careamics", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.careamics:
        return careamics(arguments.careamics, arguments.minutes)
    random = np.random.default_rng(arguments.seed)

    def noisy(clean):
        return np.clip(np.round(clean + random.normal(0, arguments.noise, clean.shape)), 0, 255).astype(np.uint8)

    def psnr(pictures):
        pictures = np.clip(np.round(pictures), 0, 255)
        return np.mean([-10 * np.log10(np.mean((x - y) ** 2) / 255**2) for x, y in zip(pictures, clean)])

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scenes = [centre(path) for path in large(arguments.photos)[:30]]
        clean = np.stack([centre(path) for path in large(arguments.held_out)]).astype(float)
        sets = {name: np.stack([noisy(scene) for scene in scenes]) for name in "ab"}
        sets["noisy"] = noisy(clean)
        for name, pictures in sets.items():
            np.save(folder / f"{name}.npy", pictures)
            (folder / name).mkdir()
            for i, picture in enumerate(pictures):
                Image.fromarray(picture).save(folder / name / f"{i:02}.png")

        print("| program | PSNR, dB | memory, MiB |\n|---|---|---|")
        print(f"| none | {psnr(sets['noisy']):.2f} | |", flush=True)
        memory = run([sys.executable, __file__, "--careamics", folder, "--minutes", arguments.minutes])
        print(f"| CAREamics | {psnr(np.load(folder / 'careamics.npy')):.2f} | {memory:.0f} |", flush=True)
        train = [arguments.binary, "train", "--pairs", folder / "a", folder / "b", "--out", folder / "run", "--device", "cpu"]
        memory = run([*train, "--minutes", arguments.minutes])
        model = folder / "run" / "best.safetensors"
        run([arguments.binary, "denoise", folder / "noisy", "-o", folder / "ours", "--model", model, "--strength", 1, "--device", "cpu"])
        ours = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "ours").iterdir())])
        print(f"| n2n-gpu | {psnr(ours.astype(float)):.2f} | {memory:.0f} |", flush=True)
    return None


if __name__ == "__main__":
    main()
