#!/usr/bin/env python3
"""Memory that hostile model folders can make `selfattn embed` take: scripts/check_memory.py PROGRAM

Each folder is made here, run, and must end as said, with a message that has the words said, and take no more memory at its peak
than CONSTANT; if it is a model that runs, twice its files more (one part of that is pages of the file itself). Needs Linux and Python 3.
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

# What the program takes on the smallest model, tokenizers and threads included, is a part of it.
CONSTANT = 32 << 20
MOST_SECONDS = 60
TERABYTES = 4 << 40
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "apple", "juice"]
WORDS = 30


def config(**changes):
    sizes = {
        "model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 8, "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
    }
    return sizes | changes


def tokenizer():
    vocab = {word: number for number, word in enumerate(VOCABULARY)}
    special = [
        {"id": i, "content": VOCABULARY[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i in range(4)
    ]
    piece = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    named = {name: {"id": name, "ids": [vocab[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": piece, "pair": piece, "special_tokens": named},
        "decoder": None,
        "model": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab},
    }


def tensors(sizes):
    """Names and shapes of a BERT of these sizes."""
    hidden, inner = sizes["hidden_size"], sizes["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": [sizes["vocab_size"], hidden],
        "embeddings.position_embeddings.weight": [sizes["max_position_embeddings"], hidden],
        "embeddings.token_type_embeddings.weight": [sizes["type_vocab_size"], hidden],
        "embeddings.LayerNorm.weight": [hidden], "embeddings.LayerNorm.bias": [hidden],
    }
    for layer in range(sizes["num_hidden_layers"]):
        linears = {
            "attention.self.query": (hidden, hidden), "attention.self.key": (hidden, hidden), "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden), "intermediate.dense": (inner, hidden), "output.dense": (hidden, inner),
        }
        for name, (outputs, inputs) in linears.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = [outputs, inputs]
            shapes[f"encoder.layer.{layer}.{name}.bias"] = [outputs]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = [hidden]
            shapes[f"encoder.layer.{layer}.{name}.bias"] = [hidden]
    return shapes


class Folder:
    """A model folder: small numbers everywhere, in a file that is sparse as far as it can be."""

    def __init__(self, path, sizes=None, dtype="F32", misalign=0):
        self.path = path
        path.mkdir()
        self.sizes = sizes or config()
        (path / "config.json").write_text(json.dumps(self.sizes))
        (path / "tokenizer.json").write_text(json.dumps(tokenizer()))
        width, header, end = {"F32": 4, "F16": 2}[dtype], {}, 0
        for name, shape in tensors(self.sizes).items():
            count = 1
            for dim in shape:
                count *= dim
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + count * width]}
            end += count * width
        self.write(header, end, misalign)

    def write(self, header, data, misalign=0):
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8 + misalign)
        self.raw(struct.pack("<Q", len(text)) + text, data)

    def raw(self, start, zeros):
        with open(self.path / "model.safetensors", "wb") as file:
            file.write(start)
            file.truncate(len(start) + zeros)

    def bytes(self):
        return sum(file.stat().st_size for file in self.path.iterdir())


def run(program, folder):
    """Exit code, standard error and peak memory of the program on a text of many words."""
    command = [str(program), "embed", "--model", str(folder.path), "--threads", "2", "-"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SELFATTN_")}
    with tempfile.TemporaryFile() as text, tempfile.TemporaryFile() as error:
        text.write(("apple juice " * (WORDS // 2) + "\n").encode())
        text.seek(0)
        child = subprocess.Popen(["timeout", str(MOST_SECONDS), *command], stdin=text, stdout=subprocess.DEVNULL, stderr=error, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        error.seek(0)
        return child.returncode, error.read().decode(), usage.ru_maxrss * 1024


def hostile(work):
    """Name, folder, exit code, words of the message."""
    def folder(name, *args, **options):
        return Folder(work / name, *args, **options)

    yield "small", folder("small"), 0, ""
    for field in ("hidden_size", "intermediate_size", "vocab_size", "max_position_embeddings", "type_vocab_size", "num_hidden_layers"):
        made = folder(field)
        for value in (1 << 30, 1 << 40, (1 << 63) - 1):
            (made.path / "config.json").write_text(json.dumps(config(**{field: value})))
            yield f"config.json claims {field} {value}", made, 1, str(made.path)
    made = folder("header")
    made.raw(b"\xff" * 8, 0)
    yield "a header of 2^64 - 1 bytes", made, 1, "damaged"
    made.raw(struct.pack("<Q", TERABYTES) + b"{", 0)
    yield "a header of terabytes", made, 1, "damaged"
    made.raw(struct.pack("<Q", TERABYTES) + b"{", TERABYTES)
    yield "a header of terabytes in a sparse file of terabytes", made, 1, "damaged"
    made.raw(struct.pack("<Q", 1001) + b"{" + b" " * 1000, TERABYTES)
    yield "no JSON and misaligned, in a sparse file of terabytes", made, 1, "damaged"
    for misalign in (0, 1):
        large = {"x": {"dtype": "F32", "shape": [TERABYTES // 4], "data_offsets": [0, TERABYTES]}}
        made.write(large, 0, misalign)
        yield f"a tensor of terabytes in a small file, misaligned by {misalign}", made, 1, "damaged"
        made.write(large, TERABYTES, misalign)
        yield f"a tensor of terabytes in a sparse file, misaligned by {misalign}", made, 1, ""
    for dtype in ("F32", "F16"):
        for misalign in (0, 1):
            sizes = config(hidden_size=1, intermediate_size=2_000_000)
            yield f"hidden_size 1 and a wide inner layer, {dtype}, misaligned by {misalign}", folder(f"{dtype}{misalign}", sizes, dtype, misalign), 0, ""
    yield "hidden_size 1 and many layers", folder("layers", config(hidden_size=1, intermediate_size=1, num_hidden_layers=200)), 0, ""
    yield "a vocabulary far larger than needed", folder("vocab", config(vocab_size=5_000_000)), 0, ""


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    failed, worst = 0, 0
    with tempfile.TemporaryDirectory() as work:
        cases = 0
        for name, folder, expected, words in hostile(pathlib.Path(work)):
            code, message, peak = run(sys.argv[1], folder)
            cases += 1
            size = folder.bytes()
            beyond = peak - (2 * size if expected == 0 else 0)
            worst = max(worst, beyond)
            good = code == expected and words in message and beyond <= CONSTANT
            failed += not good
            print(f"{'' if good else 'FAILED: '}{name}: {size / 1e6:.1f} MB of files, {peak / 1e6:.1f} MB at the peak, exit code {code}", flush=True)
            if not good or expected:
                print(f"    {message.strip()[-400:]}")
    print(f"{cases} folders, {failed} failed; at most {worst / 1e6:.1f} MB beyond twice the files' size (limit {CONSTANT / 1e6:.1f})")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
