#!/usr/bin/env python3
"""Whether the estimated PSNR chooses the best checkpoint, as a table in Markdown.

    python3 benches/checkpoints.py --binary target/release/n2n-gpu PHOTOS... [--steps 4000] [--seed 1] [-- TRAINING OPTIONS]

Trains on PHOTOS with three noise laws, for which the clean held-out pictures are known. metrics.jsonl has the estimated PSNR of every
validation and the true one; `lost` is by how much the checkpoint with the best estimate is below the truly best one. `outside` counts the
validations whose true PSNR is not in the interval of the estimate.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

LAWS = ["gaussian:25", "poisson:30", "brown:25,2"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--laws", nargs="+", default=LAWS)
    own, rest = (sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]) if "--" in sys.argv else (sys.argv[1:], [])
    options = parser.parse_args(own)
    print("| noise | validations | true PSNR of the best estimate, dB | of the truly best, dB | lost, dB | outside |\n|---|---|---|---|---|---|")
    for law in options.laws:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            words = [options.binary, "train", *options.photos, "--noise", law, "--out", run, "--steps", options.steps]
            words += ["--seed", options.seed, "--quiet", "--json", *rest]
            subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
            records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        scored = [record for record in records if record["psnr_estimated"] is not None]
        chosen = max(scored, key=lambda record: record["psnr_estimated"])["psnr"]
        best = max(record["psnr"] for record in scored)
        held = [record for record in scored if "psnr_estimated_interval" in record]
        outside = sum(not low <= record["psnr"] <= high for record in held for low, high in [record["psnr_estimated_interval"]])
        print(f"| {law} | {len(scored)} | {chosen:.3f} | {best:.3f} | {best - chosen:.3f} | {outside} of {len(held)} |", flush=True)


main()
