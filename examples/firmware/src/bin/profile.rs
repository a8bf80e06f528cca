//! Where the encoder's instructions go: a span for each operation, by the board's own counter, in a `static`.

#![no_std]
#![no_main]

use firmware::model::{CONFIG, TEXTS, TOKENS, weights};
use firmware::print::{self, Line};
use firmware::{board, entry, finish};
use selfattn::block::{Batch, Encoder, Layer};
use selfattn::profile::{Profiler, Record, Span};
use selfattn::weights::SafeTensors;
use selfattn::{Engine, Level, MatMut, Result};

/// More than the spans of a forward pass: 12 for each layer, and six.
const SPANS: usize = 12 * CONFIG.layers + 8;

static RECORDS: [Record; SPANS] = [const { Record::EMPTY }; SPANS];
// On silicon the clock is the cycle counter: `DWT::cycle_count`, or `mcycle`.
static PROFILER: Profiler<'static> = Profiler::new(board::instructions, &RECORDS);

static mut SCRATCH: [u8; SCRATCH_LEN] = [0; SCRATCH_LEN];
const SCRATCH_LEN: usize = Encoder::scratch_len(&CONFIG, TOKENS, Level::SCALAR);

#[entry]
fn main() -> ! {
    let scratch = &raw mut SCRATCH;
    // SAFETY: the only reference, since main runs once.
    finish(run(unsafe { &mut *scratch }))
}

fn run(scratch: &mut [u8]) -> Result<bool> {
    let tensors = SafeTensors::new(weights())?;
    let mut layers = [Layer::default(); CONFIG.layers];
    let encoder = Encoder::bind(&CONFIG, &tensors, &mut layers)?;
    let lengths = [TEXTS[0].len()];
    let batch = Batch::new(TEXTS[0], &lengths)?;
    let mut vector = [0.0; CONFIG.hidden_size];
    let engine = Engine::new().with_profiler(&PROFILER);
    encoder.embed(&engine, &batch, MatMut::new(&mut vector, 1, CONFIG.hidden_size)?, scratch)?;

    PROFILER.spans().for_each(|(_, span)| print(&span));
    print::line("instructions, and FLOPs for 100 of them");
    Ok(PROFILER.dropped() == 0)
}

fn print(span: &Span) {
    let mut line = Line::new().number(span.ticks()).text("  ").text(span.operation.name()).text(" ");
    for (i, &size) in span.shape.iter().take_while(|&&size| size > 0).enumerate() {
        line = line.text(if i > 0 { "x" } else { "" }).number(size as u64);
    }
    if span.flops > 0 {
        line = line.text("  ").number(span.flops * 100 / span.ticks().max(1));
    }
    line.end();
}
