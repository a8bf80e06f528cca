#!/usr/bin/env python3
"""Builds the programs of examples/firmware, runs them under qemu, and checks what they are for:

    scripts/firmware.py [--record] [--c] [TARGET...]

Every program must end well: its results are the host's within the bound that it states. No image may contain a panic or
formatting. No program may be larger or use more stack at opt-level s, nor take more instructions at opt-level 3, than
examples/firmware/budgets.txt allows; `--record` writes that file anew. `--c` also runs the comparison with plain C (it needs
arm-none-eabi-gcc or riscv64-unknown-elf-gcc).

The environment variable TOOLCHAIN names the toolchain of rustup that has the targets; without it, it is the one that `cargo` is.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CRATE = Path(__file__).resolve().parent.parent / "examples/firmware"
BUDGETS = CRATE / "budgets.txt"
TARGETS = ["thumbv7em-none-eabihf", "riscv32imac-unknown-none-elf", "thumbv8m.main-none-eabihf"]
# `empty` is what the others have beside the library: start-up code and printing.
PROGRAMS = ["empty", "matmul", "attention", "encoder"]
SIZES = ["text", "rodata", "static", "stack"]
COLUMNS = [*SIZES, "instructions"]
# Compilers differ by this much without anyone having changed the code.
MARGIN = 1.03
# How many times as many instructions plain C takes at least. Without an FPU, arithmetic is calls on both sides.
LEAST_RATIO = {"thumbv7em-none-eabihf": 1.5}
# As both manglings of names spell `core::panicking` and `core::fmt`.
FORBIDDEN = re.compile(r"4core9panicking|4core3fmt")


def cargo(verb, target, program, opt_level, features=()):
    toolchain = os.environ.get("TOOLCHAIN")
    command = ["cargo", *([f"+{toolchain}"] if toolchain else []), verb, "--quiet", "--release", "--locked"]
    command += ["--target", target, "--bin", program, "--config", f"profile.release.opt-level={opt_level}"]
    command += [argument for feature in features for argument in ("--features", feature)]
    # What is measured is the crate's own profile: without debug information, for one, an image loads unwind tables.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARGO_PROFILE_")}
    # qemu writes what programs print to stderr.
    piped = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, cwd=CRATE, env=environment, timeout=900, **piped)


def image(target, program):
    folder = Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target"))
    return folder / target / "release" / program


def sections(path):
    """Bytes of each section that is loaded."""
    out = subprocess.run(["readelf", "-SW", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    rows = re.findall(r"\]\s+(\S+)\s+(\S+)\s+[0-9a-f]+\s+[0-9a-f]+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([WAXMSILOTCxEop]*)\s", out)
    return {name: (int(size, 16), flags) for name, _, size, flags in rows if "A" in flags}


def sizes(path):
    found = {"text": 0, "rodata": 0, "static": 0}
    for name, (size, flags) in sections(path).items():
        # `.weights` is the model, and the vector table is the chip's.
        if name.startswith((".weights", ".vector_table", ".stack", ".heap")):
            continue
        found["static" if "W" in flags else "text" if "X" in flags else "rodata"] += size
    return found


def forbidden(path):
    out = subprocess.run(["readelf", "-sW", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    return sorted({line.split()[-1] for line in out.splitlines() if FORBIDDEN.search(line)})


def fail(message):
    sys.exit(f"firmware.py: {message}")


def run(target, program, opt_level, features=()):
    """Builds and runs; its output and its image."""
    built = cargo("build", target, program, opt_level, features)
    if built.returncode != 0:
        fail(f"{program} does not build for {target}:\n{built.stdout}")
    done = cargo("run", target, program, opt_level, features)
    if done.returncode != 0 or done.stdout.splitlines()[-1:] != ["ok"]:
        fail(f"{program} on {target} at opt-level {opt_level} failed:\n{done.stdout}")
    path = image(target, program)
    if not features and (names := forbidden(path)):
        fail(f"{program} on {target} at opt-level {opt_level} links a panic or formatting: {', '.join(names)}")
    said = re.compile(r"^[\w ,]+: .*(instructions|difference|e-6)")
    return "\n".join(line for line in done.stdout.splitlines() if said.match(line)), path


def costs(output):
    return [tuple(map(int, pair)) for pair in re.findall(r"(\d+) instructions, (\d+) bytes of stack", output)]


def measure(target):
    """Sizes at opt-level s, and the instructions of all that a program measures at opt-level 3."""
    table = {}
    for program in PROGRAMS:
        output, path = run(target, program, '"s"')
        stack = max((stack for _, stack in costs(output)), default=0)
        table[target, program] = {**sizes(path), "stack": stack, "instructions": 0}
    print(f"\n{target}, opt-level s, bytes:")
    print(f"{'':10}" + "".join(f"{column:>10}" for column in SIZES))
    for (_, program), row in table.items():
        print(f"{program:10}" + "".join(f"{row[column]:>10}" for column in SIZES))
    print(f"{target}, opt-level 3:")
    for program in PROGRAMS[1:]:
        output, _ = run(target, program, 3)
        table[target, program]["instructions"] = sum(instructions for instructions, _ in costs(output))
        print("".join(f"  {line}\n" for line in output.splitlines()), end="")
    return table


def compare_with_c(target):
    output, _ = run(target, "speed", 3, ["c"])
    print(f"{target}, beside plain C:\n" + "".join(f"  {line}\n" for line in output.splitlines()), end="")
    ratios = [float(ratio) for ratio in re.findall(r"ratio ([\d.]+)", output)]
    least = LEAST_RATIO.get(target, 0)
    if len(ratios) < 3 or min(ratios) < least:
        fail(f"plain C takes {min(ratios, default=0)} times as many instructions on {target}; at least {least} is promised")


def read_budgets():
    rows = [line.split() for line in BUDGETS.read_text().splitlines() if line and not line.startswith("#")]
    return {(target, program): dict(zip(COLUMNS, map(int, numbers))) for target, program, *numbers in rows}


def check(table):
    budgets = read_budgets()
    over = []
    for key, row in table.items():
        if key not in budgets:
            fail(f"{BUDGETS.name} has no budget for {' '.join(key)}")
        for column in COLUMNS:
            if row[column] > budgets[key][column]:
                over.append(f"{' '.join(key)}: {column} {row[column]} > {budgets[key][column]}")
    if over:
        fail("more than budgets.txt allows (--record writes it anew, if that is meant):\n" + "\n".join(over))
    print("\nall within budgets.txt, no panic and no formatting in any image")


def record(table):
    """Leaves the budgets of other targets as they are. Static memory has no margin: it is planned."""
    budgets = read_budgets() if BUDGETS.exists() else {}
    for key, row in table.items():
        budgets[key] = {column: size if column == "static" else int(size * MARGIN) for column, size in row.items()}
    lines = [
        "# What programs of examples/firmware may take: bytes at opt-level s, instructions at opt-level 3, when this was written and",
        "# 3 % more.",
        f"# target program {' '.join(COLUMNS)}",
        *(" ".join([*key, *(str(row[column]) for column in COLUMNS)]) for key, row in sorted(budgets.items())),
    ]
    BUDGETS.write_text("\n".join(lines) + "\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--record", action="store_true", help="write budgets.txt anew")
    arguments.add_argument("--c", action="store_true", help="compare with plain C")
    arguments.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET")
    arguments = arguments.parse_args()
    if not shutil.which("readelf"):
        fail("no readelf: install binutils")
    table = {}
    for target in arguments.targets:
        table |= measure(target)
        if arguments.c:
            compare_with_c(target)
    record(table) if arguments.record else check(table)


main()
