"""Reads what layer.c wrote, and prints it as a table."""

import collections
import math
import re

Counter = collections.Counter

# Waves of 32 invocations that an H100 with 8 in each of its 132 multiprocessors has: fewer leave much of any large GPU idle.
FEW_WAVES = 1056
SPILLS = ["Spilled VGPRs", "Spilled SGPRs", "Spills to memory", "Spill Count", "Spills", "STP Count"]
REGISTERS = ["VGPRs", "Number of GPRs", "GPRs", "Registers used", "Max live registers"]
WAVES = ["Subgroups per SIMD", "Max warps/SM", "Threads", "Max Waves Per Core"]
HEAD = ["kernel", "regs", "spills", "waves", "LDS", "FMA", "/arith.", "/all", "LDS reads", "loads", "waits", "barriers", "pipelines"]


class Pipeline:
    """Name, statistics and assembly of a pipeline."""

    def __init__(self, path):
        self.name, self.invocations, self.stats, self.dialect = "?", 0, {}, None
        self.assembly = []
        reading = False
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("@kernel "):
                self.name = line[8:].strip()
            elif line.startswith("@workgroup "):
                self.invocations = int(line[11:])
            elif line.startswith("@stat "):
                name, value = line[6:].rsplit("=", 1)
                self.stats[name] = float(value)
            elif line.startswith("@text "):
                reading = line.strip() in ("@text Assembly", "@text NAK assembly")
                self.dialect = line.split()[1] if reading else self.dialect
            elif reading:
                self.assembly.append(line)
        self.loops = main_loops(*blocks(self.assembly, self.dialect)) if self.assembly else None

    def stat(self, names):
        return next((self.stats[n] for n in names if n in self.stats), None)

    def shares(self):
        """Multiply-adds among the main loop's arithmetic, and among all of its instructions."""
        if not self.loops:
            return None
        inner = self.loops[0]
        operations = inner["fma"] + inner["mma"]
        return operations / inner["arithmetic"], operations / inner["all"]

    def row(self):
        text = lambda value: "-" if value is None else f"{value:.0f}"
        row = [self.name, *(text(self.stat(names)) for names in (REGISTERS, SPILLS, WAVES, ["LDS size"]))]
        if self.loops:
            inner, stages = self.loops
            arithmetic, every = self.shares()
            row += [f"{inner['fma'] + inner['mma']}{' mma' if inner['mma'] else ''}", f"{arithmetic:.2f}", f"{every:.2f}"]
            row += [inner["reads"], stages["loads"], stages["waits"], stages["barriers"]]
        return tuple(str(v) for v in row + ["-"] * (len(HEAD) - 1 - len(row)))


def blocks(assembly, dialect):
    """Instructions and successors of every block of the control flow."""
    code, successors, current = {}, {}, None
    if dialect == "NAK":
        for line in assembly:
            if start := re.match(r"block\S* (\d+) .*-> \{", line):
                current = int(start[1])
                code[current] = []
            elif end := re.match(r"\} -> \[(.*)\]", line):
                successors[current] = [int(n) for n in end[1].split(",") if n.strip()]
                current = None
            elif current is not None and line.strip():
                words = [w for w in line.split("//")[0].split(" = ")[-1].split() if w[0] != "@"]
                code[current] += [" ".join(words)] if words else []
        return code, successors
    for line in assembly:
        if start := re.match(r"BB(\d+):", line):
            current = int(start[1])
            code[current] = []
        elif current is not None and line.startswith("\t") and "(then" not in line:
            code[current].append(line.strip().split(" ; ")[0])
    names = list(code)
    for name, following in zip(names, [*names[1:], None]):
        jumps = (re.match(r"s_c?branch\S*\s+BB(\d+)", line) for line in code[name])
        successors[name] = [int(j[1]) for j in jumps if j]
        if following is not None and not any(line.startswith(("s_branch", "s_endpgm")) for line in code[name]):
            successors[name].append(following)
    return code, successors


def postorder(successors, entry):
    seen, order, stack = {entry}, [], [(entry, iter(successors[entry]))]
    while stack:
        block, rest = stack[-1]
        following = next((b for b in rest if b not in seen and b in successors), None)
        if following is None:
            order.append(block)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(successors[following])))
    return order


def natural_loops(successors, entry):
    """Header to blocks of every natural loop."""
    order = postorder(successors, entry)[::-1]
    predecessors = collections.defaultdict(list)
    for block in order:
        for following in successors[block]:
            predecessors[following].append(block)
    dominators = {block: set(order) for block in order} | {entry: {entry}}
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            found = set.intersection(*(dominators[p] for p in predecessors[block])) | {block}
            changed |= found != dominators[block]
            dominators[block] = found
    loops = {}
    for block in order:
        for header in (s for s in successors[block] if s in dominators[block]):
            body, work = loops.setdefault(header, {header}), [block]
            while work:
                inside = work.pop()
                if inside not in body:
                    body.add(inside)
                    work += predecessors[inside]
    return loops


