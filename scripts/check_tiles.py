#!/usr/bin/env python3
"""Fails if a tile, the inner loop of every product, is not what it should be in an optimised binary or library.

    scripts/check_tiles.py [--expect avx2,avx512] FILE...

The accumulators of a tile never leave the registers. Nothing in Rust says so: a compiler that runs out of registers
puts some on the stack, and the results stay right at half the speed. So the machine code is read. A tile is an
innermost loop with at least 8 packed multiply-adds, most of them onto values carried from one turn to the next, that
broadcasts elements of A. (Polynomials have multiply-adds too, but carry nothing.) In a tile there must be no call, no
vector on the stack, no gather or scatter, and no scalar multiply-add.

Exit code 1: a tile is bad, and its disassembly is printed. 2: there is nothing to judge. Of each level named by
--expect, the full-size tile of every storage type must be there: a check that finds nothing does not pass.
"""

import argparse
import re
import sys
from collections import Counter, defaultdict, namedtuple

from machine_code import Unusable, disassemble, innermost_loops, parse

MIN_FMAS = 8
# Rows and columns of the full-size tile, as in src/simd; and the steps of k that a turn of src/kernel/tile.rs takes at least.
FULL = {"avx2": (6, 16), "avx512": (8, 48)}
STEPS = 1
# The storage types of B, by what a loop has that reads it; f32 is read as it is.
TYPES = {"bf16": re.compile("vpmovzxwd|vpslld|vdpbf16ps"), "f16": re.compile("vcvtph2ps"), "f32": re.compile("")}

VECTOR = re.compile(r"[xyz](mm\d+)")
# The order of the operands says which one is added: a = a * c + b, a = b * a + c, a = b * c + a.
PACKED_FMA = re.compile(r"vfn?m(?:add|sub|addsub|subadd)(132|213|231)ps|vdpbf16ps")
ADDEND = {"132": 1, "213": 2, "231": 0, None: 0}
MOVE = re.compile(r"vmov[au]p[sd]|vmovdq[au](8|16|32|64)?$")
BROADCAST = re.compile(r"vbroadcastss|vpbroadcastd")
GATHER = re.compile(r"vp?(gather|scatter)")
SCALAR_FMA = re.compile(r"vfn?m(add|sub)\d*s[sd]$")

Kernel = namedtuple("Kernel", "level symbol code stack")
Tile = namedtuple("Tile", "kernel code type rows columns steps fmas loads faults")


# From functions to tiles.


def level_of(symbol):
    """The level whose kernels a function holds, by its mangled name, old or new style; None for any other."""
    if "selfattn" not in symbol or "enabled" not in symbol:
        return None
    if old := re.search(r"simd\.\.(avx\w+?)\.\.", symbol):
        return old[1]
    new = re.search(r"4simd(\d+)(avx\w+)", symbol)
    return new and new[2][: int(new[1])]


def short(symbol):
    """What tells a function from its namesakes: of an old name the hash, of a new one the end."""
    old = re.search(r"17h([0-9a-f]{8})[0-9a-f]{8}E", symbol)
    return old[1] if old else symbol[-8:]


def stack_operand(code):
    """Matches what lies on the stack. RBP points there in some functions, and anywhere in the others.

    An array on the stack that is reached through yet another register is not seen.
    """
    frame = any(i.name == "mov" and i.operands == ["rbp", "rsp"] for i in code)
    return re.compile(r"\[(rsp|rbp)[]+-]" if frame else r"\[rsp[]+-]")


# From loops to tiles.


def accumulators(code, stack):
    """How many multiply-adds go onto each value carried round the loop, by the register or stack slot it starts in.

    `origin` says of a place where the value in it was at the start of the turn, but for what was added to it since.
    """

    def place(operand):
        register = VECTOR.search(operand)
        return register[1] if register else operand if stack.search(operand) else None

    origin, fmas = {}, Counter()
    for i in code:
        target = place(i.operands[0])
        if fma := PACKED_FMA.match(i.name):
            source = place(i.operands[ADDEND[fma[1]]])
            origin[target] = origin.get(source, source)
            fmas[origin[target]] += 1
        elif MOVE.match(i.name) and target:
            source = place(i.operands[1])
            origin[target] = origin.get(source, source)
        elif VECTOR.search(i.operands[0]):
            origin[target] = None
    return {at: fmas[at] for at in fmas if at and origin.get(at) == at}


def fault(instruction, stack):
    """What a tile must not do, or None."""
    if instruction.name.startswith("call"):
        return "a call"
    if GATHER.match(instruction.name):
        return "a gather or scatter"
    if SCALAR_FMA.match(instruction.name):
        return "a scalar multiply-add"
    if VECTOR.search(instruction.text) and stack.search(instruction.text):
        return "a vector on the stack"
    return None


def is_load(instruction):
    return bool(VECTOR.search(instruction.text)) and any("[" in operand for operand in instruction.operands[1:])


