//! The operations one by one, at the sizes of small encoders.
//!
//! `cargo bench --bench kernels`, or a part of it: `cargo bench --bench kernels -- avx512/packed`.

mod common;
#[path = "../tests/common/mod.rs"]
mod fixtures;

use std::hint::black_box;

use common::{Bench, engines};
use criterion::{Criterion, criterion_group, criterion_main};
use fixtures::data::Rng;
use fixtures::memory::{AsMatrix, Strided};
use half::{bf16, f16};
use selfattn::{
    Activation, Attention, Bias, Element, Engine, Epilogue, Inspection, KvCache, Level, Mask, MatMut, MatRef, Matrix,
    Packed, Weights,
};

/// Products of transformers, `m x k x n`: the layers of a model 384 wide over a passage and a query, of larger ones, the
/// products of attention, and a cube.
const PRODUCTS: [[usize; 3]; 10] = [
    [128, 384, 384],
    [128, 384, 1536],
    [128, 1536, 384],
    [16, 384, 1536],
    [512, 768, 3072],
    [512, 4096, 4096],
    [128, 64, 128],
    [512, 64, 512],
    [512, 512, 64],
    [2048, 2048, 2048],
];
/// One row, `k x n`: weights that a second-level cache holds, and weights that come from memory.
const ROWS: [[usize; 2]; 3] = [[384, 384], [4096, 4096], [4096, 11008]];
/// Multiply-adds that portable code is spared: the larger products would take seconds.
const PORTABLE: usize = 1 << 28;
/// Tokens: a query, a passage, what the longest texts have.
const TOKENS: [usize; 3] = [16, 128, 512];
/// Width of the hidden state.
const HIDDEN: usize = 384;
const INNER: usize = 1536;
/// Attention, `heads x n x head_dim`: of a model 384 wide, of larger ones, and one head of a long text.
const ATTENTIONS: [[usize; 3]; 11] = [
    [12, 16, 32],
    [12, 128, 32],
    [12, 512, 32],
    [8, 128, 64],
    [8, 512, 64],
    [8, 2048, 64],
    [1, 8192, 64],
    [8, 128, 128],
    [8, 512, 128],
    [8, 2048, 128],
    [1, 8192, 128],
];
/// With tables of what is seen.
const MASKED: [usize; 3] = [8, 512, 64];
/// Where what is seen is measured beside it.
const MASSES: [[usize; 3]; 3] = [[8, 512, 64], [8, 2048, 64], [8, 2048, 128]];
/// Decoding: heads of queries, heads of keys and values, their dimensions, keys in the cache.
const QUERY_HEADS: usize = 32;
const KV_HEADS: usize = 8;
const DECODE_DIM: usize = 128;
const KEYS: [usize; 2] = [4096, 16384];
/// Bytes of keys and values that no cache holds.
const COLD: usize = 1 << 28;

// What a row operation does to an element by its definition, a transcendental function counted as one operation.
/// Maximum, difference, exp, sum, quotient.
const SOFTMAX_FLOPS: usize = 5;
/// Sum; difference, square, sum; difference, scale; weight, bias.
const LAYER_NORM_FLOPS: usize = 8;
/// `0.5 x (1 + erf(x / sqrt 2))`
const GELU_FLOPS: usize = 5;

fn random<E: Element>(rows: usize, cols: usize) -> Strided<E> {
    random_by((rows * cols) as u64, rows, cols)
}

fn random_by<E: Element>(seed: u64, rows: usize, cols: usize) -> Strided<E> {
    let mut rng = Rng::new(seed);
    Strided::dense(rows, cols, |_, _| rng.unit())
}

fn matmul(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "matmul");
    for engine in engines() {
        for size in PRODUCTS {
            products::<f32, f32>(&mut bench, &engine, size);
            products::<f32, f16>(&mut bench, &engine, size);
            products::<f32, bf16>(&mut bench, &engine, size);
            products::<bf16, bf16>(&mut bench, &engine, size);
        }
    }
}