def count(instructions):
    """How many there are of each kind."""
    counts = Counter()
    for line in instructions:
        op = line.split()[0]
        counts["all"] += 1
        if re.match(r"v_(dual_)?(fma|fmac|mac|mad|fmaak|fmamk)\w*_f(32|16)|v_pk_fma|v_fma_mix|ffma|hfma2", op):
            counts["fma"] += line.count("::") + 1
            counts["arithmetic"] += line.count("::") + 1
            counts["all"] += line.count("::")
        elif "wmma" in op or "hmma" in op:
            counts["mma"] += 1
            counts["arithmetic"] += 1
        elif op.startswith("v_"):
            counts["arithmetic"] += 1
        elif op.startswith(("ds_load", "ds_read", "ld.shared", "ldsm")):
            counts["reads"] += 1
        elif op.startswith(("buffer_load", "global_load", "ld.global")):
            counts["loads"] += 1
        elif op.startswith(("s_barrier", "bar.")):
            counts["barriers"] += 1
        elif not op.startswith(("s_", "ds_", "buffer", "global", "st.", "bra", "bsync", "bssy", "bclear", "membar", "nop")):
            counts["arithmetic"] += 1
        if re.match(r"s_wait\w*", op) and ("vmcnt" in line or "loadcnt" in line):
            counts["waits"] += 1
    return counts


def main_loops(code, successors):
    """Counts of the innermost loop with the most multiply-adds, and of the smallest one with a barrier around it, else that one itself."""
    if not code:
        return None
    loops = natural_loops(successors, next(iter(code)))
    counts = {block: count(lines) for block, lines in code.items()}
    total = lambda body: sum((counts[b] for b in body), Counter())
    weight = lambda header: total(loops[header])["fma"] + 16 * total(loops[header])["mma"]
    heavy = [h for h in loops if weight(h)]
    innermost = [h for h in heavy if not any(loops[other] < loops[h] for other in heavy)]
    if not innermost:
        return None
    body = loops[max(innermost, key=weight)]
    around = [other for other in loops.values() if other >= body and total(other)["barriers"]]
    return total(body), total(min(around, key=len, default=body))


def dispatches(plan):
    """Kernel, workgroups and millions of floating-point operations of every line of a plan's table."""
    lines = (re.match(r" *\d+ +\d+  (\S.*?) +(\d+) x (\d+) x (\d+) +([\d.]+) ", line) for line in plan.splitlines())
    return [(m[1], int(m[2]) * int(m[3]) * int(m[4]), float(m[5])) for m in lines if m]


def show(folder, plan, totals_alone):
    """Prints the table of all pipelines in the folder, and totals of the training step whose plan that is."""
    pipelines = {int(p.stem): Pipeline(p) for p in sorted(folder.glob("[0-9]*.txt"))}
    ours = [p for p in pipelines.values() if not p.name.startswith("(wgpu")]
    if not totals_alone:
        rows = Counter(p.row() for p in ours)
        lines = [HEAD] + [[*row, str(n)] for row, n in sorted(rows.items())]
        for line in lines:
            print(f"{line[0]:34.34}", *(f"{value:>{max(len(head), 6)}}" for value, head in zip(line[1:], HEAD[1:])))
    steps = dispatches(plan)
    recordings = [line.split() for line in (folder / "commands.txt").read_text().splitlines()]
    step = next(r for r in recordings if sum(c != "b" for c in r) == len(steps))
    barriers, run = step.count("b"), [pipelines[int(c)] for c in step if c != "b"]
    print(f"a step: {len(steps)} dispatches, {barriers} pipeline barriers")
    flops = sum(f for _, _, f in steps)
    waves = lambda p, workgroups: workgroups * math.ceil(p.invocations / 32)
    for limit in (FEW_WAVES // 2, FEW_WAVES):
        few = sum(f for p, (_, w, f) in zip(run, steps) if waves(p, w) < limit)
        print(f"in dispatches of under {limit} waves of 32: {few / flops:.2f} of all operations")
    filled = sum(f * p.invocations / (64 * math.ceil(p.invocations / 64)) for p, (_, _, f) in zip(run, steps)) / flops
    print(f"lanes of waves of 64 that are invocations: {filled:.2f}; spills: {sum(p.stat(SPILLS) or 0 for p in ours):.0f}")
    matrices = sum(f for name, _, f in steps if "coop" in name) / flops
    print(f"operations on cooperative matrices: {matrices:.2f}")
    weighted(run, steps)


def weighted(run, steps):
    """Prints shares of multiply-adds, weighted by the floating-point operations of dispatches, by kernel and over all."""
    groups = collections.defaultdict(list)
    for pipeline, (name, _, flops) in zip(run, steps):
        if flops and pipeline.shares():
            groups[name.split()[0]].append((flops, *pipeline.shares()))
    groups["all"] = [entry for group in groups.values() for entry in group]
    for name, entries in groups.items():
        flops = sum(f for f, _, _ in entries)
        arithmetic, every = (sum(e[0] * e[i] for e in entries) / max(flops, 1e-9) for i in (1, 2))
        if flops:
            print(f"{name:20} {flops / 1e3:7.2f} GFLOP, multiply-adds: {arithmetic:.3f} of arithmetic, {every:.3f} of all instructions")
