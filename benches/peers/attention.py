"""Attention through torch and onnxruntime: the inputs of a shape, and the calls that each library has for it."""

import itertools
import math
import warnings

import numpy as np

from contestant import Contestant

Q_SEED, K_SEED, V_SEED = 4, 5, 6
SHARPNESS = np.float32(4)
# Bytes of keys and values that decoding goes through before it meets the same again, unless the Rust side says so.
COLD = 256 << 20


class Problem:
    """A shape with its inputs in f32, `1 x rows x heads x d`."""

    def __init__(self, unit, heads, kv_heads, queries, keys, d, causal, cold):
        self.heads, self.kv_heads, self.d = heads, kv_heads, d
        self.queries, self.keys, self.causal, self.cold = queries, keys, bool(causal), cold
        array = lambda seed, rows, heads: unit(seed, rows * heads * d).reshape(1, rows, heads, d)
        self.q = SHARPNESS * array(Q_SEED, queries, heads)
        self.k, self.v = array(K_SEED, keys, kv_heads), array(V_SEED, keys, kv_heads)

    @property
    def elements(self):
        """Of keys and values."""
        return self.k.size + self.v.size

    def copies(self, size):
        """Of keys and values with elements of `size` bytes, so that a run finds none of them in a cache."""
        return -(-self.cold // (self.elements * size)) if self.cold else 1


def parse(op, name):
    """The numbers of a shape: `8x128x64 causal` of attention, `32x8x4096x128` of decoding."""
    name, _, causal = name.partition(" ")
    sizes = [int(size) for size in name.split("x")]
    if op == "decode":
        heads, kv_heads, keys, d = sizes
        return [heads, kv_heads, 1, keys, d, 0, COLD]
    heads, n, d = sizes
    return [heads, heads, n, n, d, int(bool(causal)), 0]


def work(heads, kv_heads, queries, keys, d, causal, cold):
    """Floating-point operations."""
    return 4 * queries * keys * d * heads / (2 if causal else 1)


def turns(run, copies, share=0.0):
    """A call that takes the next keys and values each time. Contestants that have the same ones begin at other shares of them, so that
    none finds in a cache what another has just read."""
    first = int(share * len(copies))
    turn = itertools.cycle(copies[first:] + copies[:first])
    return lambda: run(*next(turn))


class TorchAttention:
    """Fused attention as Python calls it, and oneDNN's graph, which TorchScript makes of the plain algorithm."""

    def __init__(self, torch, types):
        self.torch, self.types = torch, types
        self.sdpa = torch.nn.functional.scaled_dot_product_attention
        torch.jit.enable_onednn_fusion(True)

    def contestants(self, p):
        for name, dtype in self.types.items():
            q, k, v = (self.tensor(x, dtype) for x in (p.q, p.k, p.v))
            copies = [(k, v), *((k.clone(), v.clone()) for _ in range(p.copies(k.element_size()) - 1))]
            if p.heads != p.kv_heads:
                yield self.contestant("SDPA, enable_gqa", name, p, lambda k, v, q=q: self.sdpa(q, k, v, enable_gqa=True), copies, 1 / 3)
                # The heads that share keys as so many queries: the same for one query, and nothing is read twice.
                q = q.reshape(1, p.kv_heads, -1, p.d)
            run = lambda k, v, q=q: self.sdpa(q, k, v, is_causal=p.causal)
            yield self.contestant("SDPA", name, p, run, copies, 0)
            # It has neither a causal mask nor f16.
            if not p.causal and name != "f16":
                graph = self.graph(q, k, v)
                yield self.contestant("oneDNN graph", name, p, lambda k, v, q=q, graph=graph: graph(q, k, v), copies, 2 / 3)

    def tensor(self, x, dtype):
        """Heads stand one after the other."""
        return self.torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1, 3))).to(dtype)

    def contestant(self, name, dtype, p, run, copies, share):
        run = turns(run, copies, share)

        def result():
            out = run().to(self.torch.float32).reshape(1, p.heads, p.queries, p.d)
            return out.numpy().transpose(0, 2, 1, 3).ravel()

        return Contestant(f"torch {name}", dtype, p.elements, run, result)

    def graph(self, q, k, v):
        torch, root = self.torch, math.sqrt(q.shape[-1])

        class Plain(torch.nn.Module):
            def forward(self, q, k, v):
                return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)) / root, -1), v)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated; nothing else of torch calls oneDNN's graph
            graph = torch.jit.freeze(torch.jit.trace(Plain().eval(), (q, k, v), check_trace=False))
        for _ in range(2):  # the first looks at the shapes, the second fuses
            graph(q, k, v)
        return graph


