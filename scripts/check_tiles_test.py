#!/usr/bin/env python3
"""Tests of check_tiles.py on made-up disassembly: python3 scripts/check_tiles_test.py"""

import contextlib
import io
import subprocess
import sys
import unittest
from pathlib import Path

import check_tiles
from machine_code import innermost_loops

OLD_NAME = "_ZN71_$LT$selfattn..simd..{0}..X$u20$as$u20$selfattn..simd..Simd$GT$4call7enabled17h0123456789abcdefE"
NEW_NAME = "_RINvNvXs_NtNtCs1_8selfattn4simd{1}{0}NtB5_3AvxNtB7_4Simd4call7enabledNtB9_2OpEB9_"
LANES = {"avx2": ("y", 8), "avx512": ("z", 16)}
SIZES = {"avx2": (6, 2), "avx512": (8, 3)}
READ = {"f32": "vmovups {0}, [rsi]", "f16": "vcvtph2ps {0}, [rsi]", "bf16": "vpmovzxwd {0}, [rsi]"}


def tile(level, kind="f32", rows=None, registers=None, steps=1):
    """The instructions of a tile: sums from register 4 on, the line of the panel from 1 on, an element of A in 0."""
    r = LANES[level][0] + "mm"
    rows, registers = rows or SIZES[level][0], registers or SIZES[level][1]
    step = [READ[kind].format(f"{r}{1 + j}") for j in range(registers)]
    for i in range(rows):
        step += [f"vbroadcastss {r}0, DWORD PTR [rdi+{i}*4]"]
        step += [f"vfmadd231ps {r}{4 + i * registers + j}, {r}0, {r}{1 + j}" for j in range(registers)]
    return step * steps


def loop(*body):
    """Instructions and a jump back to the first of them."""
    return [("start", body[0]), *body[1:], "jne start"]


def function(level, *lines, name=OLD_NAME):
    """A function as objdump prints it. A pair is a label and an instruction; a jump goes to the last label of its name
    before it, or else to the first after it."""
    symbol = name.format(level, len(level))
    labels = [(at, line[0]) for at, line in enumerate(lines) if isinstance(line, tuple)]
    out = ["", f"0000000000000000 <{symbol}>:"]
    for at, line in enumerate(lines):
        text = line[1] if isinstance(line, tuple) else line
        operation, _, label = text.partition(" ")
        if operation[0] == "j" or operation == "b.ne":
            back = [place for place, this in labels if this == label and place <= at]
            to = back[-1] if back else next(place for place, this in labels if this == label)
            text = f"{operation}    {4 * to:x} <{symbol}+0x{4 * to:x}>"
        out.append(f"    {4 * at:4x}:\t{text.replace(', ', ',')}")
    return out


def full(level, **changes):
    """A function with the tile of each type, or with what is given in its place."""
    code = {kind: loop(*tile(level, kind)) for kind in ("f32", "f16", "bf16")}
    code.update(changes)
    return function(level, "push rbp", *sum(code.values(), []), "ret")


