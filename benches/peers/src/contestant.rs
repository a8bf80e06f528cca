//! What takes part in a comparison: a trait, and the contestants that run in this process.

use std::hint::black_box;

use selfattn::Element;

use crate::clock::Clock;
use crate::data::Buffer;
use crate::error::Result;

/// Something that can be run and timed.
pub trait Timed {
    /// Seconds that this many runs take.
    fn time(&mut self, runs: u64) -> Result<f64>;
}

/// What the table says of a contestant.
#[derive(Clone, Debug, Default)]
pub struct Info {
    pub name: String,
    pub activations: String,
    /// The weights' type, or the only one.
    pub weights: String,
    /// Bytes of weights that a run reads.
    pub bytes: usize,
    pub ours: bool,
    /// Sums are rounded to the activations' type at every step.
    pub rounds_sums: bool,
}

/// An implementation of the operation at one shape, with its input and memory.
pub trait Contestant: Timed {
    fn info(&self) -> &Info;
    /// The result's elements at these places. Called before the first timing.
    fn sample(&mut self, at: &[usize]) -> Result<Vec<f64>>;
}

/// A list of contestants that borrow their inputs.
pub type Contestants<'a> = Vec<Box<dyn Contestant + 'a>>;

type Run<'a, T> = Box<dyn FnMut(&mut [T]) + 'a>;

/// A contestant in this process: a closure that writes its result, or changes it in place.
pub struct Local<'a, T> {
    info: Info,
    out: Buffer<T>,
    run: Run<'a, T>,
}

impl<'a, T: Element> Local<'a, T> {
    pub fn boxed(info: Info, out: Buffer<T>, run: impl FnMut(&mut [T]) + 'a) -> Box<dyn Contestant + 'a> {
        Box::new(Self { info, out, run: Box::new(run) })
    }
}

impl<T: Element> Timed for Local<'_, T> {
    fn time(&mut self, runs: u64) -> Result<f64> {
        let start = Clock::start();
        for _ in 0..runs {
            (self.run)(black_box(&mut self.out));
        }
        Ok(start.seconds())
    }
}

impl<T: Element> Contestant for Local<'_, T> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn sample(&mut self, at: &[usize]) -> Result<Vec<f64>> {
        (self.run)(&mut self.out);
        Ok(at.iter().map(|&i| f64::from(self.out[i].to_f32())).collect())
    }
}

/// Fails if an element of the contestant's result is further from the expected one than its tolerance.
pub fn verify(contestant: &mut dyn Contestant, at: &[usize], expected: &[f64], tolerance: &[f64]) -> Result<()> {
    let name = contestant.info().name.clone();
    let got = contestant.sample(at)?;
    if got.len() != at.len() {
        return Err(format!("{name}: {} elements instead of {}", got.len(), at.len()).into());
    }
    for (i, got) in got.iter().enumerate() {
        let error = (got - expected[i]).abs();
        // Also for NaN.
        if error.is_nan() || error > tolerance[i] {
            let (at, expected, tolerance) = (at[i], expected[i], tolerance[i]);
            let wrong = format!("element {at} is {got}, expected {expected} within {tolerance:.1e}");
            return Err(format!("{name} computes something else: {wrong}").into());
        }
    }
    Ok(())
}
