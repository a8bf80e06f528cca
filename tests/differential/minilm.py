#!/usr/bin/env python3
"""Random sentences through MiniLM: the command line against an independent implementation in float64.

    python3 tests/differential/minilm.py [--count 200] [--seed 1] [--reference numpy|torch] [--selfattn target/release/selfattn]

Sentences are printable Unicode of 3 to 512 tokens (the two special ones included), from a generator with a seed; the same count and seed give the same
sentences. Token ids must be those of the `tokenizers` package, and every number of a sentence vector within 1e-6. No sentence
is left out. Needs numpy, scipy and tokenizers; with `--reference torch`, torch and transformers instead of scipy.
"""

import argparse
import collections
import itertools
import json
import math
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 1e-6
# What the model takes, the two special tokens included.
MOST = 512
# Tokens of a batch of the reference: its largest matrix has 1536 float64 for each.
BATCH = 4096
# Sentences between two lines of report.
CHECKPOINT = 500


def missing(error):
    sys.exit(f"{error}: pip install numpy scipy tokenizers (torch transformers for --reference torch)")


try:
    import numpy as np
    from tokenizers import Tokenizer
except ImportError as error:
    missing(error)


class Sentences:
    """Printable Unicode in words, most of them of one script, as texts are."""

    # Ranges that texts are made of, and how often: then all of Unicode.
    SCRIPTS = [
        (8, 0x21, 0x7E), (4, 0xA1, 0x17F), (2, 0x370, 0x3FF), (2, 0x400, 0x4FF), (1, 0x590, 0x5FF), (1, 0x600, 0x6FF),
        (1, 0x900, 0x97F), (1, 0xE00, 0xE7F), (1, 0x1E00, 0x1EFF), (1, 0x2000, 0x2BFF), (1, 0x300, 0x36F),
        (2, 0x3040, 0x30FF), (2, 0x4E00, 0x9FFF), (1, 0xAC00, 0xD7A3), (1, 0xFF00, 0xFFEF), (1, 0x1F300, 0x1FAFF),
        (1, 0x1D400, 0x1D7FF), (2, 0xA0, 0x10FFFF),
    ]

    def __init__(self, tokenizer, seed):
        self.random = random.Random(seed)
        self.tokenizer = tokenizer
        vocabulary = sorted(tokenizer.get_vocab())
        self.words = [word for word in vocabulary if word.isalpha()]

    def char(self, low, high):
        while True:
            char = chr(self.random.randint(low, high))
            # Printable: letters, marks, numbers, punctuation, symbols, spaces of a line.
            if unicodedata.category(char)[0] in "LMNPS" or char == "\u00a0":
                return char

    def word(self):
        if self.random.random() < 0.5:
            return self.random.choice(self.words)
        _, low, high = self.random.choices(self.SCRIPTS, [weight for weight, _, _ in self.SCRIPTS])[0]
        return "".join(self.char(low, high) for _ in range(self.random.randint(1, 8)))

    def sentence(self, tokens):
        """A sentence of exactly that many tokens, and the two special ones."""
        words, count = [], 0
        while count < tokens:
            words.append(self.word())
            count += len(self.tokenizer.encode(words[-1], add_special_tokens=False).ids)
        while (excess := len(self.tokenizer.encode(" ".join(words)).ids) - tokens - 2) > 0:
            # The first characters of the last word, or what is before it.
            words[-1:] = [words[-1][:-1]] if len(words[-1]) > 1 else []
        return " ".join(words + ["."] * -excess)

    def take(self, count):
        """Half of them have less than 23 tokens, a tenth more than 270; both ends are there."""
        ends = [1, MOST - 2]
        for i in range(count):
            tokens = ends[i] if i < len(ends) else round(math.exp(self.random.uniform(0, math.log(MOST - 2))))
            yield self.sentence(tokens)


