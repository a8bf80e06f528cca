//! A product alone: its code is what an application pays that multiplies matrices of f32.

#![no_std]
#![no_main]

use firmware::data::{SIDE, numbers};
use firmware::expected::{MATMUL, agrees};
use firmware::measure::measure;
use firmware::{entry, finish};
use selfattn::{Engine, Epilogue, Level, MatMut, MatRef, Result, Weights};

/// Sums of 64 products of numbers below 1.
const BOUND: f32 = 1e-5;

static A: [f32; SIDE * SIDE] = numbers(1);
static B: [f32; SIDE * SIDE] = numbers(2);
static mut OUT: [f32; SIDE * SIDE] = [0.0; SIDE * SIDE];
static mut SCRATCH: [u8; SCRATCH_LEN] = [0; SCRATCH_LEN];
const SCRATCH_LEN: usize = Weights::scratch_len(SIDE, SIDE, SIDE, Level::SCALAR);

#[entry]
fn main() -> ! {
    let (out, scratch) = (&raw mut OUT, &raw mut SCRATCH);
    // SAFETY: the only references, since main runs once.
    finish(unsafe { run(&mut *out, &mut *scratch) })
}

fn run(out: &mut [f32], scratch: &mut [u8]) -> Result<bool> {
    let (a, weights) = (MatRef::new(&A, SIDE, SIDE)?, Weights::from(MatRef::new(&B, SIDE, SIDE)?));
    let to = MatMut::new(out, SIDE, SIDE)?;
    let (result, cost) = measure(|| Engine::new().matmul(a, &weights, &Epilogue::default(), to, scratch));
    result?;
    cost.print("matmul 64x64x64");
    Ok(agrees(out, &MATMUL, BOUND))
}
