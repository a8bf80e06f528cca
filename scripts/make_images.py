#!/usr/bin/env python3
"""The pictures of README.md, made by the tool: python3 scripts/make_images.py [SELFATTN] [--model DIR]

Writes docs/images. Screenshots of the page need Chromium (Debian: chromium).
"""

import argparse
import base64
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/browser"))

from chromium import Browser  # noqa: E402

IMAGES = ROOT / "docs/images"
TEXT = "I love Apple Watch"
NEAR = "juice,fruit,smart,technology,gadget"
TEXTS = ["I love Apple Watch", "I love apple juice", "She sat on the bank of the river", "The bank lends her money",
         "He moored the boat at the shore"]
# Pixels of a screenshot.
WIDTH, HEIGHT = 1120, 1000


def photograph(page):
    with Browser() as browser:
        for scheme in ["light", "dark"]:
            browser.size(WIDTH, HEIGHT)
            browser.prefer(scheme)
            browser.open(page)
            browser.frame()
            picture = browser.call("Page.captureScreenshot", format="webp", quality=90)
            (IMAGES / f"page-{scheme}.webp").write_bytes(base64.b64decode(picture["data"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", nargs="?", default=ROOT / "target/release/selfattn", type=Path)
    parser.add_argument("--model")
    args = parser.parse_args()
    model = ["--model", args.model] if args.model else []
    IMAGES.mkdir(parents=True, exist_ok=True)
    page = IMAGES / "apple.html"
    run = lambda *words: subprocess.run([args.program, *words, *model], check=True, stdout=subprocess.DEVNULL)
    run("explain", TEXT, "--near", NEAR, "--html", page, "--svg", IMAGES / "attention.svg")
    run("embed", *TEXTS, "--plot", IMAGES / "similarity.svg")
    photograph(page)
    for image in sorted(IMAGES.iterdir()):
        print(f"{image.relative_to(ROOT)}: {image.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
