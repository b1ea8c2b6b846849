#!/usr/bin/env python3
"""How soon training on very many files begins, and the memory that it takes.

    python3 benches/supply.py --binary target/release/n2n-gpu [--files 100000] [--steps 2000] [-- TRAINING OPTIONS]

Makes some hundred JPEG and PNG pictures of mixed sizes (NumPy and Pillow), and hard links to them in folders within folders until there are
as many files as wanted; trains on them on the CPU with a small network. `start` is all of the program's time that is not training: from the
call to the first step, and after the last one. The memory is what /proc has as the highest that was resident.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = 300


def make(folder, count):
    """Hard links to pictures of 64 to 1500 pixels a side."""
    random = np.random.default_rng(1)
    originals = folder / "originals"
    originals.mkdir()
    sources = []
    for i in range(PICTURES):
        width, height = (int(v) for v in np.exp(random.uniform(np.log(64), np.log(1500), 2)))
        y, x = np.mgrid[0:height, 0:width]
        waves = [128 + 80 * np.sin(x * random.uniform(0.01, 0.2) + y * random.uniform(0.01, 0.2)) for _ in range(3)]
        pixels = np.stack(waves, -1) + random.normal(0, 8, (height, width, 3))
        sources.append(originals / f"{i}.{'png' if i % 4 == 0 else 'jpg'}")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(sources[-1])
    photos = folder / "photos"
    for i in range(count):
        place = photos / f"{i // 10000:02}" / f"{i // 500 % 20:02}"
        if i % 500 == 0:
            place.mkdir(parents=True)
        source = sources[int(random.integers(PICTURES))]
        os.link(source, place / f"{i:06}{source.suffix}")
    return photos


def resident(pid):
    """The most memory that was resident so far, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=2000)
    own, rest = (sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]) if "--" in sys.argv else (sys.argv[1:], [])
    options = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as folder:
        photos = make(Path(folder), options.files)
        run = Path(folder) / "run"
        words = [options.binary, "train", photos, "--recursive", "--noise", "gaussian:25", "--out", run, "--device", "cpu"]
        words += ["--width", 8, "--levels", 2, "--steps", options.steps, "--json", *rest]
        called = time.monotonic()
        with subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True) as training:
            peak = 0.0
            while training.poll() is None:
                peak = max(peak, resident(training.pid))
                time.sleep(0.02)
            done = json.loads(training.stdout.read())
        taken = time.monotonic() - called
    print("| files | start, s | memory, MiB | steps | all, s |\n|---|---|---|---|---|")
    print(f"| {options.files} | {taken - done['seconds']:.1f} | {peak:.0f} | {options.steps} | {taken:.0f} |")


main()
