"""Trains the model and writes its folder: python train.py [--out ../model]"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from batches import IGNORE, Batches
from encoder import Encoder, Sizes
from export import write
from grammar import Grammar
from lexicon import Lexicon
from tokens import Tokens

SEED = 1
STEPS = 4000
RATE, WARM_UP = 2e-3, 200
# Short texts first: where to look is learned there, and how far to look after that.
FIRST, KINDS = ("near", "near", "near", "middle"), ("near", "middle", "near", "long")
FIRST_SHARE = 0.4
# What tokens without a sense count: they are many and easy.
NONE_WEIGHT = 0.2


def label_names(lexicon):
    """The labels: O for no sense, as is usual for tokens, then the senses."""
    return ["O"] + [sense.label for sense in lexicon.senses]


def losses(model, batch):
    hidden = model(batch.ids, batch.mask)
    asked = batch.words != IGNORE
    word_loss = F.cross_entropy(model.word_logits(hidden[asked]), batch.words[asked])
    labelled = batch.labels != IGNORE
    labels = batch.labels[labelled]
    logits = model.classifier(hidden[labelled])
    each = F.cross_entropy(logits, labels, reduction="none")
    sense, none = labels > 0, labels == 0
    sense_loss = each[sense].sum() / sense.sum().clamp(min=1) + NONE_WEIGHT * each[none].mean()
    right = (logits[sense].argmax(-1) == labels[sense]).float().mean().item() if sense.any() else 0.0
    return word_loss, sense_loss, right


def rate(step, steps):
    """Warms up linearly, then falls to nothing along a cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(steps - WARM_UP, 1)))


def train(model, batches, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
    start, shown = time.time(), {}
    for step in range(steps):
        kind = (FIRST if step < FIRST_SHARE * steps else KINDS)[step % len(KINDS)]
        word_loss, sense_loss, right = losses(model, batches.batch(kind))
        optimizer.zero_grad()
        (word_loss + sense_loss).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        old = shown.get(kind, (word_loss.item(), sense_loss.item(), right))
        shown[kind] = tuple(0.95 * before + 0.05 * now for before, now in zip(old, (word_loss.item(), sense_loss.item(), right)))
        if (step + 1) % 200 == 0:
            parts = (f"{name}: words {x:.2f} senses {y:.3f} right {z:.3f}" for name, (x, y, z) in shown.items())
            times = f"{time.time() - start:5.0f} s, {time.process_time():5.0f} s CPU"
            print(f"{step + 1:5}/{steps} {times}  {'; '.join(parts)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "model")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    lexicon = Lexicon()
    tokens = Tokens(lexicon)
    names = label_names(lexicon)
    sizes = Sizes(vocab=len(tokens.vocabulary), labels=len(names))
    model = Encoder(sizes)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(lexicon.words)} words, {len(lexicon.senses)} senses, {sizes.vocab} entries, {parameters} parameters")
    labels = {name: at for at, name in enumerate(names)}
    batches = Batches(lexicon, tokens, Grammar(lexicon, random.Random(args.seed)), labels, sizes.positions)
    train(model, batches, args.steps)
    write(args.out, model, tokens, names)


if __name__ == "__main__":
    main()
