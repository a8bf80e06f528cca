#!/usr/bin/env python3
"""Counts the instructions of fixed work under Valgrind, and compares them with benches/counts.txt:

    scripts/callgrind.py [--record] [CASE...]

Counts are the same on every run of one build, whatever else the machine does. They are of level avx2, the highest that Valgrind
knows. A case that takes 2 % more or less than the file says fails: what changes the counts changes the file with them
(`--record`). A compiler may change them as well, so the file says which one it was.

It also checks what the feature `profile` costs: without it, no symbol of a profiler is in the program; with it and no profiler at
work, the encoder takes at most 2 % more instructions.

It needs valgrind (Debian: valgrind), nm (binutils) and a CPU with AVX2.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ROOT / "benches/counts.txt"
LEVEL = "avx2"
MARGIN = 0.02
ENCODER = "encoder-built-in-16"
# As both manglings of names spell the module `profile` of the crate.
PROFILER = re.compile(r"8selfattn7profile")


def run(command, **more):
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, **more).stdout


def build(features):
    """The path of the program, kept apart from the next build."""
    run(["cargo", "build", "--quiet", "--release", "--locked", "--example", "counts", "--no-default-features", "--features", features])
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    kept = Path(tempfile.mkdtemp()) / "counts"
    shutil.copy(target / "release/examples/counts", kept)
    return kept


def count(program, case):
    """Instructions in `measured` and what it calls."""
    with tempfile.NamedTemporaryFile() as out:
        command = ["valgrind", "--tool=callgrind", "--toggle-collect=*counts::measured*", f"--callgrind-out-file={out.name}"]
        done = subprocess.run([*command, program, case], text=True, capture_output=True, env={**os.environ, "SELFATTN_LEVEL": LEVEL})
        if done.returncode != 0 or f"level {LEVEL}" not in done.stderr.splitlines():
            sys.exit(f"{case} under Valgrind: exit code {done.returncode}, not at level {LEVEL}?\n{done.stderr}")
        total = re.search(r"^(?:totals|summary): (\d+)", Path(out.name).read_text(), re.M)
    instructions = int(total[1]) if total else 0
    if instructions == 0:
        sys.exit(f"{case}: Valgrind counted nothing: is there no function `measured` in the program?")
    return instructions


def recorded():
    """The compiler, and the counts by case."""
    if not COUNTS.exists():
        return "", {}
    lines = COUNTS.read_text().splitlines()
    compiler = next((line.removeprefix("# ") for line in lines if line.startswith("# rustc ")), "")
    return compiler, {name: int(number) for name, number in (line.split() for line in lines if line and not line.startswith("#"))}


def record(compiler, counts):
    lines = ["# Instructions by case at level avx2, by scripts/callgrind.py --record. Other compilers may differ.", f"# {compiler}"]
    lines += [f"{name} {number}" for name, number in counts.items()]
    COUNTS.write_text("\n".join(lines) + "\n")


def compare(counts, before, recording):
    """Names of the cases that are not as they were."""
    wrong = []
    for case, number in counts.items():
        old = before.get(case)
        change = number / old - 1 if old else None
        within = change is not None and abs(change) <= MARGIN
        print(f"{case:34}{number:12,}  {'new' if change is None else f'{change:+.2%}'}{'' if within or recording else '  FAILS'}", flush=True)
        if not within:
            wrong.append(case)
    return wrong


def profiler_costs(plain, plain_count):
    """Whether the feature leaves nothing behind when it is off, and little when it is on and nothing listens."""
    symbols = lambda program: [line for line in run(["nm", program]).splitlines() if PROFILER.search(line)]
    profiled = build("std,profile")
    with_feature = count(profiled, ENCODER)
    cost = with_feature / plain_count - 1
    off, on = symbols(plain), symbols(profiled)
    print(f"feature profile: {len(off)} symbols of it without, {len(on)} with; {ENCODER} {with_feature:,} instructions with it, {cost:+.2%}")
    if not on:
        sys.exit("no symbol of the profiler was found where there must be some: the check itself is broken")
    return not off and cost <= MARGIN


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the file anew")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    args = parser.parse_args()
    for tool, package in [("valgrind", "valgrind"), ("nm", "binutils")]:
        if not shutil.which(tool):
            sys.exit(f"no {tool}: install the Debian package {package}")
    cpu = Path("/proc/cpuinfo")
    if cpu.exists() and not re.search(r"^flags.*\bavx2\b", cpu.read_text(), re.M):
        sys.exit("this CPU has no AVX2: the counts are of that level")
    compiler = run(["rustc", "--version"]).strip()
    program = build("std")
    known = run([program]).split()
    unknown = set(args.cases) - set(known)
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    counts = {case: count(program, case) for case in args.cases or known}
    compiler_before, before = recorded()
    wrong = compare(counts, before, args.record)
    if not profiler_costs(program, counts.get(ENCODER) or count(program, ENCODER)):
        sys.exit("the feature profile costs too much")
    if args.record:
        record(compiler, {**before, **counts} if args.cases else counts)
        return
    if wrong:
        hint = "" if compiler == compiler_before else f"; the file is of {compiler_before}, this is {compiler}"
        sys.exit(f"not as {COUNTS.relative_to(ROOT)} says: {', '.join(wrong)}{hint}. If that is meant: scripts/callgrind.py --record")
    if missing := set(before) - set(counts) if not args.cases else set():
        sys.exit(f"{COUNTS.relative_to(ROOT)} has cases that are gone: {', '.join(sorted(missing))}")
    print(f"all within {MARGIN:.0%} of {COUNTS.relative_to(ROOT)} ({compiler_before})")


if __name__ == "__main__":
    main()
