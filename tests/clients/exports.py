"""Compares exported models, run by the programs they are for, with `n2n-gpu denoise`: all within one grey level.

    cargo build && python3 tests/clients/exports.py target/debug/n2n-gpu [--venv DIR] [--large] [--net NAME]

What it needs is installed from PyPI into DIR, a virtual environment that is made where there is none (/tmp/n2n-clients). It makes
models of every network, by a few steps of training; with --large also those of the published size. It prints a line for each
comparison, and exits with 1 if one fails. --net tests the models of one network alone.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

# bioimageio.spec 0.5.12 fails with later versions of pydantic.
PACKAGES = ["numpy", "onnx", "onnxruntime", "openvino", "pyoidn", "bioimageio.core", "pydantic<2.12"]
# darktable's overlap of tiles, and a side of them.
OVERLAP, TILE = 64, 256
# Network, options of a small one, options of a large one.
NETS = [
    ("unet", "--width 16 --levels 3", ""),
    ("unet", "--width 8 --levels 2 --norm batch --residual", "--norm batch"),
    ("unet", "--width 8 --levels 2 --norm group --up nearest --down maxpool", "--norm group"),
    ("n2n-unet", "--width 6", ""),
    ("epfl-unet", "--width 6 --shared", ""),
    ("epfl-resunet", "--width 12", ""),
    ("epfl-resunet", "--width 12 --down conv --residual", "--down conv --residual"),
    ("epfl-convnet", "", ""),
    ("oidn-unet-small", "", ""),
    ("oidn-unet", "", ""),
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

import bioimageio.core
import bioimageio.core.digest_spec
import numpy as np
import onnx
import onnxruntime
import openvino
import pyoidn

binary = os.path.abspath(sys.argv[1])
scratch = tempfile.TemporaryDirectory()
folder = pathlib.Path(scratch.name)
failed = 0


def n2n(line):
    """Runs `n2n-gpu` on the CPU, and returns its JSON object."""
    words = [binary, *line.split(), "--json", "--quiet", "--device", "cpu"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
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


def compare(net, client, expected, got, must=True):
    """Prints how far a result is from `denoise`; where it `must` be near, a far one is a failure."""
    global failed
    worst = float(np.abs(expected - got).max()) * 255
    outcome = "ok  " if worst <= 1 else "FAIL" if must else "    "
    failed += outcome == "FAIL"
    height, width = expected.shape[1:]
    print(f"{outcome} {net:66} {client:26} {width}x{height}: {worst:.4f} grey levels", flush=True)


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


def check_darktable(net, model):
    """The package, tile by tile: tiles overlap, are mirrored at the edges of the picture, and their middles are kept."""
    n2n(f"export {model} --darktable my.dtmodel --size {TILE}")
    with zipfile.ZipFile(folder / "my.dtmodel") as package:
        names = package.namelist()
        top = names[0].split("/")[0]
        assert names == [f"{top}/config.json", f"{top}/model.onnx"], names
        config = json.loads(package.read(names[0]))
        assert config["id"] == top and config["task"] == "denoise" and config["backend"] == "onnx", config
        (size,) = config["attributes"]["input_sizes"]
        package.extractall(folder)
    run = onnxruntime_runner(folder / names[1])
    step = size - 2 * OVERLAP
    noisy = picture(300, 333)
    around = [(OVERLAP, (-n) % step + OVERLAP) for n in noisy.shape[1:]]
    expected, given = denoise(model, np.pad(noisy, [(0, 0), *around], mode="reflect"))
    got = np.zeros_like(noisy)
    for top in range(0, noisy.shape[1], step):
        for left in range(0, noisy.shape[2], step):
            tile = run(given[None, :, top : top + size, left : left + size])[0]
            kept = got[:, top : top + step, left : left + step]
            kept[:] = tile[:, OVERLAP:, OVERLAP:][:, : kept.shape[1], : kept.shape[2]]
    one = given[:, -size:, -size:]
    compare(net, "one tile of darktable", denoise(model, one)[0], run(one[None])[0])
    # Where a pixel sees beyond the overlap, tiles are an approximation, by darktable's design.
    radius = n2n(f"info {model}")["radius"]
    exact = radius is not None and radius <= OVERLAP
    compare(net, "darktable's tiles", expected[:, OVERLAP:, OVERLAP:][:, :300, :333], got, must=exact)


def check_bioimage(net, model):
    """The description is valid, and the package's own test passes; its network is run on another picture, too."""
    n2n(f"export {model} --bioimage model.zip --author Somebody --license CC0-1.0")
    description = bioimageio.core.load_description(folder / "model.zip", format_version="latest", perform_io_checks=True)
    assert description.validation_summary.status in ("valid-format", "passed"), description.validation_summary.format()
    summary = bioimageio.core.test_description(description, weight_format="onnx")
    if summary.status != "passed":
        sys.exit(summary.format())
    pipeline = bioimageio.core.create_prediction_pipeline(description, weight_format="onnx")
    expected, given = denoise(model, picture(128, 192))
    sample = bioimageio.core.digest_spec.create_sample_for_model(description, inputs={"input": given[None]})
    got = pipeline.predict_sample_without_blocking(sample).members["output"].data.values[0]
    compare(net, "bioimageio.core", expected, got)


def save_pfm(name, values):
    rows = values.transpose(1, 2, 0)[::-1].astype("<f4")
    (folder / name).write_bytes(f"PF\n{values.shape[2]} {values.shape[1]}\n-1.0\n".encode() + rows.tobytes())


