#!/usr/bin/env python3
"""Time per pixel and memory of `n2n-gpu denoise` from small pictures to large ones, as a table in Markdown.

    python3 benches/denoise.py target/release/n2n-gpu run/best.safetensors [--device cpu] [--sizes 256x256,1024x1024]

Memory is the most that was resident, less twice the 8 bit samples of the picture: what was read and what is written. A PNG and a
JPEG are measured at 6000x4000. Sizes are gone through again in every round, so that a busy machine slows all of them; the table
has the medians. Linux only. Needs: pip install pillow
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

Image.MAX_IMAGE_PIXELS = None
SIZES = "256x256,1024x1024,4096x2160,6000x4000,6000x4000.jpg,8192x4320"


def picture(size, folder):
    """A photograph enlarged, with noise that does not compress."""
    name, _, kind = size.partition(".")
    width, height = map(int, name.split("x"))
    photo = Image.open(Path(__file__).parents[1] / "assets" / "singapore.jpg").convert("RGB").resize((width, height))
    noise = Image.merge("RGB", [Image.effect_noise((width, height), 25) for _ in range(3)])
    path = Path(folder) / f"{name}.{kind or 'png'}"
    Image.blend(photo, noise, 0.2).save(path, compress_level=1, quality=92)
    return path, width * height


def denoise(binary, model, device, path):
    """Seconds that the program took for the picture, and the most memory that was resident, in MiB."""
    command = [binary, "denoise", path, "-o", path.with_stem("out"), "--model", model, "--device", device, "--json", "--quiet"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    result = json.loads(child.stdout.read())
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return result["files"][0]["seconds"], usage.ru_maxrss / 1024


parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("model")
parser.add_argument("--device", default="cpu")
parser.add_argument("--sizes", default=SIZES)
parser.add_argument("--rounds", type=int, default=3)
options = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    pictures = {size: picture(size, folder) for size in options.sizes.split(",")}
    runs = {size: [] for size in pictures}
    for _ in range(options.rounds):
        for size, (path, _) in pictures.items():
            runs[size].append(denoise(options.binary, options.model, options.device, path))
    print("| picture | s | ns per pixel | resident, MiB | beside the picture, MiB |\n|---|---|---|---|---|")
    for size, (_, pixels) in pictures.items():
        seconds = statistics.median(s for s, _ in runs[size])
        memory = max(m for _, m in runs[size])
        own = 2 * 3 * pixels / 2**20
        print(f"| {size} | {seconds:.2f} | {seconds / pixels * 1e9:.0f} | {memory:.0f} | {memory - own:.0f} |")
