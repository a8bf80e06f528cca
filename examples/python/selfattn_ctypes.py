"""Attention from Python through the C API: selfattn_ctypes.py LIBRARY compares it with numpy."""

import ctypes
import sys
from ctypes import byref, c_byte, c_char, c_int32, c_size_t, c_uint32, c_uint64, c_void_p, sizeof

import numpy as np

CAUSAL = 1


def struct(**fields):
    return type("Struct", (ctypes.Structure,), {"_fields_": list(fields.items())})


Mat = struct(data=c_void_p, rows=c_size_t, cols=c_size_t, stride=c_size_t, dtype=c_int32, reserved=c_int32)
Error = struct(size=c_size_t, status=c_int32, reserved=c_int32, numbers=c_uint64 * 5, argument=c_char * 32, message=c_char * 192)
Options = struct(size=c_size_t, heads=c_size_t, head_dim=c_size_t, kv_heads=c_size_t, value_dim=c_size_t, flags=c_uint32,
                 rest=c_byte * 204)  # all 0: no windows, one sequence, no bias


def mat(array):  # for a selfattn_mat_mut, too, which lacks the last two fields
    return byref(Mat(array.ctypes.data, *array.shape, array.strides[0] // 4))


def call(function, *arguments):
    error = Error(size=sizeof(Error))
    if function(*arguments, byref(error)):
        raise ValueError(error.message.decode())


def attention(library, q, k, v, heads, flags=0):
    options, bytes = byref(Options(sizeof(Options), heads, q.shape[1] // heads, flags=flags)), c_size_t()
    out = np.empty((len(q), v.shape[1]), np.float32)
    call(library.selfattn_attention_scratch, None, options, byref(bytes))
    scratch = ctypes.create_string_buffer(bytes.value)
    call(library.selfattn_attention, None, options, mat(q), mat(k), mat(v), mat(out), None, scratch, bytes)
    return out


q, k, v = np.random.default_rng(1).standard_normal((3, 100, 4 * 32)).astype(np.float32)
ours = attention(ctypes.CDLL(sys.argv[1]), q, k, v, heads=4, flags=CAUSAL)
by_head = [x.astype(float).reshape(100, 4, 32).transpose(1, 0, 2) for x in (q, k, v)]
weights = np.tril(np.exp(by_head[0] @ by_head[1].transpose(0, 2, 1) / np.sqrt(32)))
theirs = (weights / weights.sum(axis=2, keepdims=True) @ by_head[2]).transpose(1, 0, 2).reshape(100, -1)
print(f"100 tokens, 4 heads: differs from numpy by at most {abs(ours - theirs).max():.1e}")
sys.exit(0 if abs(ours - theirs).max() < 1e-5 else 1)
