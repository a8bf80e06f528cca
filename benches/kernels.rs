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
use selfattn::{Activation, Attention, Element, Engine, Epilogue, Level, MatMut, Packed, Weights};

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
/// Width of the hidden state, and of the matrices that a head is a part of.
const HIDDEN: usize = 384;
const INNER: usize = 1536;
const HEAD_DIMS: [usize; 2] = [32, 64];
const SEQUENCES: [usize; 4] = [16, 128, 512, 2048];

// What a row operation does to an element by its definition, a transcendental function counted as one operation.
/// Maximum, difference, exp, sum, quotient.
const SOFTMAX_FLOPS: usize = 5;
/// Sum; difference, square, sum; difference, scale; weight, bias.
const LAYER_NORM_FLOPS: usize = 8;
/// `0.5 x (1 + erf(x / sqrt 2))`
const GELU_FLOPS: usize = 5;

fn random<E: Element>(rows: usize, cols: usize) -> Strided<E> {
    let mut rng = Rng::new((rows * cols) as u64);
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

/// One head, whose queries, keys and values are columns of wider matrices, as in a model.
fn attention(criterion: &mut Criterion) {
    let mut bench = Bench::new(criterion, "attention");
    for engine in engines() {
        for (d, causal) in HEAD_DIMS.into_iter().flat_map(|d| [(d, false), (d, true)]) {
            let attention = Attention::new(1, d).causal(causal);
            let mut scratch = vec![0; engine.attention_scratch(&attention).unwrap()];
            for n in SEQUENCES {
                let [q, k, v] = [1, 2, 3].map(|seed| {
                    let mut rng = Rng::new(seed);
                    Strided::<f32>::dense(n, HIDDEN, |_, _| rng.unit())
                });
                let mut out = random::<f32>(n, HIDDEN);
                // Query i sees i + 1 keys, or all; with each, a multiply-add per dimension for the score and for the sum.
                let pairs = if causal { n * (n + 1) / 2 } else { n * n };
                let case = format!("d={d} n={n}{}", if causal { " causal" } else { "" });
                bench.run(&engine, &case, (4 * d * pairs) as u64, || {
                    let [q, k, v] = [&q, &k, &v].map(|x| black_box(x).view().cols_range(0..d).unwrap());
                    let out = out.view_mut().cols_range(0..d).unwrap();
                    engine.attention(&attention, q, k, v, out, &mut scratch).unwrap();
                });
            }
        }
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

criterion_group!(benches, matmul, one_row, softmax, attention, layer_norm, gelu);
criterion_main!(benches);
