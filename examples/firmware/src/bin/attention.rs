//! Attention alone: its code is what an application pays that attends in f32.

#![no_std]
#![no_main]

use firmware::data::{DIM, HEADS, TOKENS, numbers};
use firmware::expected::{ATTENTION, agrees};
use firmware::measure::measure;
use firmware::{entry, finish};
use selfattn::{Attention, Engine, Level, MatMut, MatRef, Result};

/// Means of numbers below 1.
const BOUND: f32 = 1e-6;

const WIDTH: usize = HEADS * DIM;

static Q: [f32; TOKENS * WIDTH] = numbers(3);
static K: [f32; TOKENS * WIDTH] = numbers(4);
static V: [f32; TOKENS * WIDTH] = numbers(5);
static mut OUT: [f32; TOKENS * WIDTH] = [0.0; TOKENS * WIDTH];
static mut SCRATCH: [u8; SCRATCH_LEN] = [0; SCRATCH_LEN];
const SCRATCH_LEN: usize = Attention::scratch_len(DIM, DIM, Level::SCALAR);

#[entry]
fn main() -> ! {
    let (out, scratch) = (&raw mut OUT, &raw mut SCRATCH);
    // SAFETY: the only references, since main runs once.
    finish(unsafe { run(&mut *out, &mut *scratch) })
}

fn run(out: &mut [f32], scratch: &mut [u8]) -> Result<bool> {
    let view = |x| MatRef::new(x, TOKENS, WIDTH);
    let (q, k, v, to) = (view(&Q)?, view(&K)?, view(&V)?, MatMut::new(out, TOKENS, WIDTH)?);
    let attention = Attention::new(HEADS, DIM);
    let (result, cost) = measure(|| Engine::new().attention(&attention, q, k, v, to, scratch));
    result?;
    cost.print("attention, 8 heads of 16, 32 tokens");
    Ok(agrees(out, &ATTENTION, BOUND))
}
