"""Machine code as objdump prints it (x86-64 in Intel syntax, AArch64): functions, their instructions, the loops among those."""

import os
import re
import subprocess
from collections import namedtuple

SYMBOL = re.compile(r"[0-9a-f]+ <(.+)>:$")
LINE = re.compile(r"\s*([0-9a-f]+):\s+(\S.*)")
PREFIX = re.compile(r"^((notrack|bnd|lock|rep\w*|data16|\{\w+\}) +)+")
TARGET = re.compile(r"([0-9a-f]+) <")
JUMP = re.compile(r"j\w+|b(\.\w+)?$|cbn?z$|tbn?z$")
ENDS = ("jmp", "ret", "ud2", "b", "br", "brk", "udf")
COMMENT = re.compile(r"#\s|//\s")  # Of x86, and of AArch64, where # stands before a number.

Instruction = namedtuple("Instruction", "address name operands text")
Function = namedtuple("Function", "symbol code")


class Unusable(Exception):
    """Why there is nothing to judge."""


def disassemble(path, objdump="objdump"):
    syntax = ["-M", "intel"] if objdump == "objdump" else []
    command = [objdump, "--disassemble", "--no-show-raw-insn", *syntax, "--", path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        raise Unusable(f"no {objdump}; install binutils") from None
    if done.returncode != 0:
        raise Unusable(done.stderr.strip())
    return done.stdout.splitlines()


def parse_instruction(address, text):
    text = COMMENT.split(text)[0].strip().replace("\t", " ")
    name, _, rest = PREFIX.sub("", text).partition(" ")
    operands = [re.sub(r"\{.*?\}", "", operand).strip() for operand in rest.split(",")]
    return Instruction(int(address, 16), name, operands, text)


def parse(lines, wanted):
    """The functions whose symbol is `wanted`."""
    found, code = [], None
    for line in lines:
        if symbol := SYMBOL.match(line):
            code = [] if wanted(symbol[1]) else None
            found.append(Function(symbol[1], code))
        elif code is not None and (instruction := LINE.match(line)):
            code.append(parse_instruction(*instruction.groups()))
    return [function for function in found if function.code]


def jump_target(instruction):
    target = JUMP.match(instruction.name) and TARGET.match(instruction.operands[-1])
    return int(target[1], 16) if target else None


def blocks(code):
    """Straight pieces of code, and where each goes on, both by the address of the first instruction.

    Where jumps through a register or a table lead is not known: a loop closed by one is not seen.
    """
    starts, pieces = {jump_target(i) for i in code}, {}
    for before, instruction in zip([None, *code], code):
        if before is None or instruction.address in starts or JUMP.match(before.name) or before.name in ENDS:
            first = instruction.address
        pieces.setdefault(first, []).append(instruction)
    edges = {}
    for (first, piece), after in zip(pieces.items(), [*list(pieces)[1:], None]):
        falls = piece[-1].name not in ENDS
        edges[first] = [to for to in (jump_target(piece[-1]), after if falls else None) if to in pieces]
    return pieces, edges


def components(nodes, edges):
    """Strongly connected components (Tarjan 1972), without recursion."""
    index, low, stack, out = {}, {}, [], []
    for root in nodes:
        work = [] if root in index else [(root, None)]
        while work:
            node, ahead = work.pop()
            if ahead is None:
                if node in index:
                    continue
                index[node] = low[node] = len(index)
                stack.append(node)
                ahead = [to for to in edges[node] if to in nodes]
                work += [(node, ahead)] + [(to, None) for to in ahead]
                continue
            low[node] = min([low[node]] + [low[to] for to in ahead if to in low])
            if low[node] == index[node]:
                at = stack.index(node)
                out.append(stack[at:])
                for done in stack[at:]:
                    low[done] = float("inf")
                del stack[at:]
    return out


def loops(nodes, edges):
    """All loops as sets of blocks, outer before inner: without its first block, a loop falls into those inside it."""
    for component in components(sorted(nodes), edges):
        inside = set(component)
        if any(to in inside for node in inside for to in edges[node]):
            yield inside
            entries = {to for node in edges if node not in inside for to in edges[node]} & inside
            yield from loops(inside - {min(entries or inside)}, edges)


def innermost_loops(code, wanted):
    """The innermost loops with wanted instructions, as lists of all their instructions. Inside may be loops without."""
    pieces, edges = blocks(code)
    having = {first for first, piece in pieces.items() if any(map(wanted, piece))}
    found = [loop for loop in loops(pieces.keys(), edges) if loop & having]
    innermost = [loop for loop in found if not any(other < loop for other in found)]
    return [[i for first in sorted(loop) for i in pieces[first]] for loop in innermost]
