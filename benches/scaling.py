#!/usr/bin/env python3
"""Measures training by several processes, and works out what to expect of more machines: see docs/scaling.md.

    benches/scaling.py --binary target/release/n2n-gpu --photos DIR            # as root: also over a network with delay
    benches/scaling.py --table --step-ms 100 --parameters 301155               # the table alone

Needs a program that was built with `--features mpi`, and mpirun. The network is made of namespaces of Linux, joined by a switch in this
script that holds every frame back.
"""

import argparse
import collections
import fcntl
import json
import os
import pathlib
import selectors
import shutil
import struct
import subprocess
import tempfile
import threading
import time

MPIRUN = ["mpirun", "--allow-run-as-root"]


def train(binary, photos, out, steps, before, environment=None):
    """Trains with `before` in front of the command; what it says in JSON, and the loss at the end."""
    command = [*before, binary, "train", photos, "--noise", "gaussian:25", "--device", "cpu", "--batch", "8", "--width", "24", "--levels", "4"]
    # Plain descent: Adam makes much of what rounding leaves of a gradient of 0.
    command += ["--optimizer", "sgd", "--lr", "0.1", "--steps", str(steps), "--out", out, "--overwrite", "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    lines = [json.loads(line) for line in (pathlib.Path(out) / "metrics.jsonl").read_text().splitlines()]
    return said, lines


def rate(lines, batch=8):
    """Crops per second between the first and the last point of the curve: without start and validation."""
    points = [line for line in lines if line["psnr_estimated"] is None]
    (a, b) = (points[0], points[-1])
    return batch * (b["step"] - a["step"]) / (b["seconds"] - a["seconds"])


def compare(a, b):
    """Largest relative difference of the losses of two runs."""
    return max(abs(x["loss"] - y["loss"]) / x["loss"] for x, y in zip(a, b, strict=True))


def on_cores(options, folder):
    """One process on one core, and two on two, in turns."""
    found = collections.defaultdict(list)
    for turn in range(options.turns):
        for size in (1, 2):
            before = [*MPIRUN, "-n", str(size), "--bind-to", "core"]
            _, lines = train(options.binary, options.photos, f"{folder}/cores{size}", options.steps, before)
            found[size].append(rate(lines))
            print(f"turn {turn + 1}: {size} of one core each: {found[size][-1]:.1f} crops/s", flush=True)
    ratios = sorted(two / one for one, two in zip(found[1], found[2], strict=True))
    print(f"two processes on two cores do {ratios[len(ratios) // 2]:.2f} times what one on one does ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def tap(namespace, address):
    """A network interface in a namespace of its own; the end that frames are read from and written to."""
    name = f"tap{address[-1]}"
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, 0x400454CA, struct.pack("16sH", name.encode(), 0x0002 | 0x1000))
    for line in (
        f"ip netns add {namespace}",
        f"ip link set {name} netns {namespace}",
        f"ip netns exec {namespace} ip addr add {address}/24 dev {name}",
        f"ip netns exec {namespace} ip link set {name} up",
        f"ip netns exec {namespace} ip link set lo up",
    ):
        subprocess.run(line.split(), check=True)
    return descriptor


def switch(taps, delay, stop):
    """Gives every frame of one interface to all others, `delay` seconds later."""
    watch, held = selectors.DefaultSelector(), collections.deque()
    for descriptor in taps:
        watch.register(descriptor, selectors.EVENT_READ)
    while not stop.is_set():
        wait = max(0.0, held[0][0] - time.monotonic()) if held else 0.05
        for key, _ in watch.select(wait):
            try:
                while True:
                    held.append((time.monotonic() + delay, key.fd, os.read(key.fd, 65536)))
            except BlockingIOError:
                pass
        while held and held[0][0] <= time.monotonic():
            _, sender, frame = held.popleft()
            for descriptor in taps:
                if descriptor != sender:
                    try:
                        os.write(descriptor, frame)
                    except (BlockingIOError, OSError):
                        pass  # A switch drops what finds no room; TCP sends it again.


def over_network(options, folder, size=4):
    """Processes in namespaces of their own; each way takes the delay."""
    addresses = [f"10.77.0.{i + 1}" for i in range(size)]
    names = [f"n2n-{i + 1}" for i in range(size)]
    agent = pathlib.Path(folder) / "agent"
    agent.write_text(
        '#!/bin/sh\n# What mpirun calls in place of ssh.\nhost=$1; shift\nexec ip netns exec "n2n-${host##*.}" '
        'unshare --uts sh -c "hostname n2n-${host##*.}; $*"\n'
    )
    agent.chmod(0o755)
    stop = threading.Event()
    try:
        taps = [tap(*of) for of in zip(names, addresses, strict=True)]
        thread = threading.Thread(target=switch, args=(taps, options.delay / 1e3, stop))
        thread.start()
        before = ["ip", "netns", "exec", names[0], "unshare", "--uts", "sh", "-c", 'hostname n2n-1; exec "$@"', "sh", *MPIRUN]
        before += ["--host", ",".join(addresses), "-n", str(size), "--mca", "plm_rsh_agent", str(agent), "--mca", "btl", "tcp,self"]
        before += ["--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca", "oob_tcp_if_include", "10.77.0.0/24", "--bind-to", "none"]
        before += ["-x", "RAYON_NUM_THREADS=1"]
        steps = options.steps // 2
        _, alone = train(options.binary, options.photos, f"{folder}/alone", steps, [])
        _, lines = train(options.binary, options.photos, f"{folder}/network", steps, before)
        print(f"{size} processes, {options.delay} ms each way: {rate(lines):.1f} crops/s ({rate(alone):.1f} of one process on all cores),")
        print(f"losses within {compare(alone, lines):.1e} of those of one process")
    finally:
        stop.set()
        thread.join()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def table(step_ms, parameters, latency_us=50.0):
    """Efficiency of n machines that each have a batch of their own: time of a step alone over that of one with the others.

    A step sums `parameters` floats: every machine sends (n - 1) / n of them twice. Three of four pieces travel while the backward pass, two
    thirds of a step, goes on; the last one is waited for, with two messages there and back."""
    print("| machines | 1 Gbit/s | 10 Gbit/s | 100 Gbit/s |\n|---|---|---|---|")
    for n in (2, 4, 8, 16, 32, 64):
        cells = []
        for gbit in (1, 10, 100):
            sending = 2 * (n - 1) / n * 32 * parameters / (gbit * 1e9) * 1e3
            piece = sending / 4
            hidden = step_ms * 2 / 3 * 3 / 4
            waiting = piece + max(0.0, 3 * piece - hidden) + 4 * latency_us / 1e3
            cells.append(f"{100 * step_ms / (step_ms + waiting):.0f} %")
        print(f"| {n} | {' | '.join(cells)} |")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", default="n2n-gpu")
    arguments.add_argument("--photos", help="folder with photographs")
    arguments.add_argument("--steps", type=int, default=400)
    arguments.add_argument("--turns", type=int, default=3)
    arguments.add_argument("--delay", type=float, default=10.0, help="of a message, milliseconds")
    arguments.add_argument("--table", action="store_true", help="only the table")
    arguments.add_argument("--step-ms", type=float, default=100.0, help="measured time of a step of one machine")
    arguments.add_argument("--parameters", type=int, default=301155)
    options = arguments.parse_args()
    if options.table:
        return table(options.step_ms, options.parameters)
    if not options.photos or not shutil.which("mpirun"):
        raise SystemExit("give --photos, and install mpirun (Debian: openmpi-bin)")
    with tempfile.TemporaryDirectory() as folder:
        on_cores(options, folder)
        if os.geteuid() == 0 and os.path.exists("/dev/net/tun"):
            over_network(options, folder)
        else:
            print("left out: the network with delay, which takes root and /dev/net/tun")


if __name__ == "__main__":
    main()
