//! The encoder: two texts to vectors, compared with those of the host.

#![no_std]
#![no_main]

use firmware::expected::difference;
use firmware::measure::measure;
use firmware::model::{CONFIG, EXPECTED, TEXTS, TOKENS, WEIGHTS};
use firmware::print::Line;
use firmware::{entry, finish};
use selfattn::block::{Batch, Encoder, Layer};
use selfattn::{Engine, Level, MatMut, Result};

/// What the vectors, of length 1, may differ from the host's: float arithmetic in another order.
const BOUND: f32 = 2e-6;

/// All the memory there is, beside the stack.
static mut SCRATCH: [u8; SCRATCH_LEN] = [0; SCRATCH_LEN];
const SCRATCH_LEN: usize = Encoder::scratch_len(&CONFIG, TOKENS, Level::SCALAR);

#[entry]
fn main() -> ! {
    let scratch = &raw mut SCRATCH;
    // SAFETY: the only reference, since main runs once.
    finish(run(unsafe { &mut *scratch }))
}

fn run(scratch: &mut [u8]) -> Result<bool> {
    let mut layers = [Layer::default(); CONFIG.layers];
    let (encoder, cost) = measure(|| Encoder::bind_placed(&CONFIG, &WEIGHTS, &mut layers));
    let encoder = encoder?;
    cost.print("bind");

    let engine = Engine::new();
    let mut worst = 0.0_f32;
    for (ids, expected) in TEXTS.iter().zip(&EXPECTED) {
        let lengths = [ids.len()];
        let batch = Batch::new(ids, &lengths)?;
        let mut vector = [0.0; CONFIG.hidden_size];
        let out = MatMut::new(&mut vector, 1, CONFIG.hidden_size)?;
        let (result, cost) = measure(|| encoder.embed(&engine, &batch, out, scratch));
        result?;
        cost.print("embed");
        let difference = difference(vector.iter(), expected);
        worst = if difference <= worst { worst } else { difference };
    }
    Line::new().text("largest difference from the host: ").decimal(worst * 1e6, 3).text("e-6").end();
    Ok(worst <= BOUND)
}