def is_broadcast(instruction):
    """Of an element of A: constants stand beside the code and do not count."""
    text = instruction.text
    return "[rip" not in text and bool(BROADCAST.match(text) or "BCST" in text or "{1to" in text)


def kernels(lines):
    """The functions of SIMD levels in what objdump prints."""
    functions = parse(lines, level_of)
    return [Kernel(level_of(symbol), short(symbol), code, stack_operand(code)) for symbol, code in functions]


def is_packed_fma(instruction):
    return bool(PACKED_FMA.match(instruction.name)) and instruction.operands[0][0] in "yz"


def tile_of(kernel, code):
    """The loop as a tile, or None if it is something else."""
    fmas = [i for i in code if is_packed_fma(i)]
    sums = accumulators(code, kernel.stack)
    if len(fmas) < MIN_FMAS or 2 * sum(sums.values()) < len(fmas):
        return None
    turns = max(sums.values())
    rows = sum(map(is_broadcast, code)) // turns
    if rows == 0:
        return None
    kind = next(name for name, sign in TYPES.items() if any(sign.match(i.name) for i in code))
    columns = len(sums) / rows * (16 if "zmm" in fmas[0].text else 8)
    steps = turns * (2 if fmas[0].name == "vdpbf16ps" else 1)
    faults = {i.address: what for i in code if (what := fault(i, kernel.stack))}
    return Tile(kernel, code, kind, rows, columns, steps, len(fmas), sum(map(is_load, code)), faults)


# The verdict.


def span(numbers, form):
    low, high = format(min(numbers), form), format(max(numbers), form)
    return low if low == high else f"{low}-{high}"


def print_table(tiles):
    """One line for all tiles of a type and a size."""
    print("  type  tile    loops  steps  FMAs  loads/FMA  instructions  functions")
    groups = defaultdict(list)
    for tile in tiles:
        groups[tile.type, -tile.rows, -tile.columns, tile.steps, tile.fmas].append(tile)
    for (kind, rows, columns, steps, fmas), group in sorted(groups.items()):
        size, functions = f"{-rows} x {-columns:g}", sorted({tile.kernel.symbol for tile in group})
        loads, length = span([tile.loads / fmas for tile in group], ".2f"), span([len(tile.code) for tile in group], "")
        numbers = f"{len(group):5}  {steps:5}  {fmas:4}  {loads:>9}  {length:>12}"
        print(f"  {kind:4}  {size:6}  {numbers}  {' '.join(functions)}")


def print_faults(tile):
    where = f"{tile.kernel.level}, function {tile.kernel.symbol}"
    what = ", ".join(sorted(set(tile.faults.values())))
    print(f"\n{where}: the {tile.type} tile {tile.rows} x {tile.columns:g} has {what}:")
    for i in tile.code:
        print(f"{'>>>' if i.address in tile.faults else '   '} {i.address:8x}: {i.text}")


def missing(level, tiles):
    """The storage types without a full-size tile."""
    full = {tile.type for tile in tiles if (tile.rows, tile.columns) == FULL[level] and tile.steps >= STEPS}
    return [kind for kind in TYPES if kind not in full]


def print_all(tiles, others):
    for level in sorted(tiles):
        print(f"{level}: {len(tiles[level])} tiles")
        print_table(tiles[level])
        stained = f"{sum(others[level])} of them with what a tile must not have"
        print(f"  Not judged: {len(others[level])} loops of multiply-adds that are no tiles, {stained}")


def judge(lines, expected):
    """Prints what there is, and returns the exit code."""
    tiles, others = defaultdict(list), defaultdict(list)
    for kernel in kernels(lines):
        for code in innermost_loops(kernel.code, is_packed_fma):
            if tile := tile_of(kernel, code):
                tiles[kernel.level].append(tile)
            else:
                others[kernel.level].append(any(fault(i, kernel.stack) for i in code))
    print_all(tiles, others)
    bad = [tile for level in sorted(tiles) for tile in tiles[level] if tile.faults]
    for tile in bad:
        print_faults(tile)
    lost = [(level, kinds) for level in expected if (kinds := missing(level, tiles[level]))]
    for level, kinds in lost:
        print("{}: no tile of {} x {} for {}".format(level, *FULL[level], ", ".join(kinds)))
    return 1 if bad else 2 if lost or not any(tiles.values()) else 0


def levels(text):
    names = text.split(",")
    if unknown := [name for name in names if name not in FULL]:
        raise argparse.ArgumentTypeError(f"no level {unknown[0]!r} among {', '.join(FULL)}")
    return names


def judge_file(path, expected):
    print(f"{path}:")
    try:
        code = judge(disassemble(path), expected)
    except Unusable as error:
        print(error)
        code = 2
    print(f"{path}: {('every tile is as it should be', 'bad tiles', 'not what was expected')[code]}")
    return code


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expect", type=levels, default=[], metavar="LEVELS", help="levels that must be there")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    codes = [judge_file(path, args.expect) for path in args.files]
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
