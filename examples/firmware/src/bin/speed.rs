//! Instructions beside plain C, compiled by gcc at its highest level, on the same numbers.

#![no_std]
#![no_main]

use core::ffi::c_uint;

use firmware::data::{DIM, HEADS, SIDE, TOKENS, numbers};
use firmware::expected::difference;
use firmware::measure::{Cost, measure};
use firmware::model::{CONFIG, TEXTS, WEIGHTS, weights_f32};
use firmware::print::{self, Line};
use firmware::{entry, finish};
use selfattn::block::{Batch, Encoder, Layer};
use selfattn::{Attention, Engine, Epilogue, Level, MatMut, MatRef, Result, Weights};

/// What the C's results may differ by: it adds in another order.
const BOUND: f32 = 1e-5;

const WIDTH: usize = HEADS * DIM;
const MOST: usize = if SIDE * SIDE > TOKENS * WIDTH { SIDE * SIDE } else { TOKENS * WIDTH };
const TEXT: &[u32] = TEXTS[0];

static A: [f32; SIDE * SIDE] = numbers(1);
static B: [f32; SIDE * SIDE] = numbers(2);
static Q: [f32; TOKENS * WIDTH] = numbers(3);
static K: [f32; TOKENS * WIDTH] = numbers(4);
static V: [f32; TOKENS * WIDTH] = numbers(5);

static mut MEMORY: Memory =
    Memory { out: [0.0; MOST], c_out: [0.0; MOST], c_memory: [0.0; C_LEN], scratch: [0; SCRATCH_LEN] };

struct Memory {
    out: [f32; MOST],
    c_out: [f32; MOST],
    c_memory: [f32; C_LEN],
    scratch: [u8; SCRATCH_LEN],
}

const C_LEN: usize = TEXT.len() * (5 * CONFIG.hidden_size + CONFIG.intermediate_size + 1);
const SCRATCH_LEN: usize = max(
    Encoder::scratch_len(&CONFIG, TEXT.len(), Level::SCALAR),
    max(Attention::scratch_len(DIM, DIM, Level::SCALAR), Weights::scratch_len(SIDE, SIDE, SIDE, Level::SCALAR)),
);

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

#[repr(C)]
struct Sizes {
    vocab: usize,
    positions: usize,
    types: usize,
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    eps: f32,
}

unsafe extern "C" {
    fn naive_matmul(a: *const f32, b: *const f32, bias: *const f32, c: *mut f32, m: usize, k: usize, n: usize);
    fn naive_attention(
        q: *const f32,
        k: *const f32,
        v: *const f32,
        out: *mut f32,
        scores: *mut f32,
        tokens: usize,
        heads: usize,
        d: usize,
    );
    fn naive_encoder(
        sizes: &Sizes,
        weights: *const f32,
        ids: *const c_uint,
        tokens: usize,
        vector: *mut f32,
        memory: *mut f32,
    );
}

/// The functions of a C library: both sides have those of the same one, musl's.
#[unsafe(no_mangle)]
extern "C" fn expf(x: f32) -> f32 {
    libm::expf(x)
}

#[unsafe(no_mangle)]
extern "C" fn erff(x: f32) -> f32 {
    libm::erff(x)
}

#[unsafe(no_mangle)]
extern "C" fn sqrtf(x: f32) -> f32 {
    libm::sqrtf(x)
}

#[entry]
fn main() -> ! {
    let memory = &raw mut MEMORY;
    // SAFETY: the only reference, since main runs once.
    let memory = unsafe { &mut *memory };
    finish(matmul(memory).and_then(|first| Ok(first & attention(memory)? & encoder(memory)?)))
}

fn matmul(memory: &mut Memory) -> Result<bool> {
    let (a, weights) = (MatRef::new(&A, SIDE, SIDE)?, Weights::from(MatRef::new(&B, SIDE, SIDE)?));
    let Memory { out, c_out, scratch, .. } = memory;
    let to = MatMut::new(out, SIDE, SIDE)?;
    let (result, ours) = measure(|| Engine::new().matmul(a, &weights, &Epilogue::default(), to, scratch));
    result?;
    let null = core::ptr::null();
    // SAFETY: the sizes are those of the arrays.
    let ((), c) =
        measure(|| unsafe { naive_matmul(A.as_ptr(), B.as_ptr(), null, c_out.as_mut_ptr(), SIDE, SIDE, SIDE) });
    let same = compare("matmul 64x64x64", [&ours, &c], &out[..SIDE * SIDE], &c_out[..SIDE * SIDE]);
    #[cfg(cmsis_dsp)]
    let same = same & cmsis(memory)?;
    Ok(same)
}

