"""The Python libraries that take part: what each computes at a shape, as calls without arguments."""

import importlib
import math

import numpy as np

import attention
from contestant import Contestant

MASK = (1 << 64) - 1
A_SEED, W_SEED, SOFTMAX_SEED = 1, 2, 3


def unit(seed, length):
    """Uniform in [-1, 1): splitmix64 of the index, the same numbers as on the Rust side."""
    with np.errstate(over="ignore"):
        z = np.arange(1, length + 1, dtype=np.uint64) + np.uint64((seed << 40) & MASK)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


class Numpy:
    """BLAS through numpy."""

    needs = ["numpy"]

    def __init__(self, threads):
        self.version = f"numpy {np.__version__}"

    def matmul(self, a, w):
        for name, weights in [("n x k", w), ("k x n", np.ascontiguousarray(w.T).T)]:
            out = np.empty((len(a), len(w)), np.float32)
            yield Contestant(f"numpy {name}", "f32", w.size, lambda b=weights.T, c=out: np.matmul(a, b, out=c), out.ravel)


class OnnxRuntime:
    """A model of one node. Weights are constants, so the session packs them when it is made."""

    needs = ["onnxruntime", "onnx"]

    def __init__(self, threads):
        self.onnx, self.ort = map(importlib.import_module, ("onnx", "onnxruntime"))
        self.version, self.threads = f"onnxruntime {self.ort.__version__}", threads

    def session(self, op, shape_in, shape_out, constants, **attributes):
        helper, float_type = self.onnx.helper, self.onnx.TensorProto.FLOAT
        node = helper.make_node(op, ["x", *constants], ["y"], **attributes)
        x = helper.make_tensor_value_info("x", float_type, shape_in)
        y = helper.make_tensor_value_info("y", float_type, shape_out)
        constants = [self.onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
        return self.session_of(helper.make_graph([node], "one", [x], [y], constants))

    def session_of(self, graph):
        operators = [self.onnx.helper.make_opsetid(*domain) for domain in (("", 23), ("com.microsoft", 1))]
        model = self.onnx.helper.make_model(graph, opset_imports=operators, ir_version=11)
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        # Its threads spin while it runs, not while others do.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return self.ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def contestant(self, name, session, x, shape_out, weights):
        out = self.ort.OrtValue.ortvalue_from_shape_and_type(shape_out, np.float32)
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", self.ort.OrtValue.ortvalue_from_numpy(x))
        binding.bind_ortvalue_output("y", out)
        run, result = (lambda: session.run_with_iobinding(binding)), (lambda: out.numpy().ravel())
        return Contestant(f"onnxruntime {name}", "f32", weights, run, result)

    def matmul(self, a, w):
        out = (len(a), len(w))
        constant = np.ascontiguousarray(w.T)
        yield self.contestant("MatMul", self.session("MatMul", a.shape, out, {"w": constant}), a, out, w.size)

    def softmax(self, x):
        yield self.contestant("Softmax", self.session("Softmax", x.shape, x.shape, {}, axis=-1), x, x.shape, 0)

    def attention(self, problem):
        return attention.OnnxAttention(self).contestants(problem)


class Torch:
    """Eager calls: `linear` is MKL inside for f32 and oneDNN for the others; and oneDNN with weights it has packed."""

    needs = ["torch"]

    def __init__(self, threads):
        self.torch, self.notes = importlib.import_module("torch"), []
        self.torch.set_num_threads(threads)
        self.torch.set_grad_enabled(False)
        self.version = f"torch {self.torch.__version__}"
        types = {"f32": self.torch.float32, "bf16": self.torch.bfloat16, "f16": self.torch.float16}
        self.types = {name: (dtype, self.packs(name, dtype)) for name, dtype in types.items()}

    def packs(self, name, dtype):
        """Whether oneDNN has a kernel for packed weights of the type on this CPU."""
        try:
            self.torch.ops.mkldnn._reorder_linear_weight(self.torch.ones(16, 16, dtype=dtype), 16)
        except (AttributeError, RuntimeError) as error:
            self.notes.append(f"torch oneDNN packed {name}: not run: {error}")
            return False
        return True

    def contestant(self, name, dtype, weights, run):
        return Contestant(f"torch {name}", dtype, weights, run, lambda: run().to(self.torch.float32).numpy().ravel())

    def matmul(self, a, w):
        linear = self.torch.nn.functional.linear
        for name, (dtype, packs) in self.types.items():
            x, weights = (self.torch.from_numpy(array).to(dtype) for array in (a, w))
            yield self.contestant("linear", name, w.size, lambda x=x, weights=weights: linear(x, weights))
            if packs:
                yield self.packed(name, x, weights)

    def packed(self, name, x, weights):
        """What compiled models call."""
        onednn = self.torch.ops.mkldnn
        packed = onednn._reorder_linear_weight(weights, len(x))
        run = lambda: onednn._linear_pointwise(x, packed, None, "none", [], "")
        return self.contestant("oneDNN packed", name, weights.numel(), run)

    def softmax(self, x):
        x, softmax = self.torch.from_numpy(x), self.torch.softmax
        yield self.contestant("softmax", "f32", 0, lambda: softmax(x, -1))

    def attention(self, problem):
        types = {name: dtype for name, (dtype, _) in self.types.items()}
        return attention.TorchAttention(self.torch, types).contestants(problem)


def libraries(threads):
    """Those that can be imported, and a note on each that cannot."""
    here, notes = [], []
    for library in (OnnxRuntime, Torch, Numpy):
        missing = [name for name in library.needs if not importable(name)]
        if missing:
            notes.extend(f"{name}: not installed: not run" for name in missing)
        else:
            here.append(library(threads))
            notes.extend(getattr(here[-1], "notes", []))
    return here, notes


def importable(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def parse(op, name):
    """The numbers of a shape, and the work of a run: floating-point operations, of softmax elements."""
    if op in ("attention", "decode"):
        shape = attention.parse(op, name)
        return shape, attention.work(*shape)
    shape = [int(size) for size in name.split("x")]
    return shape, math.prod(shape) * (2 if op == "matmul" else 1)


def contestants(here, op, shape):
    """Everyone's at this shape."""
    if op in ("attention", "decode"):
        op, inputs = "attention", [attention.Problem(unit, *shape)]
    elif op == "softmax":
        inputs = [unit(SOFTMAX_SEED, shape[0] * shape[1]).reshape(shape)]
    else:
        m, k, n = shape
        inputs = [unit(A_SEED, m * k).reshape(m, k), unit(W_SEED, n * k).reshape(n, k)]
    able = [getattr(library, op) for library in here if hasattr(library, op)]
    return [contestant for library in able for contestant in library(*inputs)]
