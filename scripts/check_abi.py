#!/usr/bin/env python3
"""Checks that the C API is what include/selfattn.abi says it is:

    scripts/check_abi.py [--record] [--prefix PREFIX] [LIBRARY...]

The header must declare what src/capi exports, with the same types; functions, numbers of enums, sizes and offsets of structs
must be those of the list, which `--record` writes anew. A shared library that is named must export nothing else, and of the
functions of a feature all or none. Needs a C compiler ($CC, or cc) for a 64-bit target; for libraries, nm.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "include/selfattn.h"
LIST = ROOT / "include/selfattn.abi"
RUST = ROOT / "src/capi"
HEAD = """\
# The binary interface of selfattn.h on 64-bit targets. scripts/check_abi.py fails when it is no longer this, and writes it with
# --record: within a major version, lines are added and never changed.
# function NAME TYPE [feature]; enum CONSTANT VALUE; struct NAME SIZE; field STRUCT.NAME OFFSET SIZE
"""
# What C calls the types of Rust.
TYPES = {
    "usize": "size_t", "i32": "int32_t", "u32": "uint32_t", "f32": "float", "c_void": "void", "c_char": "char", "()": "void",
    "Task": "selfattn_task", "ErrorDetail": "selfattn_error", "AttentionOptions": "selfattn_attention_options",
}
STRUCTS = {
    "Batch": "batch", "Config": "config", "Encoder": "encoder", "Engine": "engine", "Epilogue": "epilogue", "Kv": "kv",
    "Mat": "mat", "MatMut": "mat_mut", "Threads": "threads", "Tokenizer": "tokenizer", "Weights": "weights",
}
TYPES |= {rust: f"selfattn_{c}" for rust, c in STRUCTS.items()}


def fail(message):
    sys.exit(f"check_abi.py: {message}")


def c_type(rust):
    """A Rust type in C, pointers spelled from the inside."""
    if match := re.fullmatch(r"\*(const|mut) (.+)", rust):
        inner = c_type(match[2])
        const = "const " if match[1] == "const" else ""
        return f"{const}{inner}*" if not inner.endswith("*") else f"{inner}{const.strip()}*"
    return TYPES.get(rust) or fail(f"no C type for {rust}")


def exported():
    """The functions that src/capi exports, as C types, and the feature that each needs."""
    features = {}
    for cfg, names in re.findall(r'(?:#\[cfg\(feature = "([\w-]+)"\)\]\n)?pub use \w+::(\{[^}]*\}|\w+);', (RUST / "mod.rs").read_text()):
        features |= {name: cfg for name in re.findall(r"\w+", names)}
    found = {}
    for path in sorted(RUST.glob("*.rs")):
        for block in re.findall(r"^( *)export! \{\n(.*?)^\1\}", path.read_text(), re.S | re.M):
            for name, arguments, result in re.findall(r"^ *fn (\w+)\(([^)]*)\)(?: -> ([^{]+?))? \{$", block[1], re.S | re.M):
                types = [c_type(argument.split(":", 1)[1].strip()) for argument in arguments.split(",") if argument.strip()]
                if not result:
                    types.append("selfattn_error*")
                signature = f"{c_type(result) if result else 'int32_t'}({', '.join(types) or 'void'})"
                if name not in features:
                    fail(f"src/capi/mod.rs does not name {name}")
                found[f"selfattn_{name}"] = (signature, features[name])
    return found


def stripped(text):
    """The header without comments, inline functions and the preprocessor."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^static inline .*?^\}", "", text, flags=re.S | re.M)
    text = re.sub(r"^ *#.*$", "", text, flags=re.M)
    return re.sub(r'extern "C" \{', "", text)


def declared(text):
    """The functions that the header declares."""
    found = {}
    for result, name, arguments in re.findall(r"^((?:const )?\w+ \**)(selfattn_\w+)\(([^;{]*?)\);", text, re.S | re.M):
        types = []
        for argument in arguments.split(","):
            argument = " ".join(argument.split())
            words = re.fullmatch(r"(.*?)\b\w+", argument)
            types.append((argument if argument == "void" else words[1]).replace(" *", "*").strip())
        found[name] = f"{result.replace(' *', '*').strip()}({', '.join(types)})"
    return found


