#!/usr/bin/env python3
"""Makes assets/gallery.jpg: one row per noise law with the noisy photograph, what came of training on noisy targets and on clean
ones, and the clean photograph.

    python3 benches/gallery.py target/release/n2n-gpu RUNS

RUNS holds the run folders text, impulse, poisson and bernoulli, and the same with -clean (docs/reports.md, Other noise, has the
commands). Rows whose runs are not there stay as they are. Needs: pip install pillow
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

SIDE, GAP = 176, 4
ROWS = [  # law, run, photograph, corner of the crop
    ("text:0.25", "text", "casa-mila", (120, 60)),
    ("impulse:0.7", "impulse", "spices", (60, 60)),
    ("poisson:30", "poisson", "lake-sherburne", (100, 100)),
    ("bernoulli:0.5", "bernoulli", "otters", (150, 90)),
]

binary, runs = sys.argv[1], Path(sys.argv[2])
assets = Path(__file__).parents[1] / "assets"
sheet = Image.new("RGB", (4 * SIDE + 3 * GAP, len(ROWS) * SIDE + (len(ROWS) - 1) * GAP), "white")
if (assets / "gallery.jpg").exists():
    sheet.paste(Image.open(assets / "gallery.jpg"))
for row, (law, run, name, corner) in enumerate(ROWS):
    if not (runs / run / "last.safetensors").exists():
        continue
    photo = assets / f"{name}.jpg"
    for column, model in enumerate([None, run, f"{run}-clean", "clean"]):
        with tempfile.TemporaryDirectory() as folder:
            if model == "clean":
                picture = Image.open(photo).convert("RGB")
            else:
                command = [binary, "eval", photo, "--noise", law, "--save", folder, "--device", "cpu", "--json", "--quiet"]
                command += ["--model", runs / model / "last.safetensors"] if model else []
                scores = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
                picture = Image.open(next(Path(folder).iterdir())).convert("RGB")
            piece = picture.crop((*corner, corner[0] + SIDE, corner[1] + SIDE))
        if model != "clean":
            label = f"{scores['psnr']:.2f} dB"
            draw = ImageDraw.Draw(piece)
            draw.rectangle((0, 0, 9 + draw.textlength(label), 15), fill="black")
            draw.text((5, 2), label, fill="white")
        sheet.paste(piece, (column * (SIDE + GAP), row * (SIDE + GAP)))
sheet.save(assets / "gallery.jpg", quality=78)
