"""Compares exported models, run by the programs they are for, with `n2n-gpu denoise`: all within one grey level.

    cargo build && python3 tests/clients/exports.py target/debug/n2n-gpu [--venv DIR] [--large]

What it needs is installed from PyPI into DIR, a virtual environment that is made where there is none (/tmp/n2n-clients). It makes
models of every network, by a few steps of training; with --large also those of the published size. It prints a line for each
comparison, and exits with 1 if one fails.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGES = ["numpy", "onnx", "onnxruntime", "openvino"]
TILE, OVERLAP = 256, 64
# Network, options of a small one, options of a large one.
NETS = [
    ("unet", "--width 8 --levels 2", ""),
    ("unet", "--width 8 --levels 2 --norm batch --residual", "--norm batch"),
    ("unet", "--width 8 --levels 2 --norm group --up nearest --down maxpool", "--norm group"),
    ("n2n-unet", "--width 6", ""),
    ("epfl-unet", "--width 6 --shared", ""),
    ("epfl-resunet", "--width 12", ""),
    ("epfl-resunet", "--width 12 --down conv --residual", ""),
    ("epfl-convnet", "", ""),
]


def enter_venv():
    """Runs this script by the Python of the virtual environment, with the packages in it."""
    venv = pathlib.Path(sys.argv[sys.argv.index("--venv") + 1] if "--venv" in sys.argv else "/tmp/n2n-clients")
    python = venv / "bin" / "python"
    if pathlib.Path(sys.prefix) == venv:
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    os.execv(python, [str(python), *sys.argv])


enter_venv()

import numpy as np
import onnx
import onnxruntime
import openvino

binary = os.path.abspath(sys.argv[1])
folder = pathlib.Path(tempfile.mkdtemp())
failed = 0


def n2n(line):
    """Runs `n2n-gpu` on the CPU, and returns its JSON object."""
    done = subprocess.run([binary, *line.split(), "--json", "--quiet", "--device", "cpu"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"n2n-gpu {line}\n{done.stderr}")
    return json.loads(done.stdout)


def picture(height, width):
    """Waves and noise (3, H, W), from 0 to 1."""
    y, x, c = np.mgrid[:height, :width, :3]
    clean = 0.5 + 0.4 * np.sin(0.15 * y + (0.1 + 0.05 * c) * x)
    noisy = clean + np.random.default_rng(1).normal(0, 0.1, clean.shape)
    return noisy.clip(0, 1).transpose(2, 0, 1).astype(np.float32)


def save(name, values):
    """As a PPM file of 16 bit; returns what it holds."""
    whole = (values * 65535).round().astype(">u2")
    header = f"P6 {values.shape[2]} {values.shape[1]} 65535\n".encode()
    (folder / name).write_bytes(header + whole.transpose(1, 2, 0).tobytes())
    return (whole / 65535).astype(np.float32)


def load(name):
    """The values of a PPM file of 16 bit."""
    data = (folder / name).read_bytes()
    parts = data.split(maxsplit=4)
    width, height = int(parts[1]), int(parts[2])
    assert parts[0] == b"P6" and parts[3] == b"65535", parts[:4]
    whole = np.frombuffer(data[-6 * width * height :], ">u2").reshape(height, width, 3)
    return (whole / 65535).transpose(2, 0, 1)


def denoise(model, values):
    """What `denoise` makes of a picture, and what it was given."""
    given = save("noisy.ppm", values)
    n2n(f"denoise noisy.ppm -o denoised.ppm --model {model}")
    return load("denoised.ppm"), given


def compare(net, client, expected, got):
    global failed
    worst = float(np.abs(expected - got).max()) * 255
    failed += not worst <= 1
    height, width = expected.shape[1:]
    print(f"{'ok  ' if worst <= 1 else 'FAIL'} {net:66} {client:34} {width}x{height}: {worst:.4f} grey levels", flush=True)


def openvino_runner(path):
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: compiled(x)[0]


def onnxruntime_runner(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]


RUNNERS = [("ONNX Runtime", onnxruntime_runner), ("OpenVINO", openvino_runner)]


def check_onnx(net, model):
    for name, size in [("any", None), ("fixed", 128)]:
        path = folder / f"{name}.onnx"
        n2n(f"export {model} --onnx {path}" + (f" --size {size}" if size else ""))
        loaded = onnx.load(path)
        onnx.checker.check_model(loaded, full_check=True)
        assert (loaded.ir_version, loaded.opset_import[0].version) == (8, 17)
        sizes = [(size, size)] if size else [(45, 37), (96, 128), (200, 150), (3, 2), (1, 1)]
        expected = [denoise(model, picture(*size)) for size in sizes]
        for client, runner in RUNNERS:
            run = runner(path)
            for result, given in expected:
                compare(net, f"{client}, {name} size", result, run(given[None])[0])


def models():
    """Models of every network: a name for people, and the file."""
    (folder / "photos").mkdir()
    for i in range(4):
        save(f"photos/{i}.ppm", picture(160, 160 + i))
    for number, (net, small, large) in enumerate(NETS):
        for options in [small] + ["--width 48 --levels 5 " * (net == "unet") + large] * ("--large" in sys.argv):
            run = f"{net}-{number}-{len(options)}"
            steps = "--steps 30 --batch 2 --crop 32" if options == small else "--steps 2 --batch 1 --crop 32"
            n2n(f"train photos --noise gaussian:25 --net {net} {options} {steps} --out {run}")
            yield f"{net} {options}", f"{run}/last.safetensors"


for net, model in models():
    check_onnx(net, model)
print("all equal within one grey level" if not failed else f"{failed} comparisons failed")
sys.exit(bool(failed))