def load_pfm(name):
    kind, size, scale, data = (folder / name).read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert kind == b"PF" and float(scale) < 0
    return np.frombuffer(data, "<f4").reshape(height, width, 3)[::-1].transpose(2, 0, 1)


def oidn(values, *options):
    """What Open Image Denoise makes of a picture by weights.tza."""
    home = pathlib.Path(pyoidn.__file__).parent / "oidn"
    save_pfm("noisy.pfm", values)
    line = [home / "bin/oidnDenoise", "-d", "cpu", "-w", "weights.tza", "-q", "h", "-o", "out.pfm", *options]
    env = {**os.environ, "LD_LIBRARY_PATH": str(home / "lib")}
    subprocess.run(line, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return load_pfm("out.pfm")


def check_oidn(net, model):
    """Open Image Denoise pads with zeros where `denoise` mirrors: sizes are multiples of what it pads to."""
    n2n(f"export {model} --oidn weights.tza")
    for size in [(96, 128), (320, 208)]:
        expected, given = denoise(model, picture(*size))
        compare(net, "Open Image Denoise", expected, oidn(given, "--ldr", "noisy.pfm", "--srgb"))
    check_oidn_hdr(net)
    check_oidn_features(net)


def check_oidn_hdr(net):
    """The same weights for linear values of any size: those of Open Image Denoise against ONNX."""
    global failed
    n2n(f"import weights.tza --net {net.split()[0]} --hdr -o hdr.safetensors")
    n2n("export hdr.safetensors --onnx hdr.onnx")
    values = (20 * picture(96, 128) ** 4).astype(np.float32)
    theirs = oidn(values, "--hdr", "noisy.pfm", "--is", "1")
    for client, runner in RUNNERS:
        ours = runner(folder / "hdr.onnx")(values[None])[0]
        worst = float((np.abs(ours - theirs) / (np.abs(theirs) + 0.01)).max())
        failed += not worst <= 1e-3
        print(f"{'ok  ' if worst <= 1e-3 else 'FAIL'} {net:66} {client} and OIDN, HDR: {worst:.2e} relative", flush=True)


def check_oidn_features(net):
    """A network of linear colours, albedo and normals, trained on two noisy renders: `denoise` against Open Image Denoise."""
    global failed
    name, linear = net.split()[0], (20 * picture(96, 128) ** 4).astype(np.float32)
    features = {"albedo": 1.5 * picture(96, 128) - 0.2, "normal": 3 * picture(96, 128)[::-1] - 1.5}
    for kind in ["a", "b", *features]:
        (folder / kind).mkdir(exist_ok=True)
    for i, kind in enumerate("ab"):
        save_pfm(f"{kind}/0.pfm", linear * np.random.default_rng(i).exponential(1, linear.shape).astype(np.float32))
    for kind, values in features.items():
        save_pfm(f"{kind}/0.pfm", values.astype(np.float32))
    aux = "--aux albedo=albedo,normal=normal"
    n2n(f"train --pairs a b --net {name} --hdr {aux} --steps 30 --batch 2 --crop 32 --out {name}-9 --overwrite")
    # The file's parameters are in half precision, which changes linear values by up to 7e-3 on the steep end of the curve: so round
    # those of the model as well.
    model = (folder / f"{name}-9/last.safetensors").read_bytes()
    start = 8 + int.from_bytes(model[:8], "little")
    halves = np.frombuffer(model[start:], "<f4").astype("<f2").astype("<f4")
    (folder / "halves.safetensors").write_bytes(model[:start] + halves.tobytes())
    n2n("export halves.safetensors --oidn weights.tza")
    n2n(f"denoise a/0.pfm -o ours.pfm --model halves.safetensors {aux} --force")
    theirs = oidn(load_pfm("a/0.pfm"), "--hdr", "noisy.pfm", "--alb", "albedo/0.pfm", "--nrm", "normal/0.pfm", "--is", "1")
    worst = float((np.abs(load_pfm("ours.pfm") - theirs) / (np.abs(theirs) + 0.01)).max())
    failed += not worst <= 1e-3
    print(f"{'ok  ' if worst <= 1e-3 else 'FAIL'} {net:66} denoise and OIDN, HDR with features: {worst:.2e} relative", flush=True)


def models():
    """Models of every network: a name for people, and the file."""
    (folder / "photos").mkdir()
    for i in range(4):
        save(f"photos/{i}.ppm", picture(160, 160 + i))
    only = sys.argv[sys.argv.index("--net") + 1] if "--net" in sys.argv else None
    for number, (net, small, large) in enumerate(NETS):
        if only not in (None, net):
            continue
        large = ("--width 48 --levels 5 " if net == "unet" else "") + large
        for options in [small, large] if "--large" in sys.argv and large != small else [small]:
            run = f"{net}-{number}-{len(options)}"
            steps = "--steps 30 --batch 2 --crop 32" if options == small else "--steps 2 --batch 1 --crop 32"
            n2n(f"train photos --noise gaussian:25 --net {net} {options} {steps} --out {run}")
            yield f"{net} {options}", f"{run}/last.safetensors"


for net, model in models():
    check_onnx(net, model)
    check_darktable(net, model)
    check_bioimage(net, model)
    if net.startswith("oidn"):
        check_oidn(net, model)
print("all equal within one grey level" if not failed else f"{failed} comparisons failed")
sys.exit(bool(failed))
