#!/usr/bin/env python3
"""Times `n2n-gpu bench` and PyTorch on the same network, alternately in one run, and prints medians and their ratios.

    python3 tests/versus_pytorch.py target/release/n2n-gpu [--width 48 --levels 5 --batch 30 --size 32 --rounds 5 --threads 2]

The network is `unet`, whose PyTorch twin is in tests/golden/make.py; PyTorch runs in both memory formats and the faster one
counts. A training step is forward, mean squared error, backward and Adam. On the CPU. Needs: pip install torch safetensors
"""
import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "golden"))
from make import UNet  # noqa: E402

p = argparse.ArgumentParser()
p.add_argument("binary")
for name, value in [("width", 48), ("levels", 5), ("batch", 30), ("size", 32), ("rounds", 5), ("runs", 7), ("threads", 2)]:
    p.add_argument(f"--{name}", type=int, default=value)
a = p.parse_args()
torch.set_num_threads(a.threads)


def ours():
    command = [a.binary, "bench", "--device", "cpu", "--json", "--quiet", "--runs", str(a.runs)]
    command += [f"--{n}={getattr(a, n)}" for n in ("width", "levels", "batch", "size")]
    done = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return done["train_step_ms"], done["forward_ms"]


def median_ms(f):
    times = []
    for i in range(a.runs + 2):
        start = time.perf_counter()
        f()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def pytorch(layout):
    net = UNet(a.width, a.levels, "none").float().to(memory_format=layout)
    x, t = (torch.rand(a.batch, 3, a.size, a.size).to(memory_format=layout) for _ in range(2))
    adam = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99))

    def step():
        adam.zero_grad()
        torch.nn.functional.mse_loss(net(x), t).backward()
        adam.step()

    def forward():
        with torch.no_grad():
            net(x)

    return median_ms(step), median_ms(forward)


rows = []
for _ in range(a.rounds):
    rows.append((ours(), min(pytorch(torch.channels_last), pytorch(torch.contiguous_format))))
for i, what in enumerate(["training step", "forward"]):
    mine, theirs = (statistics.median(r[j][i] for r in rows) for j in range(2))
    ratio = statistics.median(r[0][i] / r[1][i] for r in rows)
    print(f"{what}: n2n-gpu {mine:.1f} ms, PyTorch {torch.__version__} {theirs:.1f} ms, ratio {ratio:.2f}")
