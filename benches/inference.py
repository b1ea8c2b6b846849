#!/usr/bin/env python3
"""Times the forward pass of a twin of our networks in ONNX Runtime or OpenVINO, on the CPU in single precision, and prints one JSON object.

    python3 benches/inference.py --engine openvino --net epfl-unet --batch 30 --size 32

Medians. The twins are in tests/golden/nets.py, with random weights; they are exported by PyTorch. Needs: pip install torch onnx
onnxscript onnxruntime openvino
"""
import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "golden"))
import nets  # noqa: E402

TWINS = {
    "unet": lambda a: nets.UNet(a.width, a.levels, "none"),
    "epfl-unet": lambda a: nets.EpflUNet(a.width, False),
    "n2n-unet": lambda a: nets.N2nUNet(a.width),
}


def onnxruntime(path, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return f"ONNX Runtime {ort.__version__}", lambda x: session.run(None, {name: x})


def openvino(path, threads):
    import openvino as ov

    precision = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    model = ov.compile_model(path, "CPU", precision)
    return f"OpenVINO {ov.__version__}", lambda x: model(x)


p = argparse.ArgumentParser()
p.add_argument("--engine", choices=["onnxruntime", "openvino"], required=True)
p.add_argument("--net", choices=TWINS, default="epfl-unet")
for name, value in [("width", 48), ("levels", 5), ("batch", 30), ("size", 32), ("runs", 7), ("threads", 2)]:
    p.add_argument(f"--{name}", type=int, default=value)
a = p.parse_args()

x = torch.rand(a.batch, 3, a.size, a.size)
with tempfile.TemporaryDirectory() as folder:
    path = str(Path(folder) / "net.onnx")
    torch.onnx.export(TWINS[a.net](a).float().eval(), (x,), path, dynamo=True, verbose=False)
    peer, run = globals()[a.engine](path, a.threads)
times = []
for _ in range(a.runs + 3):
    start = time.perf_counter()
    run(x.numpy())
    times.append(1e3 * (time.perf_counter() - start))
print(json.dumps({"peer": peer, "net": a.net, "batch": a.batch, "size": a.size, "train_step_ms": None, "forward_ms": statistics.median(times[3:])}))
