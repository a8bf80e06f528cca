"""How often the model reads the right sense, as the command line tells it: python training/evaluate.py

Needs Python 3.11 and `cargo build --release --features cli`, nothing else. Each text of the test goes through
`selfattn explain --json`; what counts is the sense that users would see. Fails if the accuracy is below what the model
card promises.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lexicon import Lexicon
from testset import test_set

ROOT = Path(__file__).parent.parent
# The least share of right senses in the same sentence, and from afar.
NEAR, FAR = 0.97, 0.90
# Attention off may differ from guessing by this much.
CHANCE = 0.03


def place(text, sense):
    """The first occurrence of the ambiguous word, counted in words as `explain` counts them: marks are none."""
    return sum(word.isalpha() for word in text.words[: text.senses.index(sense)])


def read(command, text, sense):
    """The sense that is read, and the one that is read with attention off."""
    output = subprocess.run([*command, str(text)], capture_output=True, text=True, check=False)
    if output.returncode != 0:
        sys.exit(f"{command[0]}: {output.stderr}")
    report = json.loads(output.stdout)
    index = place(text, sense)
    assert all(word["known"] for word in report["words"]), str(text)
    found = next((found for found in report["senses"] if found["index"] == index), None)
    if found is None:
        return None, None
    return found["sense"], max(found["senses"], key=lambda share: share["without_attention"])["sense"]


def evaluate(command, texts):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda pair: read(command, *pair), texts))
    right = [here == sense.name for (here, _), (_, sense) in zip(results, texts)]
    alone = [alone == sense.name for (_, alone), (_, sense) in zip(results, texts)]
    return right, alone


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selfattn", default=ROOT / "target/release/selfattn", help="the program")
    parser.add_argument("--model", help="a model's folder, instead of the model in the program")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th text")
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="list the N senses that are missed most")
    args = parser.parse_args()
    command = [args.selfattn, "explain", "--json", "--threads", "1", *(["--model", args.model] if args.model else [])]
    lexicon = Lexicon()
    guess = len(lexicon.words) / len(lexicon.senses)
    print("| the deciding word is | texts | right sense | attention off | guessing |\n|---|---|---|---|---|")
    failures, missed = [], Counter()
    for name, texts in test_set(lexicon):
        texts = texts[:: args.every]
        right, alone = evaluate(command, texts)
        share, share_alone = sum(right) / len(texts), sum(alone) / len(texts)
        print(f"| {name} | {len(texts)} | {share:.1%} | {share_alone:.1%} | {guess:.1%} |", flush=True)
        least = NEAR if "same" in name else FAR
        if share < least:
            failures.append(f"{name}: {share:.1%} is less than {least:.0%}")
        if abs(share_alone - guess) > CHANCE:
            failures.append(f"{name}: {share_alone:.1%} with attention off is not guessing")
        missed.update(sense.label for (_, sense), hit in zip(texts, right) if not hit)
    for label, count in missed.most_common(args.worst):
        print(f"{label}: {count} missed")
    sys.exit("\n".join(failures) or 0)


if __name__ == "__main__":
    main()
