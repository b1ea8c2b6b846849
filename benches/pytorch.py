#!/usr/bin/env python3
"""Times PyTorch's training step and forward pass of a twin of our networks, and prints one JSON object.

    python3 benches/pytorch.py --net epfl-unet --batch 30 --size 32 [--device cpu|cuda] [--mode eager|channels-last|graph|compile]
        [--bf16]

A training step is forward, mean squared error, backward and Adam; single precision without TF32; medians. The twins are in
tests/golden/nets.py. Needs: pip install torch
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "golden"))
import nets  # noqa: E402

TWINS = {
    "unet": lambda a: nets.UNet(a.width, a.levels, "none"),
    "epfl-unet": lambda a: nets.EpflUNet(a.width, a.shared),
    "epfl-resunet": lambda a: nets.EpflResUNet(a.width, a.shared, "maxpool", False),
    "epfl-convnet": lambda a: nets.EpflConvNet(),
    "n2n-unet": lambda a: nets.N2nUNet(a.width),
}

p = argparse.ArgumentParser()
p.add_argument("--net", choices=TWINS, default="epfl-unet")
for name, value in [("width", 48), ("levels", 5), ("batch", 30), ("size", 32), ("runs", 7), ("threads", 2)]:
    p.add_argument(f"--{name}", type=int, default=value)
p.add_argument("--shared", action="store_true")
p.add_argument("--bf16", action="store_true", help="under autocast to bfloat16")
p.add_argument("--device", default="cpu")
p.add_argument("--mode", choices=["eager", "channels-last", "graph", "compile"], default="eager")
a = p.parse_args()
torch.set_num_threads(a.threads)
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True

layout = torch.contiguous_format if a.mode == "eager" else torch.channels_last
cuda = a.device == "cuda"
net = TWINS[a.net](a).float().to(a.device, memory_format=layout)
x, t = (torch.rand(a.batch, 3, a.size, a.size, device=a.device).to(memory_format=layout) for _ in range(2))
adam = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99), fused=cuda, capturable=a.mode == "graph")
autocast = torch.autocast(torch.device(a.device).type, dtype=torch.bfloat16, enabled=a.bf16)
model = torch.compile(net, mode="max-autotune") if a.mode == "compile" else net


def step():
    adam.zero_grad(set_to_none=a.mode != "graph")
    with autocast:
        loss = torch.nn.functional.mse_loss(model(x).float(), t)
    loss.backward()
    adam.step()


def forward():
    with torch.no_grad(), autocast:
        model(x)


def captured(f):
    """As a CUDA graph, after some runs on a stream of their own."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            f()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        f()
    return graph.replay


def median_ms(f):
    times = []
    for _ in range(a.runs + 3):
        start = time.perf_counter()
        f()
        if cuda:
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[3:])


ready = captured if a.mode == "graph" else lambda f: f
print(json.dumps({
    "peer": f"PyTorch {torch.__version__}", "net": a.net, "mode": a.mode, "bf16": a.bf16, "batch": a.batch, "size": a.size,
    "train_step_ms": median_ms(ready(step)), "forward_ms": median_ms(ready(forward)),
    "peak_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
}))