/// Activations times weights of the given types, packed and plain.
fn products<A: Element, E: Element>(bench: &mut Bench<'_>, engine: &Engine<'_>, [m, k, n]: [usize; 3])
where
    Strided<A>: AsMatrix,
    Strided<E>: AsMatrix,
{
    if engine.level() == Level::SCALAR && m * k * n > PORTABLE {
        return;
    }
    let (a, weights) = (random::<A>(m, k), random::<E>(n, k));
    let mut memory = vec![0; Packed::bytes(engine.level(), weights.matrix()).unwrap()];
    let packed = Packed::new(engine.level(), weights.matrix(), &mut memory).unwrap();
    for (how, weights) in [("packed", Weights::Packed(packed)), ("plain", weights.matrix().into())] {
        let mut scratch = vec![0; engine.matmul_scratch(m, A::DTYPE, &weights).unwrap()];
        let mut out = random::<f32>(m, n);
        let case = format!("{how} {} x {} {m}x{k}x{n}", A::DTYPE.name(), E::DTYPE.name());
        bench.run(engine, &case, (2 * m * k * n) as u64, || {
            let (a, out) = (black_box(&a).matrix(), out.view_mut());
            engine.matmul(a, &weights, &Epilogue::default(), out, &mut scratch).unwrap();
        });
    }
}

fn one_row(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "one row");
    for engine in engines() {
        for size in ROWS {
            rows::<f32>(&mut bench, &engine, size);
            rows::<f16>(&mut bench, &engine, size);
            rows::<bf16>(&mut bench, &engine, size);
        }
    }
}

/// A vector times weights, plain by `gemv` and packed by `matmul`.
fn rows<E: Element>(bench: &mut Bench<'_>, engine: &Engine<'_>, [k, n]: [usize; 2])
where
    Strided<E>: AsMatrix,
{
    let (weights, x) = (random::<E>(n, k), random::<f32>(1, k));
    let bytes = (n * k * E::DTYPE.size()) as u64;
    let mut y = vec![0.0; n];
    bench.run_bytes(engine, &format!("gemv {} {k}x{n}", E::DTYPE.name()), bytes, || {
        engine.gemv(black_box(&weights).matrix(), x.view().row(0), &mut y).unwrap();
    });
    let mut memory = vec![0; Packed::bytes(engine.level(), weights.matrix()).unwrap()];
    let packed = Packed::new(engine.level(), weights.matrix(), &mut memory).unwrap().into();
    bench.run_bytes(engine, &format!("packed {} {k}x{n}", E::DTYPE.name()), bytes, || {
        let out = MatMut::new(&mut y, 1, n).unwrap();
        engine.matmul(black_box(&x).view(), &packed, &Epilogue::default(), out, &mut []).unwrap();
    });
}

fn attention(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "attention");
    for engine in engines() {
        for (size, causal) in ATTENTIONS.into_iter().flat_map(|size| [(size, false), (size, true)]) {
            heads::<f32>(&mut bench, &engine, size, causal);
            heads::<f16>(&mut bench, &engine, size, causal);
            heads::<bf16>(&mut bench, &engine, size, causal);
        }
    }
}

/// All heads of one sequence.
fn heads<E: Element>(bench: &mut Bench<'_>, engine: &Engine<'_>, [heads, n, d]: [usize; 3], causal: bool)
where
    Strided<E>: AsMatrix,
{
    // With each key a query sees, a multiply-add per dimension for the score and one for the sum; causal, it sees half of them.
    let multiply_adds = 2 * heads * n * n * d / if causal { 2 } else { 1 };
    if engine.level() == Level::SCALAR && multiply_adds > PORTABLE {
        return;
    }
    let case = format!("{} {heads}x{n}x{d}{}", E::DTYPE.name(), if causal { " causal" } else { "" });
    let attention = Attention::new(heads, d).causal(causal);
    attend::<E>(bench, engine, &case, &attention, [n, heads * d], 2 * multiply_adds as u64);
}

/// `size`: tokens, columns of queries, keys and values.
fn attend<E: Element>(
    bench: &mut Bench<'_>,
    engine: &Engine<'_>,
    case: &str,
    attention: &Attention<'_>,
    [n, cols]: [usize; 2],
    flops: u64,
) where
    Strided<E>: AsMatrix,
{
    let mut scratch = vec![0; engine.attention_scratch(attention).unwrap()];
    let [q, k, v] = [1, 2, 3].map(|seed| random_by::<E>(seed, n, cols));
    let mut out = random::<f32>(n, cols);
    bench.run(engine, case, flops, || {
        let [q, k, v] = [&q, &k, &v].map(|x| black_box(x).matrix());
        engine.attention(attention, q, k, v, out.view_mut(), &mut scratch).unwrap();
    });
}

