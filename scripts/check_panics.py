#!/usr/bin/env python3
"""Builds the C API as a static library without std, links its functions, and fails if a panic or formatting comes along:

    scripts/check_panics.py [TARGET...]

All functions but selfattn_config_parse: the decimal numbers of its JSON are read by `core`, whose own code is linked with checks
of its indices. A program that fills its config by hand does without.

Without targets it is the host's. Needs rust-lld, which every Rust toolchain has, and readelf. The environment variable TOOLCHAIN
names the toolchain of rustup that has the targets; without it, it is the one that `cargo` is.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLCHAIN = [f"+{os.environ['TOOLCHAIN']}"] if os.environ.get("TOOLCHAIN") else []
# As both manglings of names spell `core::panicking` and `core::fmt`.
FORBIDDEN = re.compile(r"4core9panicking|4core3fmt|rust_begin_unwind|panic_handler")
# What any C compiler expects of its environment, too.
ENVIRONMENT = {"memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"}


def fail(message):
    sys.exit(f"check_panics.py: {message}")


def output(*command):
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def build(target):
    """The static library, as firmware links it."""
    options = ["--release", "--locked", "--quiet", "--lib", "--crate-type", "staticlib", "--no-default-features"]
    options += ["--features", "capi,capi-panic-handler", "--config", 'profile.release.panic="abort"']
    # Debug information would be most of the file, and is not looked at.
    options += ["--config", "profile.release.debug=false", "--config", 'profile.release.lto="fat"']
    output("cargo", *TOOLCHAIN, "rustc", *options, "--target", target)
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return folder / target / "release/libselfattn.a"


def functions():
    """Those that need no feature."""
    listed = (ROOT / "include/selfattn.abi").read_text()
    return [name for name in re.findall(r"^function (\w+) .*\)$", listed, re.M) if name != "selfattn_config_parse"]


def main():
    if not shutil.which("readelf"):
        fail("no readelf: install binutils")
    version = output("rustc", *TOOLCHAIN, "-vV")
    host = re.search(r"^host: (\S+)", version, re.M)[1]
    linker = Path(output("rustc", *TOOLCHAIN, "--print", "sysroot").strip(), "lib/rustlib", host, "bin/rust-lld")
    names = functions()
    for target in sys.argv[1:] or [host]:
        library = build(target)
        image = library.with_name("selfattn-c-api")
        wanted = [option for name in names for option in ("-u", name)]
        link = ["--gc-sections", "--unresolved-symbols=ignore-all", "-e", names[0], *wanted]
        output(linker, "-flavor", "gnu", *link, library, "-o", image)
        symbols = [line.split() for line in output("readelf", "-sW", image).splitlines() if re.match(r"\s+\d+:", line)]
        undefined = {words[7] for words in symbols if len(words) > 7 and words[6] == "UND"} - ENVIRONMENT
        found = sorted({words[7] for words in symbols if len(words) > 7 and FORBIDDEN.search(words[7])})
        if found:
            fail(f"the C API links a panic or formatting on {target}: {', '.join(found)}")
        if undefined:
            fail(f"the C API needs on {target} what C programs do not have: {', '.join(sorted(undefined))}")
        text = sum(int(line.split()[5], 16) for line in output("readelf", "-SW", image).replace("[ ", "[").splitlines() if " .text " in line)
        print(f"{target}: {len(names)} functions link no panic and no formatting; {text // 1024} KB of code")


main()
