//! Fixed work, one case a run, for counting instructions: `scripts/callgrind.py` runs it under Valgrind.
//!
//! `counts CASE` does the case once in a function called `measured`, after its preparation; `counts` alone lists the cases.

use std::hint::black_box;
use std::process::ExitCode;

use half::f16;
use selfattn::block::{Batch, Encoder, Layer};
use selfattn::weights::{EncoderConfig, SafeTensors};
use selfattn::{Activation, Attention, Dtype, Element, Engine, Epilogue, MatMut, MatRef, Matrix, Packed, Weights};

type Result<T = ()> = std::result::Result<T, selfattn::Error>;

type Case = fn(&Engine<'_>) -> Result;

/// Name, and what it does.
const CASES: [(&str, Case); 11] = [
    ("matmul-f32-packed-16x384x1536", |engine| product(engine, 16, Dtype::F32, true)),
    ("matmul-f16-packed-16x384x1536", |engine| product(engine, 16, Dtype::F16, true)),
    ("matmul-f32-plain-16x384x1536", |engine| product(engine, 16, Dtype::F32, false)),
    ("matmul-f32-packed-1x384x1536", |engine| product(engine, 1, Dtype::F32, true)),
    ("gemv-f32-384x1536", gemv),
    ("attention-12x128x32", |engine| attention::<f32>(engine, 128, 128)),
    ("attention-f16-12x128x32", |engine| attention::<f16>(engine, 128, 128)),
    ("attention-12x1x1024x32", |engine| attention::<f32>(engine, 1, 1024)),
    ("softmax-64x128", softmax),
    ("layer-norm-64x384", layer_norm),
    ("encoder-built-in-16", encoder),
];

const K: usize = 384;
const N: usize = 1536;

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        CASES.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, case)) = CASES.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("no case is called {wanted}");
        return ExitCode::from(2);
    };
    let engine = Engine::new();
    eprintln!("level {}", engine.level());
    match case(&engine) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{wanted}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counting begins where this is entered, and ends where it is left.
#[inline(never)]
fn measured(work: &mut dyn FnMut() -> Result) -> Result {
    black_box(work())
}

/// Numbers from -1 to 1, no two neighbours alike.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect()
}

fn product(engine: &Engine<'_>, m: usize, stored: Dtype, pack: bool) -> Result {
    let (a, bias, w) = (numbers(m * K), numbers(N), numbers(N * K));
    let halves: Vec<f16> = w.iter().map(|&x| f16::from_f32(x)).collect();
    let plain = match stored {
        Dtype::F16 => Matrix::F16(MatRef::new(&halves, N, K)?),
        _ => Matrix::F32(MatRef::new(&w, N, K)?),
    };
    let mut memory = vec![0; Packed::bytes(engine.level(), plain)?];
    let weights =
        if pack { Weights::Packed(Packed::new(engine.level(), plain, &mut memory)?) } else { Weights::from(plain) };
    let a = MatRef::new(&a, m, K)?;
    let mut scratch = vec![0; engine.matmul_scratch(m, Dtype::F32, &weights)?];
    let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Gelu, residual: None };
    let mut out = vec![0.0; m * N];
    measured(&mut || engine.matmul(a, &weights, &epilogue, MatMut::new(&mut out, m, N)?, &mut scratch))
}

fn gemv(engine: &Engine<'_>) -> Result {
    let (w, x, mut y) = (numbers(N * K), numbers(K), vec![0.0; N]);
    let w = Matrix::F32(MatRef::new(&w, N, K)?);
    measured(&mut || engine.gemv(w, &x, &mut y))
}

fn attention<E: Element>(engine: &Engine<'_>, queries: usize, keys: usize) -> Result
where
    for<'m> Matrix<'m>: From<MatRef<'m, E>>,
{
    let (heads, d) = (12, 32);
    let elements = |rows: usize| numbers(rows * heads * d).into_iter().map(E::from_f32).collect::<Vec<_>>();
    let (q, k, v) = (elements(queries), elements(keys), elements(keys));
    let attention = Attention::new(heads, d);
    let mut scratch = vec![0; engine.attention_scratch(&attention)?];
    let (q, mut out) = (MatRef::new(&q, queries, heads * d)?, vec![0.0; queries * heads * d]);
    let (k, v) = (MatRef::new(&k, keys, heads * d)?, MatRef::new(&v, keys, heads * d)?);
    measured(&mut || {
        let out = MatMut::new(&mut out, queries, heads * d)?;
        engine.attention(&attention, q, k, v, out, &mut scratch)
    })
}

fn softmax(engine: &Engine<'_>) -> Result {
    let mut x = numbers(64 * 128);
    measured(&mut || {
        engine.softmax(MatMut::new(&mut x, 64, 128)?);
        Ok(())
    })
}

fn layer_norm(engine: &Engine<'_>) -> Result {
    let (x, row, mut out) = (numbers(64 * K), numbers(K), vec![0.0; 64 * K]);
    let x = MatRef::new(&x, 64, K)?;
    measured(&mut || engine.layer_norm(x, &row, &row, 1e-5, MatMut::new(&mut out, 64, K)?))
}

/// The model that the command line carries, on 16 tokens.
fn encoder(engine: &Engine<'_>) -> Result {
    #[repr(C, align(64))]
    struct Aligned<T: ?Sized>(T);
    static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../model/model.safetensors"));

    let config = EncoderConfig::from_json(include_bytes!("../model/config.json"))?;
    let tensors = SafeTensors::new(&FILE.0)?;
    let mut memory;
    let mut layers = vec![Layer::default(); config.layers];
    let mut encoder = Encoder::bind(&config, &tensors, &mut layers)?;
    memory = vec![0; encoder.packed_bytes(engine.level())?];
    encoder.pack(engine.level(), &mut memory)?;
    let ids: Vec<u32> = (0..16).map(|i| i * 101 % config.vocab_size as u32).collect();
    let batch = Batch::new(&ids, &[16])?;
    let mut scratch = vec![0; encoder.scratch_bytes(engine, 16)?];
    let mut vector = vec![0.0; config.hidden_size];
    measured(&mut || encoder.embed(engine, &batch, MatMut::new(&mut vector, 1, config.hidden_size)?, &mut scratch))
}