def read_safetensors(path):
    """Every tensor of the file, as float64."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, tensor in header.items():
        if tensor["dtype"] != "F32":
            continue  # position ids, which are 0, 1, 2, ...
        begin, end = tensor["data_offsets"]
        numbers = np.frombuffer(data, "<f4", (end - begin) // 4, 8 + length + begin)
        tensors[name] = numbers.reshape(tensor["shape"]).astype(np.float64)
    return tensors


class Numpy:
    """BERT (Devlin et al. 2018) and the mean over tokens, in float64."""

    def __init__(self, folder):
        try:
            from scipy.special import erf
        except ImportError as error:
            missing(error)
        self.erf = erf
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = read_safetensors(folder / "model.safetensors")

    def linear(self, x, name):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def attention(self, x, name):
        batch, length, width = x.shape
        heads = self.config["num_attention_heads"]

        def split(part):
            return self.linear(x, f"{name}.self.{part}").reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)

        q, k, v = split("query"), split("key"), split("value")
        scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(width // heads)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        context = (weights @ v).transpose(0, 2, 1, 3).reshape(batch, length, width)
        return self.linear(context, f"{name}.output.dense")

    def vectors(self, ids):
        """Of sentences of the same length: a row of ids each."""
        tensors = self.tensors
        x = tensors["embeddings.word_embeddings.weight"][ids] + tensors["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x + tensors["embeddings.position_embeddings.weight"][: ids.shape[1]], "embeddings.LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            name = f"encoder.layer.{layer}"
            x = self.norm(x + self.attention(x, f"{name}.attention"), f"{name}.attention.output.LayerNorm")
            inner = self.linear(x, f"{name}.intermediate.dense")
            inner *= 0.5 * (1 + self.erf(inner / math.sqrt(2)))
            x = self.norm(x + self.linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        mean = x.mean(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


class Torch:
    """The reference library itself, in float64."""

    def __init__(self, folder):
        try:
            import torch
            from transformers import BertModel
        except ImportError as error:
            missing(error)
        self.torch = torch
        self.model = BertModel.from_pretrained(str(folder), torch_dtype=torch.float64).eval()
        print(f"torch {torch.__version__}, weights as {self.model.dtype}")

    def vectors(self, ids):
        with self.torch.inference_mode():
            mean = self.model(self.torch.from_numpy(ids)).last_hidden_state.mean(dim=1)
            return self.torch.nn.functional.normalize(mean, dim=1).numpy()


def embed(program, folder, texts, level):
    """Ids and vector of each text, by the command line."""
    with tempfile.TemporaryDirectory() as work:
        lines, out = pathlib.Path(work, "texts"), pathlib.Path(work, "vectors.jsonl")
        lines.write_text("".join(text + "\n" for text in texts), encoding="utf-8", newline="")
        command = [program, "embed", "--model", folder, "--in", lines, "--out", out, "--no-truncate"]
        command += ["--level", level] if level else []
        # On standard error it lists the words that the model does not know, which are most of these.
        done = subprocess.run([str(word) for word in command], stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"selfattn ended with {done.returncode}: {done.stderr[-2000:]}")
        # By line feeds alone: some characters of a text would end a line for `splitlines`.
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [row["text"] for row in rows] == texts, "the texts are not those that were given"
    return [row["ids"] for row in rows], np.array([row["embedding"] for row in rows])


def batches(ids):
    """Indices of sentences of one length, few enough for the memory."""
    by_length = collections.defaultdict(list)
    for i, row in enumerate(ids):
        by_length[len(row)].append(i)
    for length, indices in sorted(by_length.items()):
        step = max(BATCH // length, 1)
        yield from (indices[start : start + step] for start in range(0, len(indices), step))


class Run:
    """What has been compared so far."""

    def __init__(self, args, tokenizer, reference):
        self.args, self.tokenizer, self.reference = args, tokenizer, reference
        self.start, self.ours = time.monotonic(), 0.0
        self.lengths, self.compared, self.worst, self.worst_text = [], 0, 0.0, None

    def compare(self, texts):
        expected = [self.tokenizer.encode(text).ids for text in texts]
        start = time.monotonic()
        ids, vectors = embed(self.args.selfattn, self.args.model, texts, self.args.level)
        self.ours += time.monotonic() - start
        for text, got, ids_expected in zip(texts, ids, expected, strict=True):
            assert got == ids_expected, f"ids of {text!r}: {got}, not {ids_expected}"
        for indices in batches(expected):
            truth = self.reference.vectors(np.array([expected[i] for i in indices]))
            errors = np.abs(vectors[indices] - truth).max(axis=1)
            # A NaN is no distance that could be compared.
            assert np.isfinite(errors).all(), [texts[i] for i in indices]
            self.compared += len(indices)
            if errors.max() > self.worst:
                self.worst, self.worst_text = float(errors.max()), texts[indices[int(errors.argmax())]]
            if errors.max() > LIMIT:
                sys.exit(f"off by {self.worst:.2e}, more than {LIMIT}: {self.worst_text!r}")
        self.lengths += map(len, expected)

    def report(self):
        took = time.monotonic() - self.start
        return (
            f"{self.compared} sentences, {sum(self.lengths)} tokens, {min(self.lengths)} to {max(self.lengths)}: ids equal, "
            f"vectors within {self.worst:.2e} of {self.args.reference} in float64 (limit {LIMIT}); "
            f"{took:.0f} s, {self.ours:.0f} s of it selfattn"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="sentences (default 200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reference", choices=["numpy", "torch"], default="numpy")
    parser.add_argument("--level", help="SIMD level of the command line")
    parser.add_argument("--selfattn", type=pathlib.Path, default=ROOT / "target/release/selfattn")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/all-MiniLM-L6-v2")
    args = parser.parse_args()
    if not args.selfattn.exists():
        sys.exit(f"no {args.selfattn}: cargo build --release --features cli")
    if not (args.model / "model.safetensors").exists():
        sys.exit(f"no model in {args.model}: python3 scripts/get_minilm.py")

    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    reference = {"numpy": Numpy, "torch": Torch}[args.reference](args.model)
    texts = Sentences(tokenizer, args.seed).take(args.count)
    run = Run(args, tokenizer, reference)
    while part := list(itertools.islice(texts, CHECKPOINT)):
        run.compare(part)
        print(run.report(), flush=True)
    assert run.compared == args.count, f"{args.count - run.compared} were left out"
    assert min(run.lengths) == 3 and max(run.lengths) == MOST, (min(run.lengths), max(run.lengths))
    print(f"the largest distance: {run.worst_text[:80]!r}")


if __name__ == "__main__":
    main()
