#!/usr/bin/env python3
"""Time per pixel and memory of `n2n-gpu denoise` from small pictures to large ones, as a table in Markdown.

    python3 benches/denoise.py target/release/n2n-gpu run/best.safetensors [--device cpu] [--sizes 256x256,1024x1024]

Memory is the most that was resident, less twice the 8 bit samples of the picture: what was read and what is written. A PNG and a
JPEG are measured at 6000x4000. Sizes are gone through again in every round, so that a busy machine slows all of them; the
table has the medians. Seconds of all cores tell more than the clock where others use the machine. Linux only. Needs: pip install pillow
"""
import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
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
    """Seconds for the picture, seconds of all cores for the whole command, and the most memory that was resident, in MiB."""
    command = [binary, "denoise", path, "-o", path.with_stem("out"), "--force", "--model", model, "--device", device, "--json", "--quiet"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    result = json.loads(child.stdout.read())
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return result["files"][0]["seconds"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


parser = argparse.ArgumentParser()
parser.add_argument("binary")
parser.add_argument("model")
parser.add_argument("--device", default="cpu")
parser.add_argument("--sizes", default=SIZES)
parser.add_argument("--rounds", type=int, default=3)
options = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    sizes = options.sizes.split(",")
    # In a process of its own: what is resident of this one when a child is started would count as the child's.
    with multiprocessing.Pool(1) as pool:
        pictures = dict(zip(sizes, pool.starmap(picture, [(size, folder) for size in sizes])))
    runs = {size: [] for size in pictures}
    for _ in range(options.rounds):
        for size, (path, _) in pictures.items():
            runs[size].append(denoise(options.binary, options.model, options.device, path))
            print(size, runs[size][-1], file=sys.stderr)
    print("| picture | s | ns per pixel | of all cores, ns | resident, MiB | beside the picture, MiB |\n|---|---|---|---|---|---|")
    for size, (_, pixels) in pictures.items():
        seconds, cores = (statistics.median(run[i] for run in runs[size]) for i in (0, 1))
        memory = max(run[2] for run in runs[size])
        times = f"{seconds:.2f} | {seconds / pixels * 1e9:.0f} | {cores / pixels * 1e9:.0f}"
        print(f"| {size} | {times} | {memory:.0f} | {memory - 2 * 3 * pixels / 2**20:.0f} |")
