//! The machine's roofs as contestants: multiply-adds in registers, and reading memory.

use std::hint::black_box;

use selfattn::Engine;
use selfattn::roof::{multiply_add, read};

use crate::attention::KeysValues;
use crate::clock::Clock;
use crate::contestant::Timed;
use crate::data::{Buffer, random};
use crate::error::Result;
use crate::measure::{TURN, interleaved};

/// Steps of the FMA loop in a run: more than a hundred microseconds.
const STEPS: u64 = 50_000;

/// The f32 multiply-adds that the threads can do.
pub struct Peak<'e> {
    engine: &'e Engine<'e>,
    /// Floating-point operations of a run.
    pub work: f64,
}

impl<'e> Peak<'e> {
    pub fn new(engine: &'e Engine<'e>) -> Self {
        let work = multiply_add(engine, STEPS) as f64 * engine.threads() as f64;
        Self { engine, work }
    }
}

impl Timed for Peak<'_> {
    fn time(&mut self, runs: u64) -> Result<f64> {
        let start = Clock::start();
        on_all(self.engine, |_| {
            black_box(multiply_add(self.engine, STEPS * runs));
        });
        Ok(start.seconds())
    }
}

/// Reading a buffer, again and again.
pub struct Read<'e> {
    engine: &'e Engine<'e>,
    data: Buffer<f32>,
}

impl<'e> Read<'e> {
    pub fn new(engine: &'e Engine<'e>, bytes: usize) -> Self {
        Self { engine, data: random(9, bytes / size_of::<f32>()) }
    }

    /// Bytes of a run.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

impl Timed for Read<'_> {
    fn time(&mut self, runs: u64) -> Result<f64> {
        let start = Clock::start();
        (0..runs).for_each(|_| read_all(self.engine, &self.data));
        Ok(start.seconds())
    }
}

/// Reading what decoding reads, and as cold: other keys and values each time.
pub struct ReadInTurn<'a> {
    engine: &'a Engine<'a>,
    kv: &'a [KeysValues<f32>],
    turn: usize,
}

impl<'a> ReadInTurn<'a> {
    pub fn new(engine: &'a Engine<'a>, kv: &'a [KeysValues<f32>]) -> Self {
        // Not those that the plain algorithm has had last.
        Self { engine, kv, turn: kv.len() / 2 }
    }
}

impl Timed for ReadInTurn<'_> {
    fn time(&mut self, runs: u64) -> Result<f64> {
        let start = Clock::start();
        for _ in 0..runs {
            let KeysValues { k, v } = &self.kv[self.turn % self.kv.len()];
            [k, v].into_iter().for_each(|data| read_all(self.engine, data));
            self.turn += 1;
        }
        Ok(start.seconds())
    }
}

/// Each thread its part.
fn read_all(engine: &Engine<'_>, data: &[f32]) {
    let part = data.len().div_ceil(engine.threads()).max(1);
    on_all(engine, |thread| read(engine, black_box(data.chunks(part).nth(thread).unwrap_or_default())));
}

/// On every thread of the global pool, which has as many as the engine.
fn on_all(engine: &Engine<'_>, task: impl Fn(usize) + Sync) {
    if engine.threads() == 1 {
        return task(0);
    }
    rayon::broadcast(|context| task(context.index()));
}

/// Both roofs, interleaved: floating-point operations, and bytes a second of as many, which no cache should hold.
pub fn measure(engine: &Engine<'_>, seconds: f64, bytes: usize) -> Result<(f64, f64)> {
    let (mut peak, mut read) = (Peak::new(engine), Read::new(engine, bytes));
    let times = interleaved(&mut [&mut peak, &mut read], seconds, TURN)?;
    Ok((peak.work / times[0].median, read.bytes() as f64 / times[1].median))
}
