#!/usr/bin/env python3
"""Writes the seeds that every fuzz run starts from, into `seeds/TARGET/`: always the same.

Targets that draw a problem from their bytes start from noise of several lengths; those that read a text, from texts.
"""

import json
import pathlib
import random
import struct

ROOT = pathlib.Path(__file__).resolve().parent
DRAWN = ["matmul", "attention", "cache", "capi", "model"]


def noise(seed):
    generator = random.Random(seed)
    return [generator.randbytes(length) for length in [8, 16, 32, 48, 64, 96, 128, 192] for _ in range(3)]


def configs():
    """Behind a byte that says: this is the text."""
    bert = {
        "model_type": "bert", "vocab_size": 7, "hidden_size": 6, "num_hidden_layers": 5, "num_attention_heads": 3,
        "intermediate_size": 4, "max_position_embeddings": 9, "type_vocab_size": 1, "layer_norm_eps": 1e-05,
        "hidden_act": "relu", "is_decoder": False, "position_embedding_type": "absolute", "id2label": {"0": ["x", None]},
    }
    roberta = bert | {"model_type": "roberta", "pad_token_id": 3}
    distilbert = {
        "model_type": "distilbert", "vocab_size": 7, "dim": 6, "n_layers": 5, "n_heads": 3, "hidden_dim": 4,
        "activation": "gelu_new", "max_position_embeddings": 9, "type_vocab_size": None,
    }
    texts = [json.dumps(config) for config in [bert, roberta, distilbert]]
    texts += ['{"model_type":"b\\u0065rt"}', '{"model_type":"gpt2","model_type":"bert","a":[[[{}]]]}', "{}", "[1e400]"]
    return [b"\0" + text.encode() for text in texts] + [b"\1" + data for data in noise("config")]


def files():
    """A whole file behind a byte 0; a header alone behind a byte that says how much data it gets, and 1."""
    sound = {
        "__metadata__": {"format": "pt"},
        "bert.embeddings.word_embeddings.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [24, 28]},
        "c\\u0061": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
    }
    headers = [json.dumps(sound).replace("\\\\", "\\"), "{}", json.dumps({"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}})]
    seeds = []
    for header, data in zip(headers, [36, 0, 2]):
        text = header.encode()
        seeds += [b"\0" + struct.pack("<Q", len(text)) + text + bytes(data), bytes([data << 2 | 1]) + text]
    # The reference reader lets the last of two tensors of one name count, and does not look at the first.
    twice = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    # Nor does it mind white space before the brace, which the format does.
    spaced = [bytes([1]) + space + b"{}" for space in [b" ", b"\r\n"]]
    return seeds + [bytes([4 << 2 | 1]) + twice] + [b"\2" + data for data in noise("safetensors")] + spaced


def lines():
    """How the bytes come in stands before and behind them, so noise is as good as anything; then what lines are made of."""
    texts = ["one\ntwo\r\n\nfour", "\ufeffmark\n\ufeffno mark\n", "é\u4e16\U0001f600\r\r\n", "a" * 300 + "\n" + "b\n" * 300]
    broken = [b"ok\n\xff\n", b"\xe4\xb8\nhalf", b"\0\n\x85\n"]
    return noise("lines") + [b"\0\0\1" + text.encode() + b"\0" * 4 for text in texts] + [b"\0" * 3 + text for text in broken]


def main():
    seeds = {target: noise(target) for target in DRAWN} | {"config": configs(), "safetensors": files(), "lines": lines()}
    for target, contents in seeds.items():
        folder = ROOT / "seeds" / target
        folder.mkdir(parents=True, exist_ok=True)
        for i, content in enumerate(contents):
            (folder / f"{i:02}").write_bytes(content)
        print(f"{target}: {len(contents)} seeds, {sum(map(len, contents))} bytes")


if __name__ == "__main__":
    main()
