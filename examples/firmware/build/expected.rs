//! The product and the attention, on the host.

use std::error::Error;
use std::fs;
use std::path::Path;

use selfattn::{Attention, Engine, Epilogue, MatMut, MatRef, Weights};

use crate::data::{DIM, HEADS, SIDE, TOKENS, numbers, samples};

/// Writes `expected.rs`.
pub fn write(out: &Path) -> Result<(), Box<dyn Error>> {
    let arrays = [("MATMUL", matmul()?), ("ATTENTION", attention()?)];
    let array = |(name, result): &(&str, Vec<f32>)| {
        let samples: Vec<f32> = samples(result).copied().collect();
        format!("pub static {name}: [f32; {}] = {samples:?};\n", samples.len())
    };
    Ok(fs::write(out.join("expected.rs"), arrays.iter().map(array).collect::<String>())?)
}

fn matmul() -> Result<Vec<f32>, selfattn::Error> {
    let (a, b) = (numbers::<{ SIDE * SIDE }>(1), numbers::<{ SIDE * SIDE }>(2));
    let (a, weights) = (MatRef::new(&a, SIDE, SIDE)?, Weights::from(MatRef::new(&b, SIDE, SIDE)?));
    let engine = Engine::new();
    let mut scratch = bytes(engine.matmul_scratch(SIDE, selfattn::Dtype::F32, &weights)?);
    let mut out = vec![0.0; SIDE * SIDE];
    engine.matmul(a, &weights, &Epilogue::default(), MatMut::new(&mut out, SIDE, SIDE)?, &mut scratch)?;
    Ok(out)
}

fn attention() -> Result<Vec<f32>, selfattn::Error> {
    const WIDTH: usize = HEADS * DIM;
    let [q, k, v] = [3, 4, 5].map(numbers::<{ TOKENS * WIDTH }>);
    let view = |x| MatRef::new(x, TOKENS, WIDTH);
    let (engine, attention) = (Engine::new(), Attention::new(HEADS, DIM));
    let mut scratch = bytes(engine.attention_scratch(&attention)?);
    let mut out = vec![0.0; TOKENS * WIDTH];
    let to = MatMut::new(&mut out, TOKENS, WIDTH)?;
    engine.attention(&attention, view(&q)?, view(&k)?, view(&v)?, to, &mut scratch)?;
    Ok(out)
}

fn bytes(len: usize) -> Vec<u8> {
    vec![0; len]
}
