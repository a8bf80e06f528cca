"""What check_tiles.py has to know of the instructions of x86-64 and AArch64, as objdump prints them."""

import re


class X86:
    FORMAT = "elf64-x86-64"
    # The storage types of B, by what a loop has that reads it; f32 is read as it is.
    TYPES = {"bf16": re.compile("vpmovzxwd|vpslld|vdpbf16ps"), "f16": re.compile("vcvtph2ps"), "f32": re.compile("")}
    MOVE = re.compile(r"vmov[au]p[sd]|vmovdq[au](8|16|32|64)?$")
    CALL = re.compile("call")
    GATHER = re.compile(r"vp?(gather|scatter)")
    SCALAR_FMA = re.compile(r"vfn?m(add|sub)\d*s[sd]$")
    VECTOR = re.compile(r"[xyz](mm\d+)")
    # The order of the operands says which one is added: a = a * c + b, a = b * a + c, a = b * c + a.
    PACKED_FMA = re.compile(r"vfn?m(?:add|sub|addsub|subadd)(132|213|231)ps|vdpbf16ps")
    ADDEND = {"132": 1, "213": 2, "231": 0, None: 0}
    BROADCAST = re.compile(r"vbroadcastss|vpbroadcastd")

    @staticmethod
    def stack(code):
        """Matches what lies on the stack. RBP points there in some functions, and anywhere in the others.

        An array on the stack that is reached through yet another register is not seen.
        """
        frame = any(i.name == "mov" and i.operands == ["rbp", "rsp"] for i in code)
        return re.compile(r"\[(rsp|rbp)[]+-]" if frame else r"\[rsp[]+-]")

    @classmethod
    def register(cls, operand):
        """Of whatever width; None if it is no vector."""
        found = cls.VECTOR.search(operand)
        return found and found[1]

    @classmethod
    def has_vector(cls, instruction):
        return bool(cls.VECTOR.search(instruction.text))

    @classmethod
    def addend(cls, instruction):
        """The operand that a multiply-add adds to, or None."""
        fma = cls.PACKED_FMA.match(instruction.name)
        return fma and instruction.operands[cls.ADDEND[fma[1]]]

    @classmethod
    def is_packed_fma(cls, instruction):
        return bool(cls.PACKED_FMA.match(instruction.name)) and instruction.operands[0][0] in "yz"

    @staticmethod
    def lanes(fma):
        return 16 if "zmm" in fma.text else 8

    @classmethod
    def written(cls, instruction):
        """The vectors that any other instruction writes."""
        return [operand for operand in instruction.operands[:1] if cls.VECTOR.search(operand)]

    @classmethod
    def is_load(cls, instruction):
        return cls.has_vector(instruction) and any("[" in operand for operand in instruction.operands[1:])

    @classmethod
    def is_broadcast(cls, instruction):
        """Of an element of A: constants stand beside the code and do not count."""
        text = instruction.text
        return "[rip" not in text and bool(cls.BROADCAST.match(text) or "BCST" in text or "{1to" in text)


class A64:
    FORMAT = "elf64-littleaarch64"
    TYPES = {"bf16": re.compile("u?shll?2?$|bfdot$"), "f16": re.compile("fcvtl2?$"), "f32": re.compile("")}
    MOVE = re.compile("mov$")
    CALL = re.compile("blr?$")
    GATHER = re.compile("ld1$")  # Of single lanes; whole registers are loaded by LDR and LDP.
    SCALAR_FMA = re.compile("fn?m(add|sub)$")
    VECTOR = re.compile(r"\b[vqds](\d+)\b")

    @staticmethod
    def stack(code):
        """Matches what lies on the stack: X29 points there where it was made to, and anywhere in other functions."""
        frame = any(i.operands[:2] == ["x29", "sp"] for i in code)
        return re.compile(r"\[(sp|x29)\b" if frame else r"\[sp\b")

    @classmethod
    def register(cls, operand):
        found = not operand.startswith("[") and cls.VECTOR.match(operand)
        return "v" + found[1] if found else None

    @classmethod
    def has_vector(cls, instruction):
        return any(map(cls.register, instruction.operands))

    @classmethod
    def addend(cls, instruction):
        return instruction.operands[0] if cls.is_packed_fma(instruction) else None

    @staticmethod
    def is_packed_fma(instruction):
        return instruction.name in ("fmla", "fmls", "bfdot") and instruction.operands[0].endswith(".4s")

    @staticmethod
    def lanes(fma):
        return 4

    @classmethod
    def written(cls, instruction):
        if instruction.name.startswith("st"):
            return []
        return [operand for operand in instruction.operands[: 2 if instruction.name == "ldp" else 1] if cls.register(operand)]

    @classmethod
    def is_load(cls, instruction):
        return instruction.name.startswith("ld") and cls.has_vector(instruction)

    @staticmethod
    def is_broadcast(instruction):
        """An element of A comes into one lane, from which it is multiplied, or into all of them."""
        return instruction.name == "ld1r" or instruction.name == "ldr" and instruction.operands[0].startswith("s")
