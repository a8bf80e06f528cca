#!/usr/bin/env python3
"""Times the first sentence vector of a process, everything loaded included, against onnxruntime:

    benches/first_sentence.py LIBRARY [--model FOLDER] [--repeat N]

LIBRARY is a libselfattn.so with the tokenizer. Both are driven from Python, each time in a new process, one after the other in
turn, on one thread, from the page cache. Counted is: loading the library (import onnxruntime; dlopen), reading the model and the
tokenizer, tokenizing, and the forward pass to a mean-pooled vector of length 1; Python's own start and numpy are not. onnxruntime
gets the model as a graph of its largest fitting operators (LayerNormalization, Gelu), which spares it most fusions, and runs
with all of its optimisations and with none, whichever is sooner. Both read text by the library `tokenizers`.

Needs Python packages: numpy onnx onnxruntime safetensors tokenizers; and a model of type bert (scripts/get_minilm.py).
"""

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TEXT = "The quick brown fox jumps over the lazy dog."


def graph(folder, path):
    """A BERT encoder with mean pooling as ONNX, its weights inside: one sequence of any length."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text())
    weights = {name.removeprefix("bert."): array.astype(np.float32) for name, array in load_file(folder / "model.safetensors").items() if array.dtype != np.int64}
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    nodes, constants = [], []

    def constant(array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"c{len(constants)}"))
        return constants[-1].name

    def op(kind, *inputs, **attributes):
        nodes.append(helper.make_node(kind, list(inputs), [f"n{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def linear(x, name):
        product = op("MatMul", x, constant(weights[f"{name}.weight"].T))
        return op("Add", product, constant(weights[f"{name}.bias"]))

    def norm(x, name):
        scale, bias = (constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return op("LayerNormalization", x, scale, bias, axis=-1, epsilon=config["layer_norm_eps"])

    def by_head(x, order):
        split = op("Reshape", x, constant(np.array([0, 0, heads, hidden // heads])))
        return op("Transpose", split, perm=order)

    words = op("Gather", constant(weights["embeddings.word_embeddings.weight"]), "ids")
    length = op("Shape", "ids", start=1, end=2)
    zero, one = constant(np.array([0])), constant(np.array([1]))
    places = op("Slice", constant(weights["embeddings.position_embeddings.weight"]), zero, length, zero, one)
    x = op("Add", op("Add", words, constant(weights["embeddings.token_type_embeddings.weight"][0])), places)
    x = norm(x, "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        q = by_head(linear(x, f"{name}.attention.self.query"), [0, 2, 1, 3])
        k = by_head(linear(x, f"{name}.attention.self.key"), [0, 2, 3, 1])
        v = by_head(linear(x, f"{name}.attention.self.value"), [0, 2, 1, 3])
        logits = op("Div", op("MatMul", q, k), constant(np.float32(np.sqrt(hidden // heads))))
        mixed = op("Transpose", op("MatMul", op("Softmax", logits, axis=-1), v), perm=[0, 2, 1, 3])
        mixed = op("Reshape", mixed, constant(np.array([0, 0, hidden])))
        x = norm(op("Add", linear(mixed, f"{name}.attention.output.dense"), x), f"{name}.attention.output.LayerNorm")
        inner = op("Gelu", linear(x, f"{name}.intermediate.dense"))
        x = norm(op("Add", linear(inner, f"{name}.output.dense"), x), f"{name}.output.LayerNorm")
    mean = op("ReduceMean", x, constant(np.array([1])), keepdims=0)
    nodes.append(helper.make_node("LpNormalization", [mean], ["vector"], axis=-1, p=2))
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"])]
    outputs = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, hidden])]
    whole = helper.make_graph(nodes, "encoder", inputs, outputs, constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def run_onnxruntime(model, folder, optimise):
    yield "start"
    import onnxruntime

    from tokenizers import Tokenizer

    yield "library"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    yield "model"
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    yield "tokenizer"
    ids = tokenizer.encode(TEXT).ids
    yield session.run(None, {"ids": np.array([ids], np.int64)})[0][0]


def run_selfattn(library, folder):
    yield "start"
    lib = ctypes.CDLL(library)
    yield "library"
    from ctypes import byref, c_char_p, c_int32, c_size_t, c_uint32, c_void_p

    class Batch(ctypes.Structure):
        _fields_ = [("size", c_size_t), ("ids", c_void_p), ("ids_len", c_size_t), ("lengths", c_void_p)] + [
            ("lengths_len", c_size_t), ("type_ids", c_void_p), ("type_ids_len", c_size_t)]

    class MatMut(ctypes.Structure):
        _fields_ = [("data", c_void_p), ("rows", c_size_t), ("cols", c_size_t), ("stride", c_size_t)]

    class Config(ctypes.Structure):
        _fields_ = [("size", c_size_t), ("family", c_int32), ("activation", c_int32), ("sizes", c_size_t * 8)] + [
            ("norm_eps", ctypes.c_float), ("reserved", c_int32)]

    def call(function, *arguments):
        if status := function(*arguments, None):
            raise ValueError(f"{function.__name__}: status {status}")

    encoder, tokenizer, config = c_void_p(), c_void_p(), Config(size=ctypes.sizeof(Config))
    call(lib.selfattn_encoder_open, folder.encode(), byref(encoder))
    call(lib.selfattn_encoder_config, encoder, byref(config))
    yield "model"
    call(lib.selfattn_tokenizer_open, folder.encode(), byref(tokenizer))
    yield "tokenizer"
    ids, count, text, bytes = (c_uint32 * 512)(), c_size_t(), TEXT.encode(), c_size_t()
    call(lib.selfattn_tokenizer_encode, tokenizer, c_char_p(text), c_size_t(len(text)), ids, c_size_t(512), byref(count), None)
    call(lib.selfattn_encoder_scratch, None, encoder, count, byref(bytes))
    scratch, out = np.empty(bytes.value, np.uint8), np.empty(config.sizes[1], np.float32)
    batch = Batch(ctypes.sizeof(Batch), ctypes.addressof(ids), count.value, ctypes.addressof(count), 1)
    to = MatMut(out.ctypes.data, 1, len(out))
    call(lib.selfattn_encoder_embed, None, encoder, byref(batch), byref(to), c_void_p(scratch.ctypes.data), bytes)
    yield out


STEPS = ["library", "model", "tokenizer", "vector"]


def child(kind, *arguments):
    """Runs one of them, and prints the milliseconds of its steps and its vector."""
    steps = run_selfattn(*arguments) if kind == "selfattn" else run_onnxruntime(*arguments, kind == "optimised")
    next(steps)
    times, last = [], time.perf_counter()
    for result in steps:
        now = time.perf_counter()
        times.append((now - last) * 1e3)
        last = now
    print(json.dumps([times, [float(x) for x in result]]))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("library", metavar="LIBRARY")
    arguments.add_argument("--model", type=Path, default=ROOT / "models/all-MiniLM-L6-v2", metavar="FOLDER")
    arguments.add_argument("--repeat", type=int, default=15, metavar="N")
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as work:
        model = f"{work}/model.onnx"
        graph(arguments.model, model)
        folder = str(arguments.model)
        runs = {
            "selfattn": ["selfattn", str(Path(arguments.library).resolve()), folder],
            "onnxruntime": ["optimised", model, folder],
            "onnxruntime, no optimisation": ["plain", model, folder],
        }
        times, vectors = {name: [] for name in runs}, {}
        for i in range(arguments.repeat + 1):
            for name, command in runs.items():
                done = subprocess.run([sys.executable, __file__, "--child", *command], check=True, stdout=subprocess.PIPE)
                milliseconds, vectors[name] = json.loads(done.stdout)
                if i > 0:  # the first reads the files into the page cache
                    times[name].append(milliseconds)
    nearest = min(float(np.dot(vectors["selfattn"], vector)) for vector in vectors.values())
    if not nearest > 0.99999:
        sys.exit(f"the vectors differ: cosine {nearest}")
    print(f"milliseconds, median of {arguments.repeat} (shortest); cosine of the vectors at least {nearest:.7f}")
    print(f"{'':30}" + "".join(f"{step:>10}" for step in STEPS) + f"{'all':>18}{'but library':>18}")
    for name, rows in times.items():
        steps = [statistics.median(step) for step in zip(*rows)]
        totals = [sum(row) for row in rows], [sum(row[1:]) for row in rows]
        last = "".join(f"{f'{statistics.median(total):.1f} ({min(total):.1f})':>18}" for total in totals)
        print(f"{name:30}" + "".join(f"{step:10.1f}" for step in steps) + last)


if sys.argv[1:2] == ["--child"]:
    child(*sys.argv[2:])
else:
    main()