class OnnxAttention:
    """Models of one operator."""

    def __init__(self, library):
        self.library, self.onnx, self.ort = library, library.onnx, library.ort

    def contestants(self, p):
        for dtype, element in (("f32", np.float32), ("f16", np.float16)):
            if p.heads == p.kv_heads:
                yield self.multi_head(p, dtype, element)
            else:
                yield self.group_query(p, dtype, element)
            yield self.standard(p, dtype, element)

    def standard(self, p, dtype, element):
        """ONNX's own operator; heads stand one after the other."""
        q, k, v = (np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for x in (p.q, p.k, p.v))
        node = self.onnx.helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=int(p.causal))
        flat = lambda y: y.transpose(0, 2, 1, 3).ravel()
        return self.contestant(p, dtype, element, node, {"q": q}, {"k": k, "v": v}, q.shape, flat)

    def multi_head(self, p, dtype, element):
        """The operator of Microsoft's domain, for as many heads of keys as of queries."""
        q, k, v = (x.reshape(1, -1, p.heads * p.d) for x in (p.q, p.k, p.v))
        attributes = {"num_heads": p.heads, "unidirectional": int(p.causal), "domain": "com.microsoft"}
        node = self.onnx.helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["y"], **attributes)
        return self.contestant(p, dtype, element, node, {"q": q}, {"k": k, "v": v}, q.shape, np.ravel)

    def group_query(self, p, dtype, element):
        """The operator for decoding, which appends the last key and value to the others in place."""
        q = p.q.reshape(1, 1, -1)
        last = {name: x[:, -1:].reshape(1, 1, -1) for name, x in (("key", p.k), ("value", p.v))}
        past = {name: np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for name, x in (("k", p.k), ("v", p.v))}
        counts = {"before": np.array([p.keys - 1], np.int32), "total": np.array(p.keys, np.int32)}
        inputs = ["q", "key", "value", "k", "v", "before", "total"]
        attributes = {"num_heads": p.heads, "kv_num_heads": p.kv_heads, "domain": "com.microsoft"}
        node = self.onnx.helper.make_node("GroupQueryAttention", inputs, ["y", "k_out", "v_out"], **attributes)
        return self.contestant(p, dtype, element, node, {"q": q, **last, **counts}, past, q.shape, np.ravel)

    def contestant(self, p, dtype, element, node, fixed, cached, shape_out, flat):
        """`cached` are the keys and values, which a node that has outputs for them changes in place."""
        typed = lambda x: x if x.dtype == np.int32 else x.astype(element)
        fixed, cached = ({name: typed(x) for name, x in inputs.items()} for inputs in (fixed, cached))
        value = self.ort.OrtValue.ortvalue_from_numpy
        y = value(np.zeros(shape_out, element))
        session = self.session(node, {**fixed, **cached}, {"y": y.numpy()})
        bindings = []
        for _ in range(p.copies(np.dtype(element).itemsize)):
            binding = session.io_binding()
            for name, x in fixed.items():
                binding.bind_ortvalue_input(name, value(x))
            for name, x in cached.items():
                x = value(x.copy())
                binding.bind_ortvalue_input(name, x)
                if f"{name}_out" in node.output:
                    binding.bind_ortvalue_output(f"{name}_out", x)
            binding.bind_ortvalue_output("y", y)
            bindings.append((binding,))
        run = turns(session.run_with_iobinding, bindings)
        result = lambda: flat(y.numpy()).astype(np.float32)
        return Contestant(f"onnxruntime {node.op_type}", dtype, p.elements, run, result)

    def session(self, node, inputs, outputs):
        helper = self.onnx.helper
        outputs = {**{name: inputs[name.removesuffix("_out")] for name in node.output if name != "y"}, **outputs}
        info = lambda name, x: helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        infos = [[info(name, x) for name, x in tensors.items()] for tensors in (inputs, outputs)]
        return self.library.session_of(helper.make_graph([node], "one", *infos))
