#!/usr/bin/env python3
"""Every test that docs/reliability.md names exists: scripts/check_index.py"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def main():
    text = (ROOT / "docs/reliability.md").read_text()
    named = sorted(set(re.findall(r"`([a-z_/]+)::([a-z0-9_]+)`", text)))
    missing = []
    for path, name in named:
        file = ROOT / "tests" / f"{path}.rs"
        if not file.exists() or not re.search(rf"\bfn {name}\b", file.read_text()):
            missing.append(f"{path}::{name}")
    scripts = sorted(set(re.findall(r"scripts/\w+\.(?:py|sh)", text)))
    missing += [script for script in scripts if not (ROOT / script).exists()]
    if missing or not named:
        sys.exit("docs/reliability.md names what is not there: " + ", ".join(missing or ["no test at all"]))
    print(f"{len(named)} tests and {len(scripts)} scripts that docs/reliability.md names are there")


if __name__ == "__main__":
    main()
