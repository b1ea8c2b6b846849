#!/usr/bin/env python3
"""Runs `n2n-gpu bench` and other engines' benchmarks alternately, and prints medians and ratios as a table.

    python3 benches/peers.py --rounds 5 \\
        --ours "target/release/n2n-gpu bench --device cpu --net epfl-unet --batch 30 --size 32 --json --quiet" \\
        --peer "PyTorch=python3 benches/pytorch.py --net epfl-unet --batch 30 --size 32" \\
        --peer "PyTorch, channels last=python3 benches/pytorch.py --net epfl-unet --batch 30 --size 32 --mode channels-last"

A peer is NAME=COMMAND. Its last line on stdout is a JSON object with train_step_ms (null if it does not train) and, if it has
one, forward_ms; or a text in which `median X ms` is the training step. The ratio is the median over the rounds of our time by the peer's: below 1 we are faster.
A peer that fails is named, with the last line of its errors.
"""
import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--ours", required=True)
p.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
p.add_argument("--rounds", type=int, default=5)
p.add_argument("--timeout", type=float, default=600, help="seconds for one command")
a = p.parse_args()
if malformed := [peer for peer in a.peer if "=" not in peer]:
    sys.exit(f"--peer {malformed[0]}: write NAME=COMMAND")
commands = {"n2n-gpu": a.ours, **dict(peer.split("=", 1) for peer in a.peer)}


def measure(command):
    """(training step, forward) in ms, either may be missing; or why there is nothing."""
    try:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=a.timeout)
    except subprocess.TimeoutExpired:
        return f"no result in {a.timeout:.0f} s"
    except OSError as e:
        return str(e)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if lines[-1].startswith("{"):
        found = json.loads(lines[-1])
        return found.get("train_step_ms"), found.get("forward_ms")
    text = re.search(r"median ([0-9.]+) ms", lines[-1])
    return (float(text[1]), None) if text else f"no times in: {lines[-1]}"


rounds = {name: [] for name in commands}
failed = {}
for _ in range(a.rounds):
    for name, command in commands.items():
        if name not in failed:
            times = measure(command)
            if isinstance(times, str) and name == "n2n-gpu":
                sys.exit(f"--ours: {times}")
            if isinstance(times, str):
                failed[name] = times
            else:
                rounds[name].append(times)

print("| engine | training step, ms | ours / theirs | forward, ms | ours / theirs |\n|---|---|---|---|---|")
for name, times in rounds.items():
    if name in failed:
        print(f"| {name} | failed: {failed[name]} | | | |")
        continue
    cells = []
    for i in range(2):
        values = [t[i] for t in times]
        if None in values:
            cells += ["-", "-"]
            continue
        ratio = statistics.median(ours[i] / theirs for ours, theirs in zip(rounds["n2n-gpu"], values))
        cells += [f"{statistics.median(values):.1f}", "" if name == "n2n-gpu" else f"{ratio:.2f}"]
    print(f"| {name} | " + " | ".join(cells) + " |")