/// What hiding keys by a table costs: every other one, or the second half, beside attention that sees all; and what softmax makes of
/// rows whose every other element is -inf, copied first, beside others.
fn masked(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "masked");
    let [heads, n, d] = MASKED;
    let flops = 4 * (heads * n * n * d) as u64;
    let table = |sees: fn(usize) -> bool| -> Vec<bool> { (0..n * n).map(|at| sees(at % n)).collect() };
    let [every_other, half] = [table(|j| j % 2 == 0), table(|j| j < MASKED[1] / 2)];
    let bias: Vec<f32> = every_other.iter().map(|&sees| if sees { 0.0 } else { f32::NEG_INFINITY }).collect();
    let strides = [0, 0, n, 1];
    let plain = Attention::new(heads, d);
    let attentions = [
        ("no table", plain),
        ("bias of -inf", plain.bias(Bias::new(&bias, strides))),
        ("mask", plain.mask(Mask::new(&every_other, strides))),
        ("mask of half", plain.mask(Mask::new(&half, strides))),
    ];
    let [rows, cols] = [64, 4096];
    let whole = vec![0.5; rows * cols];
    let hidden: Vec<f32> = (0..rows * cols).map(|at| if at % 2 == 0 { 0.5 } else { f32::NEG_INFINITY }).collect();
    for engine in engines() {
        for (name, attention) in &attentions {
            attend::<f32>(&mut bench, &engine, &format!("{name} {heads}x{n}x{d}"), attention, [n, heads * d], flops);
        }
        for (name, from) in [("softmax", &whole), ("softmax of -inf", &hidden)] {
            let mut x = from.clone();
            bench.run(&engine, &format!("{name} {rows}x{cols}"), (SOFTMAX_FLOPS * rows * cols) as u64, || {
                x.copy_from_slice(black_box(from));
                engine.softmax(MatMut::new(&mut x, rows, cols).unwrap());
            });
        }
    }
}

/// What each key gets, with the logarithms of the sums and without, beside the attention it is of.
fn mass(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "attention mass");
    for engine in engines() {
        for (size, causal) in MASSES.into_iter().flat_map(|size| [(size, false), (size, true)]) {
            heads::<f32>(&mut bench, &engine, size, causal);
            mass_of_heads(&mut bench, &engine, size, causal);
        }
    }
}

fn mass_of_heads(bench: &mut Bench<'_>, engine: &Engine<'_>, [heads, n, d]: [usize; 3], causal: bool) {
    let multiply_adds = heads * n * n * d / if causal { 2 } else { 1 };
    if engine.level() == Level::SCALAR && multiply_adds > PORTABLE {
        return;
    }
    let attention = Attention::new(heads, d).causal(causal);
    let [q, k] = [1, 2].map(|seed| random_by::<f32>(seed, n, heads * d));
    let (mut out, mut lse) = (random::<f32>(n, heads * d), random::<f32>(n, heads));
    let mut scratch = vec![0; engine.attention_scratch(&attention).unwrap()];
    let (of_v, of_lse) = (out.view_mut(), lse.view_mut());
    engine.attention_lse(&attention, q.view(), k.view(), k.view(), of_v, of_lse, &mut scratch).unwrap();
    let (mut mass, mut scratch) = (random::<f32>(heads, n), vec![0; engine.inspection_scratch(&attention).unwrap()]);
    for (given, passes) in [(true, 1), (false, 2)] {
        let case = format!(
            "mass{} {heads}x{n}x{d}{}",
            if given { " by sums" } else { "" },
            if causal { " causal" } else { "" }
        );
        bench.run(engine, &case, 2 * (passes * multiply_adds) as u64, || {
            let inspection = Inspection::new(&attention, black_box(&q).view(), k.view());
            let inspection = if given { inspection.lse(lse.view()) } else { inspection };
            engine.attention_mass(&inspection, mass.view_mut(), &mut scratch).unwrap();
        });
    }
}

