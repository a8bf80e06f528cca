#!/usr/bin/env python3
"""Fails if a tile, the inner loop of every product, is not what it should be in an optimised binary or library.

    scripts/check_tiles.py [--expect avx2,avx512] FILE...
    scripts/check_tiles.py --objdump aarch64-linux-gnu-objdump --expect neon FILE...

The accumulators of a tile never leave the registers. Nothing in Rust says so: a compiler that runs out of registers
puts some on the stack, and the results stay right at half the speed. So the machine code is read. A tile is an
innermost loop with at least 8 packed multiply-adds, most of them onto values carried from one turn to the next, that
broadcasts elements of A. (Polynomials have multiply-adds too, but carry nothing.) In a tile there must be no call, no
vector on the stack, no gather or scatter, and no scalar multiply-add. The full-size tile of NEON has at most a tenth
more instructions than the multiply-adds, the loads, the conversions and the prefetching that its shape asks for.

Exit code 1: a tile is bad, and its disassembly is printed. 2: there is nothing to judge. Of each level named by
--expect, the full-size tile of every storage type must be there: a check that finds nothing does not pass.
"""

import argparse
import re
import sys
from collections import Counter, defaultdict, namedtuple

from instructions import A64, X86
from machine_code import Unusable, disassemble, innermost_loops, parse

MIN_FMAS = 8
# Rows and columns of the full-size tile, as in src/simd; and the steps of k that a turn of src/kernel/tile.rs takes at least.
FULL = {"neon": (8, 12), "avx2": (6, 16), "avx512": (8, 48)}
STEPS = 1
# Instructions of a full-size tile at most, by those that its shape asks for.
OVERHEAD = {"neon": 1.1}

Kernel = namedtuple("Kernel", "level symbol code stack isa")
Tile = namedtuple("Tile", "kernel code type rows columns turns steps fmas loads faults")


# From functions to tiles.


def level_of(symbol):
    """The level whose kernels a function holds, by its mangled name, old or new style; None for any other."""
    if "selfattn" not in symbol or "enabled" not in symbol:
        return None
    if old := re.search(r"simd\.\.(avx\w+?|neon)\.\.", symbol):
        return old[1]
    new = re.search(r"4simd(\d+)(avx\w+|neon)", symbol)
    return new and new[2][: int(new[1])]


def short(symbol):
    """What tells a function from its namesakes: of an old name the hash, of a new one the end."""
    old = re.search(r"17h([0-9a-f]{8})[0-9a-f]{8}E", symbol)
    return old[1] if old else symbol[-8:]


# From loops to tiles.


def accumulators(code, kernel):
    """How many multiply-adds go onto each value carried round the loop, by the register or stack slot it starts in.

    `origin` says of a place where the value in it was at the start of the turn, but for what was added to it since.
    """
    isa = kernel.isa

    def place(operand):
        return isa.register(operand) or (operand if kernel.stack.search(operand) else None)

    origin, fmas = {}, Counter()
    for i in code:
        target = place(i.operands[0])
        if addend := isa.addend(i):
            source = place(addend)
            origin[target] = origin.get(source, source)
            fmas[origin[target]] += 1
        elif isa.MOVE.match(i.name) and target:
            source = place(i.operands[1])
            origin[target] = origin.get(source, source)
        else:
            origin.update((isa.register(operand), None) for operand in isa.written(i))
    return {at: fmas[at] for at in fmas if at and origin.get(at) == at}


def fault(instruction, kernel):
    """What a tile must not do, or None."""
    isa = kernel.isa
    if isa.CALL.match(instruction.name):
        return "a call"
    if isa.GATHER.match(instruction.name):
        return "a gather or scatter"
    if isa.SCALAR_FMA.match(instruction.name):
        return "a scalar multiply-add"
    if isa.has_vector(instruction) and kernel.stack.search(instruction.text):
        return "a vector on the stack"
    return None


