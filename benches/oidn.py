#!/usr/bin/env python3
"""Times Open Image Denoise's own benchmark on the CPU, and prints one JSON object as benches/peers.py reads it.

    python3 benches/oidn.py --quality high

Its filter for renders with albedo and normals, 1920x1080: `n2n-gpu bench --net oidn-unet --inputs 9 --batch 1 --size 1440` has as
many pixels and the same layers as `high` and `balanced`; `fast` has a smaller network. Needs: pip install pyoidn
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyoidn

CASE = "RT.ldr_alb_nrm.1920x1080"

p = argparse.ArgumentParser()
p.add_argument("--quality", choices=["high", "balanced", "fast"], default="high")
p.add_argument("--runs", type=int, default=5)
p.add_argument("--threads", type=int, default=2)
a = p.parse_args()

home = Path(pyoidn.__file__).parent / "oidn"
program = home / "bin" / "oidnBenchmark"
if not os.access(program, os.X_OK):
    program.chmod(0o755)  # pip leaves it without the right to be run
command = [program, "-d", "cpu", "--threads", str(a.threads), "-q", a.quality, "-r", CASE, "-n", str(a.runs)]
done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LD_LIBRARY_PATH": str(home / "lib")})
time = re.search(rf"^{re.escape(CASE)} \.\.\. ([0-9.]+) msec/image", done.stdout, re.MULTILINE)
if done.returncode or not time:
    sys.exit(f"oidnBenchmark gave no time for {CASE}: {(done.stderr or done.stdout).strip()}")
print(json.dumps({"peer": "Open Image Denoise", "net": CASE, "train_step_ms": None, "forward_ms": float(time[1])}))