fn decode(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "decode");
    for keys in KEYS {
        one_query::<f32>(&mut bench, keys);
        one_query::<f16>(&mut bench, keys);
        one_query::<bf16>(&mut bench, keys);
    }
}

/// One query, whose keys and values come from memory: each run has others, until a cache has none of the first any more.
fn one_query<E: Element>(bench: &mut Bench<'_>, keys: usize)
where
    for<'m> Matrix<'m>: From<MatRef<'m, E>>,
{
    let attention = Attention::new(QUERY_HEADS, DECODE_DIM).kv_heads(KV_HEADS);
    let len = KvCache::<E>::len_of(KV_HEADS, DECODE_DIM, DECODE_DIM, keys).unwrap();
    let bytes = len * E::DTYPE.size();
    let [k, v] = [1, 2].map(|seed| random_by::<f32>(seed, keys, KV_HEADS * DECODE_DIM));
    let mut memory = vec![vec![E::ZERO; len]; COLD.div_ceil(bytes)];
    let cache = |memory| {
        let mut cache = KvCache::new(memory, KV_HEADS, DECODE_DIM, DECODE_DIM, keys).unwrap();
        cache.append(k.view(), v.view()).unwrap();
        cache
    };
    let caches: Vec<_> = memory.iter_mut().map(|memory| cache(memory)).collect();
    let (q, mut out) = (random::<f32>(1, QUERY_HEADS * DECODE_DIM), random::<f32>(1, QUERY_HEADS * DECODE_DIM));
    let mut turn = caches.iter().cycle();
    for engine in engines() {
        let mut scratch = vec![0; engine.attention_scratch(&attention).unwrap()];
        bench.run_bytes(&engine, &format!("{} {keys} keys", E::DTYPE.name()), bytes as u64, || {
            let cache = turn.next().unwrap();
            engine.attention_cached(&attention, q.view(), cache, out.view_mut(), &mut scratch).unwrap();
        });
    }
}

/// The elements of the rows of attention scores.
fn softmax(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "softmax");
    for engine in engines() {
        for (rows, cols) in [(128, 16), (128, 128), (512, 512), (64, 4096), (16, 65536)] {
            let mut x = random::<f32>(rows, cols);
            // In place, so from the second call on of its own result: the work does not depend on the values.
            let (case, flops) = (format!("{rows}x{cols}"), SOFTMAX_FLOPS * rows * cols);
            bench.run(&engine, &case, flops as u64, || engine.softmax(black_box(&mut x).view_mut()));
        }
    }
}

fn layer_norm(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "layer_norm");
    let (weight, bias) = (random::<f32>(1, HIDDEN), random::<f32>(1, HIDDEN));
    for engine in engines() {
        for rows in TOKENS {
            let (x, mut out) = (random::<f32>(rows, HIDDEN), random::<f32>(rows, HIDDEN));
            let flops = LAYER_NORM_FLOPS * rows * HIDDEN;
            bench.run(&engine, &format!("{rows}x{HIDDEN}"), flops as u64, || {
                let (weight, bias) = (weight.view().row(0), bias.view().row(0));
                engine.layer_norm(black_box(&x).view(), weight, bias, 1e-12, out.view_mut()).unwrap();
            });
        }
    }
}

fn gelu(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "gelu");
    for engine in engines() {
        for (name, activation) in [("erf", Activation::Gelu), ("tanh", Activation::GeluTanh)] {
            for rows in TOKENS {
                // In place, so the input has to be one that GELU leaves as it is: it does from 6 on. The work is the same.
                let mut x = Strided::<f32>::dense(rows, INNER, |_, j| 6.0 + j as f32 / INNER as f32);
                let flops = GELU_FLOPS * rows * INNER;
                bench.run(&engine, &format!("{name} {rows}x{INNER}"), flops as u64, || {
                    engine.activate(activation, black_box(&mut x).view_mut());
                });
            }
        }
    }
}

criterion_group!(benches, matmul, one_row, softmax, attention, masked, mass, decode, layer_norm, gelu);
criterion_main!(benches);