def judge(*functions, expect=("avx2",)):
    """The exit code and what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = check_tiles.judge(sum(functions, []), list(expect))
    return code, out.getvalue()


def found(lines):
    """The tiles of one function."""
    (kernel,) = check_tiles.kernels(lines)
    loops = innermost_loops(kernel.code, kernel.isa.is_packed_fma)
    return [tile for code in loops if (tile := check_tiles.tile_of(kernel, code))]


A64_READ = {
    "first of pairs": ["ldp q{}, q{}, [x1]", "ldr q{}, [x1, #32]"] + [f"shl v{r}.4s, v{r}.4s, #16" for r in (1, 2, 3)],
    "pairs": ["ldp q{}, q{}, [x1]", "ldr q{}, [x1, #32]"],
    "f32": ["ldp q{}, q{}, [x1]", "ldr q{}, [x1, #32]"],
    "f16": ["ldp d{}, d{}, [x1]", "ldr d{}, [x1, #16]"] + [f"fcvtl v{r}.4s, v{r}.4h" for r in (1, 2, 3)],
    "bf16": ["ldp d{}, d{}, [x1]", "ldr d{}, [x1, #16]"] + [f"shll v{r}.4s, v{r}.4h, #16" for r in (1, 2, 3)],
}


def neon_loop(kind, *more):
    """A tile of NEON as the compiler makes it: three instructions beside those that its shape asks for, and `more`."""
    read = iter((1, 2, 3))
    body = [line.format(*(next(read) for _ in range(line.count("{}")))) for line in A64_READ[kind]]
    multiply = "bfdot v{}.4s, v{}.8h, v0.2h[0]" if kind == "pairs" else "fmla v{}.4s, v{}.4s, v0.s[0]"
    for i in range(8):
        body += [f"ldr s0, [x2, x{3 + i}, lsl #2]"]
        body += [multiply.format(4 + 3 * i + j, 1 + j) for j in range(3)]
    body += ["add x1, x1, #0x30", "add x2, x2, x11", "subs x12, x12, #0x1", *more]
    return [("start", body[0]), *body[1:], "b.ne start"]


def neon(**changes):
    code = {kind: neon_loop(kind) for kind in ("f32", "f16", "bf16")}
    code.update(changes)
    return ["f.o:     file format elf64-littleaarch64", *function("neon", *sum(code.values(), []), "ret")]


class Neon(unittest.TestCase):
    def judge(self, **changes):
        return judge(neon(**changes), expect=["neon"])

    def test_clean_tiles(self):
        code, out = self.judge()
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"f32 +8 x 12 +1 +1 +24 +0.42 +38 ")
        self.assertRegex(out, r"f16 +8 x 12 +1 +1 +24 +0.42 +41 ")

    def test_prefetching_is_asked_for(self):
        ahead = ["add x13, x13, x10", "prfm pldl2keep, [x13]", "prfm pldl2keep, [x13, #64]"]
        code, out = self.judge(f32=neon_loop("f32", *ahead))
        self.assertEqual(code, 0, out)
        code, out = self.judge(f32=neon_loop("f32", *ahead, "mov x9, x9"))
        self.assertEqual(code, 1, out)
        self.assertIn("the f32 tile has 42 instructions, and its shape asks for 38\n", out)

    def test_pairs(self):
        code, out = self.judge(bf16=neon_loop("pairs"))
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"bf16 +8 x 12 +1 +2 +24 +0.42 +38 ")
        code, out = self.judge(bf16=neon_loop("pairs", "mov x9, x9"))
        self.assertEqual(code, 1, out)
        self.assertIn("the bf16 tile has 39 instructions, and its shape asks for 35\n", out)

    def test_pairs_that_are_widened(self):
        code, out = self.judge(bf16=neon_loop("first of pairs"))
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"bf16 +8 x 12 +1 +1 +24 +0.42 +41 ")

    def test_too_many_instructions(self):
        code, out = self.judge(f32=neon_loop("f32", "mov x9, x9"))
        self.assertEqual(code, 1, out)
        self.assertIn("the f32 tile has 39 instructions, and its shape asks for 35\n", out)

    def test_faults(self):
        for what, *lines in [
            ("a call", "bl 5 <memset>"),
            ("a vector on the stack", "str q4, [sp, #16]", "ldr q4, [sp, #16]"),
            ("a vector on the stack", "ldp q1, q2, [sp]"),
            ("a gather or scatter", "ld1 {v0.s}[1], [x2]"),
            ("a scalar multiply-add", "fmadd s0, s1, s2, s3"),
        ]:
            code, out = self.judge(f32=neon_loop("f32", *lines))
            self.assertEqual(code, 1, out)
            self.assertIn(f"has {what}:", out)

    def test_a_type_is_missing(self):
        code, out = self.judge(f16=[])
        self.assertEqual(code, 2)
        self.assertIn("neon: no tile of 8 x 12 for f16\n", out)


class Passes(unittest.TestCase):
    def test_clean_tiles_of_both_levels(self):
        code, out = judge(full("avx2"), full("avx512"), expect=("avx2", "avx512"))
        self.assertEqual(code, 0, out)
        self.assertRegex(out, r"f32 +6 x 16 +1 +1 +12 +0.67 +\d+ +01234567\n")
        self.assertRegex(out, r"bf16 +8 x 48 +1 +1 +24 +0.46 ")

    def test_base_pointer_as_any_register(self):
        body = [line.replace("rdi", "rbp") for line in tile("avx2")]
        self.assertEqual(judge(full("avx2", f32=loop(*body)))[0], 0)

    def test_spill_outside_the_tile(self):
        outer = ["vmovups YMMWORD PTR [rsp+0x40], ymm4", *loop(*tile("avx2")), "call 5 <f>"]
        self.assertEqual(judge(full("avx2", f32=[("outer", outer[0]), *outer[1:], "jne outer"]))[0], 0)

    def test_spill_in_a_polynomial(self):
        horner = ["vmovups ymm1, YMMWORD PTR [rsp+0x40]", "vbroadcastss ymm2, DWORD PTR [rax]"]
        horner += [f"vfmadd213ps ymm1, ymm0, ymm{c}" for c in range(4, 14)]
        code, out = judge(full("avx2", polynomial=loop(*horner)))
        self.assertEqual(code, 0, out)
        self.assertIn("Not judged: 1 loops of multiply-adds that are no tiles, 1 of them", out)

    def test_constants_and_other_reads_do_not_change_the_size(self):
        constants = ["vbroadcastss ymm3, DWORD PTR [rip+0x10]        # 40 <c>"] * 5
        (got,) = found(function("avx2", *loop(*tile("avx2"), *constants)))
        self.assertEqual((got.rows, got.columns, got.loads), (6, 16, 8 + 5))

    def test_sums_that_change_registers_within_a_turn(self):
        body = ["vbroadcastss ymm0, [rax]", "vfmadd213ps ymm0, ymm1, ymm2", "vbroadcastss ymm2, [rax]"]
        body = (body + ["vfmadd213ps ymm2, ymm1, ymm0"]) * 4
        (got,) = found(function("avx2", *loop(*body)))
        self.assertEqual((got.rows, got.columns, got.steps), (1, 8, 8))

    def test_broadcasts_as_operands(self):
        body = ["vmovups zmm0, [rsi]"] + [f"vfmadd231ps zmm{4 + i}, zmm0, DWORD BCST [rdi+{i}*4]" for i in range(8)]
        (got,) = found(function("avx512", *loop(*body)))
        self.assertEqual((got.rows, got.columns, got.steps, got.loads), (8, 16, 1, 9))

    def test_pairs_of_bf16(self):
        body = [line.replace("vfmadd231ps", "vdpbf16ps") for line in tile("avx512", steps=2)]
        (got,) = found(function("avx512", *loop(*body)))
        self.assertEqual((got.type, got.rows, got.columns, got.steps), ("bf16", 8, 48, 4))

    def test_new_style_of_names(self):
        (got,) = found(function("avx512", *loop(*tile("avx512")), name=NEW_NAME))
        self.assertEqual(got.kernel.level, "avx512")


class Fails(unittest.TestCase):
    def assert_bad(self, what, *lines, level="avx2", before=()):
        body = tile(level)
        middle = len(body) // 2
        code, out = judge(full(level, f32=[*before, *loop(*body[:middle], *lines, *body[middle:])]), expect=[level])
        self.assertEqual(code, 1, out)
        self.assertIn(f"has {what}:", out)
        for line in lines:
            self.assertRegex(out, r">>> +[0-9a-f]+: " + line.split()[0])

    def test_call(self):
        self.assert_bad("a call", "call 5 <memset>")

    def test_sum_on_the_stack(self):
        slot = "YMMWORD PTR [rsp+0x40]"
        self.assert_bad("a vector on the stack", f"vmovaps {slot}, ymm4", f"vmovaps ymm4, {slot}")

    def test_every_sum_on_the_stack(self):
        sums = [f"YMMWORD PTR [rsp+0x{32 * i:x}]" for i in range(4)]
        step = ["vbroadcastss ymm0, DWORD PTR [rdi]"]
        for slot in sums:
            step += [f"vmovups ymm1, {slot}", "vfmadd231ps ymm1, ymm0, [rsi]", f"vmovups {slot}, ymm1"]
        self.assertEqual(judge(full("avx2", spilt=loop(*step * 4)))[0], 1)

    def test_operand_on_the_stack(self):
        self.assert_bad("a vector on the stack", "vfmadd231ps ymm4, ymm0, YMMWORD PTR [rsp+rax*1+0x40]")
        self.assert_bad("a vector on the stack", "vbroadcastss ymm0, DWORD PTR [rsp]")
        self.assert_bad("a vector on the stack", "vmovups zmm30, ZMMWORD PTR [rsp-0x40]", level="avx512")

    def test_stack_through_the_base_pointer(self):
        self.assert_bad("a vector on the stack", "vmovaps ymm3, YMMWORD PTR [rbp-0x40]", before=["mov rbp, rsp"])

    def test_gather_and_scalar(self):
        self.assert_bad("a gather or scatter", "vgatherdps ymm3, DWORD PTR [rax+ymm2*4], ymm1")
        self.assert_bad("a scalar multiply-add", "vfmadd231ss xmm3, xmm2, xmm1")

    def test_tile_round_a_loop_out_of_line(self):
        """As compilers place prefetching: far behind, jumping back into the tile."""
        head, *rest = tile("avx2")
        code = [("start", "je ahead"), ("body", head), *rest, "jne start", "ret"]
        ahead = [("ahead", "prefetcht1 BYTE PTR [r8]"), "jne ahead", "jmp body"]
        self.assertEqual(judge(full("avx2", f32=code + ahead))[0], 0)
        ahead[0] = ("ahead", "call 5 <prefetch>")
        code, out = judge(full("avx2", f32=code + ahead))
        self.assertEqual(code, 1, out)


class Finds(unittest.TestCase):
    def test_nothing(self):
        self.assertEqual(judge([], expect=[])[0], 2)
        self.assertEqual(judge(function("avx2", "push rbp", "ret"))[0], 2)
        self.assertEqual(judge(function("avx2", *loop(*tile("avx2")), name="other_crate_{0}"))[0], 2)

    def test_no_loop(self):
        self.assertEqual(judge(function("avx2", *tile("avx2"), "ret"), expect=[])[0], 2)

    def test_a_level_is_missing(self):
        code, out = judge(full("avx2"), expect=("avx2", "avx512"))
        self.assertEqual(code, 2)
        self.assertIn("avx512: no tile of 8 x 48 for bf16, f16, f32", out)

    def test_the_full_size_is_missing(self):
        for smaller in ({"rows": 5}, {"registers": 1}):
            code, out = judge(full("avx2", f32=loop(*tile("avx2", **smaller))))
            self.assertEqual(code, 2, smaller)
            self.assertIn("avx2: no tile of 6 x 16 for f32\n", out)

    def test_a_type_is_missing(self):
        self.assertEqual(judge(full("avx512", f16=[]), expect=["avx512"])[0], 2)

    def test_a_bad_tile_comes_before_a_missing_one(self):
        self.assertEqual(judge(full("avx2", f32=loop(*tile("avx2"), "call 5 <f>"), f16=[]))[0], 1)

    def test_command(self):
        script = Path(check_tiles.__file__)
        for arguments in ([], ["--expect", "avx9", script], [script], ["no such file"]):
            done = subprocess.run([sys.executable, script, *arguments], capture_output=True)
            self.assertEqual(done.returncode, 2, arguments)


if __name__ == "__main__":
    unittest.main()