def kernels(lines):
    """The functions of SIMD levels in what objdump prints."""
    isa = next((isa for isa in (A64, X86) if any(isa.FORMAT in line for line in lines)), X86)
    functions = parse(lines, level_of)
    return [Kernel(level_of(symbol), short(symbol), code, isa.stack(code), isa) for symbol, code in functions]


def tile_of(kernel, code):
    """The loop as a tile, or None if it is something else."""
    isa = kernel.isa
    fmas = [i for i in code if isa.is_packed_fma(i)]
    sums = accumulators(code, kernel)
    if len(fmas) < MIN_FMAS or 2 * sum(sums.values()) < len(fmas):
        return None
    turns = max(sums.values())
    rows = sum(map(isa.is_broadcast, code)) // turns
    if rows == 0:
        return None
    kind = next(name for name, sign in isa.TYPES.items() if any(sign.match(i.name) for i in code))
    columns = len(sums) / rows * isa.lanes(fmas[0])
    steps = turns * (2 if fmas[0].name in ("vdpbf16ps", "bfdot") else 1)
    faults = {i.address: what for i in code if (what := fault(i, kernel))}
    return Tile(kernel, code, kind, rows, columns, turns, steps, len(fmas), sum(map(isa.is_load, code)), faults)


def ideal(tile):
    """Instructions that the shape asks for: multiply-adds, loads of both sides, conversions of one, and if lines are asked for ahead,
    as many prefetches and an address."""
    asked = sum(i.name.startswith("prf") for i in tile.code)
    lines = tile.fmas / tile.rows
    widened = tile.type != "f32" and tile.steps == tile.turns  # and not multiplied in pairs
    return tile.fmas + tile.rows * tile.turns + lines * (2 if widened else 1) + (asked and asked + 1)


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


def is_full(tile):
    return (tile.rows, tile.columns) == FULL[tile.kernel.level]


def is_long(tile):
    return is_full(tile) and len(tile.code) > OVERHEAD.get(tile.kernel.level, len(tile.code)) * ideal(tile)


def missing(tiles):
    """The storage types without a full-size tile."""
    full = {tile.type for tile in tiles if is_full(tile) and tile.steps >= STEPS}
    return [kind for kind in X86.TYPES if kind not in full]


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
        for code in innermost_loops(kernel.code, kernel.isa.is_packed_fma):
            if tile := tile_of(kernel, code):
                tiles[kernel.level].append(tile)
            else:
                others[kernel.level].append(any(fault(i, kernel) for i in code))
    print_all(tiles, others)
    bad = [tile for level in sorted(tiles) for tile in tiles[level] if tile.faults]
    for tile in bad:
        print_faults(tile)
    long = [tile for level in sorted(tiles) for tile in tiles[level] if is_long(tile)]
    for tile in long:
        where = f"{tile.kernel.level}, function {tile.kernel.symbol}"
        print(f"{where}: the {tile.type} tile has {len(tile.code)} instructions, and its shape asks for {ideal(tile):g}")
    lost = [(level, kinds) for level in expected if (kinds := missing(tiles[level]))]
    for level, kinds in lost:
        print("{}: no tile of {} x {} for {}".format(level, *FULL[level], ", ".join(kinds)))
    return 1 if bad or long else 2 if lost or not any(tiles.values()) else 0


def levels(text):
    names = text.split(",")
    if unknown := [name for name in names if name not in FULL]:
        raise argparse.ArgumentTypeError(f"no level {unknown[0]!r} among {', '.join(FULL)}")
    return names


def judge_file(path, expected, objdump):
    print(f"{path}:")
    try:
        code = judge(disassemble(path, objdump), expected)
    except Unusable as error:
        print(error)
        code = 2
    print(f"{path}: {('every tile is as it should be', 'bad tiles', 'not what was expected')[code]}")
    return code


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expect", type=levels, default=[], metavar="LEVELS", help="levels that must be there")
    parser.add_argument("--objdump", default="objdump", help="of binutils for the files' CPU")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    codes = [judge_file(path, args.expect, args.objdump) for path in args.files]
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