/// CMSIS-DSP has the rows and columns of the right-hand side the other way round.
#[cfg(cmsis_dsp)]
fn cmsis(memory: &mut Memory) -> Result<bool> {
    unsafe extern "C" {
        fn cmsis_matmul(a: *const f32, b: *const f32, c: *mut f32, n: c_uint);
    }
    let b = selfattn::Plain::new(MatRef::new(&B, SIDE, SIDE)?.into(), selfattn::Order::InOut);
    let Memory { out, c_out, scratch, .. } = memory;
    let (a, weights, to) = (MatRef::new(&A, SIDE, SIDE)?, Weights::from(b), MatMut::new(out, SIDE, SIDE)?);
    let (result, ours) = measure(|| Engine::new().matmul(a, &weights, &Epilogue::default(), to, scratch));
    result?;
    // SAFETY: the sizes are those of the arrays; the inputs are only read.
    let ((), c) = measure(|| unsafe { cmsis_matmul(A.as_ptr(), B.as_ptr(), c_out.as_mut_ptr(), SIDE as c_uint) });
    Ok(compare("matmul 64x64x64, CMSIS-DSP", [&ours, &c], &out[..SIDE * SIDE], &c_out[..SIDE * SIDE]))
}

fn attention(memory: &mut Memory) -> Result<bool> {
    let view = |x| MatRef::new(x, TOKENS, WIDTH);
    let Memory { out, c_out, c_memory, scratch } = memory;
    let (q, k, v, to) = (view(&Q)?, view(&K)?, view(&V)?, MatMut::new(out, TOKENS, WIDTH)?);
    let attention = Attention::new(HEADS, DIM);
    let (result, ours) = measure(|| Engine::new().attention(&attention, q, k, v, to, scratch));
    result?;
    let [q, k, v] = [&Q, &K, &V].map(|x| x.as_ptr());
    let (c_to, scores) = (c_out.as_mut_ptr(), c_memory.as_mut_ptr());
    // SAFETY: the sizes are those of the arrays; the memory is longer than the scores.
    let ((), c) = measure(|| unsafe { naive_attention(q, k, v, c_to, scores, TOKENS, HEADS, DIM) });
    Ok(compare("attention", [&ours, &c], &out[..TOKENS * WIDTH], &c_out[..TOKENS * WIDTH]))
}

fn encoder(memory: &mut Memory) -> Result<bool> {
    let mut layers = [Layer::default(); CONFIG.layers];
    let encoder = Encoder::bind_placed(&CONFIG, &WEIGHTS, &mut layers)?;
    let lengths = [TEXT.len()];
    let batch = Batch::new(TEXT, &lengths)?;
    let Memory { out, c_out, c_memory, scratch } = memory;
    let to = MatMut::new(out, 1, CONFIG.hidden_size)?;
    let (result, ours) = measure(|| encoder.embed(&Engine::new(), &batch, to, scratch));
    result?;
    let sizes = Sizes {
        vocab: CONFIG.vocab_size,
        positions: CONFIG.max_positions,
        types: CONFIG.token_types,
        hidden: CONFIG.hidden_size,
        inner: CONFIG.intermediate_size,
        layers: CONFIG.layers,
        heads: CONFIG.heads,
        eps: CONFIG.norm_eps,
    };
    let (weights, ids) = (weights_f32().as_ptr().cast(), TEXT.as_ptr());
    let (c_to, c_memory) = (c_out.as_mut_ptr(), c_memory.as_mut_ptr());
    // SAFETY: the weights are laid out by the build script in this order; the memory is as long as the function says.
    let ((), c) = measure(|| unsafe { naive_encoder(&sizes, weights, ids, TEXT.len(), c_to, c_memory) });
    Ok(compare("encoder", [&ours, &c], &out[..CONFIG.hidden_size], &c_out[..CONFIG.hidden_size]))
}

/// Prints both counts and their ratio; whether the results agree.
fn compare(what: &str, [ours, c]: [&Cost; 2], out: &[f32], c_out: &[f32]) -> bool {
    let ratio = c.instructions as f32 / ours.instructions as f32;
    let line = Line::new().text(what).text(": ").number(ours.instructions).text(" instructions, C ");
    line.number(c.instructions).text(", ratio ").decimal(ratio, 2).end();
    let worst = difference(out.iter(), c_out);
    if worst.is_nan() || worst > BOUND {
        print::line("FAILED: the results differ");
        return false;
    }
    true
}