def fields_of(body):
    return [re.search(r"(\w+)(?:\[\d+\])?$", field.strip())[1] for field in body.split(";") if field.strip()]


def layout(text):
    """The lines for enums and structs, as a C compiler sees them."""
    program = ['#include <stdio.h>', f'#include "{HEADER}"', "int main(void) {"]
    for constants in re.findall(r"enum \w+ \{(.*?)\}", text, re.S):
        for constant in re.findall(r"(\w+)\s*=", constants):
            program.append(f'printf("enum {constant} %d\\n", (int){constant});')
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", text, re.S):
        program.append(f'printf("struct {name} %zu\\n", sizeof({name}));')
        for field in fields_of(body):
            of = f"(({name} *)0)->{field}"
            program.append(f'printf("field {name}.{field} %zu %zu\\n", offsetof({name}, {field}), sizeof({of}));')
    program.append("return 0; }")
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "layout.c"), Path(folder, "layout")
        source.write_text("\n".join(program))
        compiler = os.environ.get("CC", "cc")
        subprocess.run([*compiler.split(), "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", source, "-o", binary], check=True)
        return subprocess.run([binary], check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()


def check_header(text, functions):
    """That header and Rust agree, and that every function can have a prefix and the version is the crate's."""
    in_header = declared(stripped(text))
    in_rust = {name: signature for name, (signature, _) in functions.items()}
    for name in sorted(in_header.keys() | in_rust.keys()):
        if in_header.get(name) != in_rust.get(name):
            fail(f"{name}: the header has {in_header.get(name)}, src/capi {in_rust.get(name)}")
    prefixed = re.findall(r"^#define (selfattn_(\w+)) SELFATTN_NAME\((\w+)\)$", text, re.M)
    if [name for name, *_ in prefixed] != sorted(in_header) or any(a != b for _, a, b in prefixed):
        fail(f"the header's list for SELFATTN_PREFIX is not that of its functions: {sorted(set(in_header) ^ {p[0] for p in prefixed})}")
    crate = re.search(r'^version = "(\d+)\.(\d+)\.(\d+)', (ROOT / "Cargo.toml").read_text(), re.M).groups()
    if tuple(re.findall(r"#define SELFATTN_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text)) != crate:
        fail(f"the header's version is not the crate's, {'.'.join(crate)}")


def check_library(path, prefix, functions):
    out = subprocess.run(["nm", "-D", "--defined-only", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    names = {line.split()[2] for line in out.splitlines() if line.split()[1] in "TDBRVW"}
    known = {prefix + name.removeprefix("selfattn_"): feature for name, (_, feature) in functions.items()}
    if others := sorted(names - known.keys()):
        fail(f"{path} exports what the header does not declare: {', '.join(others)}")
    for feature in sorted(set(known.values())):
        of_feature = {name for name, needs in known.items() if needs == feature}
        missing = of_feature - names
        if missing and (not feature or missing != of_feature):
            fail(f"{path} lacks {', '.join(sorted(missing))}")
    print(f"{path}: {len(names)} functions, and nothing else")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--record", action="store_true", help="write include/selfattn.abi anew")
    arguments.add_argument("--prefix", default="selfattn_", help="what the library's names start with")
    arguments.add_argument("libraries", nargs="*", metavar="LIBRARY")
    arguments = arguments.parse_args()
    text, functions = HEADER.read_text(), exported()
    check_header(text, functions)
    lines = [f"function {name} {signature}{f' [{feature}]' if feature else ''}" for name, (signature, feature) in sorted(functions.items())]
    lines += layout(stripped(text))
    if arguments.record:
        LIST.write_text(HEAD + "".join(f"{line}\n" for line in lines))
    recorded = [line for line in LIST.read_text().splitlines() if not line.startswith("#")]
    if recorded != lines:
        differences = sorted(set(recorded) ^ set(lines))
        marked = "".join(f"\n  {'-' if line in recorded else '+'} {line}" for line in differences)
        fail(f"the C API is not what {LIST.name} says (--record writes it anew, if that is meant):{marked}")
    print(f"{LIST.name}: {len(functions)} functions and {len(lines) - len(functions)} layouts, as in the header and in src/capi")
    for library in arguments.libraries:
        check_library(library, arguments.prefix, functions)


main()
