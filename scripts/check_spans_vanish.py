#!/usr/bin/env python3
"""That nothing of a span is left without the feature `profile`, on the machine code.

The library is built as it is, and once more with every span taken out of its source. A function must be the same in both,
instruction by instruction, but for addresses. One that held a span may have its moves in another order, since the compiler
saw them in another order: it must call the same functions as often, and be as long within 3 %.
"""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import machine_code

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPAN = re.compile(r"\.(span|scope)\(\|\|")
# What a line with a span becomes, and what stood for the engine in it.
REMOVED = [
    (re.compile(r"let (_?span) = \w+\.span\(\|\| .*\);"), "let _ = ();"),
    (re.compile(r"\.scope\(\|\| .*\);"), ";"),
    (re.compile(r"\bspan\.engine\(\)"), None),
]
PADDING = re.compile(r"\bnopw?\b|^int3|^xchg +ax,ax")
HASH = re.compile(r"17h[0-9a-f]{16}E")
# Where a function stands, and how far it is from its data.
PLACE = re.compile(r"\b(0x)?[0-9a-f]+(?= <)|rip[+-]0x[0-9a-f]+|<[^>]*\+0x[0-9a-f]+>")


def without_spans(path, engine):
    lines = []
    for line in path.read_text().split("\n"):
        for pattern, instead in REMOVED:
            line = pattern.sub(engine if instead is None else instead, line)
        lines.append(line)
    path.write_text("\n".join(lines))


def functions(crate, target):
    command = ["cargo", "rustc", "--locked", "--quiet", "--release", "--lib", "--crate-type", "cdylib"]
    command += ["--no-default-features", "--features", "std,capi", "--target-dir", target]
    environment = {**os.environ, "RUSTFLAGS": "--cap-lints allow"}
    subprocess.run(command, cwd=crate, check=True, env=environment)
    lines = machine_code.disassemble(str(target / "release/libselfattn.so"))
    found = collections.defaultdict(list)
    for function in machine_code.parse(lines, lambda _: True):
        found[HASH.sub("", function.symbol)].append([PLACE.sub("", HASH.sub("", i.text)) for i in padded_off(function.code)])
    return found


def padded_off(code):
    return [i for i in code if not PADDING.search(i.text)]


def calls(code):
    return sorted(i for i in code if i.startswith("call"))


def alike(a, b):  # with spans, and without: other moves may be fewer, but not many more
    return calls(a) == calls(b) and len(a) <= 1.03 * len(b)


def main():
    with tempfile.TemporaryDirectory() as work:
        crate, target = pathlib.Path(work) / "crate", pathlib.Path(work) / "target"
        ignored = shutil.ignore_patterns("target", "models", ".git")
        shutil.copytree(ROOT, crate, ignore=ignored)
        before = functions(crate, target)
        spans = 0
        for path in sorted([*(crate / "src/ops").rglob("*.rs"), *(crate / "src/block").rglob("*.rs")]):
            spans += len(SPAN.findall(path.read_text()))
            without_spans(path, "engine" if path.name == "forward.rs" else "self")
            assert not SPAN.search(path.read_text()), f"a span is left in {path}"
        after = functions(crate, target)
    if before.keys() != after.keys():
        sys.exit(f"functions of one alone: {sorted(before.keys() ^ after.keys())}")
    differ = [name for name in before if sorted(before[name]) != sorted(after[name])]
    count = sum(map(len, before.values()))
    print(f"{count - len(differ)} of {count} functions are the same without the {spans} spans of the source.")
    for name in differ:
        lengths = [sum(map(len, each[name])) for each in (before, after)]
        print(f"moves in another order, {lengths[0]} instructions with, {lengths[1]} without: {name}")
        if len(before[name]) != 1 or not alike(before[name][0], after[name][0]):
            sys.exit("these are not the same calls, or many more instructions")


if __name__ == "__main__":
    main()
