#!/usr/bin/env python3
"""What the compilers of real GPUs make of the kernels, on a machine without a GPU.

    python3 benches/offline/offline.py --folder /tmp/offline --gpu navi31 target/release/n2n-gpu -- --net epfl-unet --batch 30 --size 32

Mesa's Vulkan drivers run over its no-op kernel drivers: pipelines are compiled and steps recorded as on the GPU, and nothing is
executed, so that results are rubbish and no time means anything. What follows `--` are arguments of `n2n-gpu bench`.

It prints a line for every kind of pipeline: registers, spills, waves that fit, multiply-adds of the main loop with their share of its
arithmetic and of all its instructions, reads of workgroup memory in it, global loads, waits for them and barriers of the loop over stages;
then totals: dispatches and barriers of a training step, shares weighted by floating-point operations, and the share of these in dispatches
of few waves. Apple's and Adreno's drivers give no assembly. NVK is not NVIDIA's own driver, and Mesa's compiler is not Apple's.

Intel's no-op driver is in no package of Debian's. It is built from Mesa's sources (`meson setup build -Dtools=intel,drm-shim
-Dvulkan-drivers= -Dgallium-drivers=crocus && ninja -C build src/intel/tools/libintel_noop_drm_shim.so`) and copied to --folder.

Needs Debian 12 or later (amd64, with apt's lists, no root), gcc and python3. The first run brings Mesa of Debian sid to --folder, 250 MB,
and changes nothing else on the machine.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import table

# Name: no-op kernel driver, Vulkan driver, variable that says which chip to stand in for, and the chip.
GPUS = {
    "polaris10": ("amdgpu", "radeon", "AMDGPU_GPU_ID", "polaris10"),
    "navi21": ("amdgpu", "radeon", "AMDGPU_GPU_ID", "navi21"),
    "navi31": ("amdgpu", "radeon", "AMDGPU_GPU_ID", "navi31"),
    "phoenix": ("amdgpu", "radeon", "AMDGPU_GPU_ID", "phoenix"),
    "gfx1201": ("amdgpu", "radeon", "AMDGPU_GPU_ID", "gfx1201"),
    "turing": ("nouveau", "nouveau", "NOUVEAU_CHIPSET", "162"),
    "ampere": ("nouveau", "nouveau", "NOUVEAU_CHIPSET", "174"),
    "ada": ("nouveau", "nouveau", "NOUVEAU_CHIPSET", "192"),
    "apple": ("asahi", "asahi", "ASAHI_NOOP", "1"),
    "tgl": ("intel", "intel", "INTEL_STUB_GPU_PLATFORM", "tgl"),
    "dg2": ("intel", "intel", "INTEL_STUB_GPU_PLATFORM", "dg2"),
    "adreno740": ("freedreno", "freedreno", "FD_GPU_ID", "740"),
}
PACKAGES = ["mesa-vulkan-drivers", "mesa-drm-shim", "libvulkan1", "libvulkan-dev"]


def archive():
    """The Debian archive that this machine already takes its packages from."""
    files = [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]
    for file in files:
        for line in file.read_text().splitlines() if file.exists() else []:
            found = re.search(r"https?://\S+/debian/?(?=\s|$)", line)
            if found and not line.startswith("#"):
                return found[0]
    sys.exit("no Debian archive among the sources of apt")


def set_up(folder):
    """Brings Mesa of Debian sid to the folder, and builds the layer."""
    apt, root = folder / "apt", folder / "root"
    for part in ["lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/sources.list.d", "etc/preferences.d"]:
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "etc/sources.list").write_text(f"deb [signed-by={keyring}] {archive()} sid main\n")
    (apt / "apt.conf").write_text(
        f'Dir::State "{apt}"; Dir::State::status "{apt}/status"; Dir::State::lists "{apt}/lists"; Dir::Cache "{apt}/cache";\n'
        f'Dir::Etc "{apt}/etc"; APT::Sandbox::User "root"; APT::Install-Recommends "false"; Debug::NoLocking "true";\n'
        # Mirrors that are frozen in time serve as well.
        'Acquire::Check-Valid-Until "false"; Acquire::Languages "none";\n'
    )
    own = dict(os.environ, APT_CONFIG=str(apt / "apt.conf"))
    subprocess.run(["apt-get", "-qq", "update"], env=own, check=True)
    command = ["apt-get", "-qq", "-y", "--download-only", "install", *PACKAGES]
    subprocess.run(command, env=own, check=True, stdout=subprocess.DEVNULL)
    for package in (apt / "cache/archives").glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    shutil.rmtree(apt)
    (folder / "ready").touch()


def build_layer(folder):
    """Builds the layer, and writes the file that tells the loader of it."""
    include = folder / "include"
    include.mkdir(exist_ok=True)
    for part in ["vulkan", "vk_video"]:
        (include / part).unlink(missing_ok=True)
        (include / part).symlink_to(folder / "root/usr/include" / part)
    source = pathlib.Path(__file__).with_name("layer.c")
    subprocess.run(["gcc", "-O1", "-fPIC", "-shared", f"-I{include}", source, "-o", folder / "layer.so"], check=True)
    (folder / "layer.json").write_text(
        '{"file_format_version": "1.2.0", "layer": {"name": "VK_LAYER_N2N_offline", "type": "GLOBAL", "library_path": "./layer.so",'
        ' "api_version": "1.3.0", "implementation_version": "1", "description": "-",'
        ' "functions": {"vkGetInstanceProcAddr": "offline_instance", "vkGetDeviceProcAddr": "offline_device"}}}'
    )


def run(folder, gpu, binary, arguments, out, unchecked):
    """Runs `bench` on the GPU that is not there; what it prints."""
    shim, driver, variable, chip = GPUS[gpu]
    libraries = folder / "root/usr/lib/x86_64-linux-gnu"
    icd = out / "icd.json"
    icd.write_text(f'{{"file_format_version": "1.0.1", "ICD": {{"library_path": "{libraries}/libvulkan_{driver}.so", "api_version": "1.4.0"}}}}')
    own = dict(
        os.environ,
        VK_DRIVER_FILES=str(icd),
        VK_LAYER_PATH=str(folder),
        VK_INSTANCE_LAYERS="VK_LAYER_N2N_offline",
        VK_LOADER_LAYERS_DISABLE="~implicit~",
        OFFLINE_OUT=str(out),
        WGPU_DEBUG="1",
        MESA_SHADER_CACHE_DISABLE="1",
        XDG_RUNTIME_DIR=str(out),
        **{variable: chip},
    )
    if unchecked:
        own["OFFLINE_UNCHECKED"] = "1"
    # The loader of the newer Debian runs the program: programs and libraries of this one are not touched.
    loader = folder / "root/usr/lib64/ld-linux-x86-64.so.2"
    name = f"lib{shim}_noop_drm_shim.so"
    preload = next((place / name for place in (libraries, folder) if (place / name).exists()), None)
    if preload is None:
        sys.exit(f"{gpu}: no {name} in {folder}: --help tells how to build it")
    command = [loader, "--library-path", libraries, "--preload", preload, binary, "bench", "--device", "0", *arguments]
    done = subprocess.run(command, env=own, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{gpu}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path, help="n2n-gpu")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for Mesa and the layer; made if it is not there")
    parser.add_argument("--gpu", action="append", choices=GPUS, help="which GPU, as often as wanted (default: navi31)")
    parser.add_argument("--unchecked", action="store_true", help="leave out the driver's own checks of bounds")
    parser.add_argument("--keep", action="store_true", help="keep the assembly of all pipelines, and say where it lies")
    parser.add_argument("--totals", action="store_true", help="print totals alone")
    parser.add_argument("arguments", nargs="*", help="of `n2n-gpu bench` (default: --net epfl-unet --batch 30 --size 32)")
    options = parser.parse_args()
    arguments = options.arguments or ["--net", "epfl-unet", "--batch", "30", "--size", "32"]
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    if not (folder / "ready").exists():
        set_up(folder)
    build_layer(folder)
    for gpu in options.gpu or ["navi31"]:
        out = pathlib.Path(tempfile.mkdtemp(prefix=f"{gpu}.", dir=folder))
        plan = run(folder, gpu, options.binary, [*arguments, "--plan"], out, options.unchecked)
        for file in out.glob("*.txt"):
            file.unlink()
        run(folder, gpu, options.binary, [*arguments, "--runs", "1"], out, options.unchecked)
        print(f"{gpu}:")
        table.show(out, plan, options.totals)
        if options.keep:
            print(f"assembly: {out}")
        else:
            shutil.rmtree(out)


if __name__ == "__main__":
    main()
