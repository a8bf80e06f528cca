//! The measurement itself: warm up, repeat for a while or so often, count.

use std::time::{Duration, Instant};

use crate::error::Result;

/// Repetitions at least, however long one takes.
const LEAST: usize = 3;
/// Repetitions at most: enough for any mean, and little memory.
const MOST: usize = 100_000;
/// Share of the time spent on warming up: caches, the clock's frequency, the threads.
const WARM_UP: f64 = 0.2;

/// How often to repeat.
#[derive(Clone, Copy, Debug)]
pub enum Repeat {
    /// For about so long, a part of it to warm up.
    Seconds(f64),
    /// So often, after one time to warm up.
    Times(usize),
}

/// Milliseconds a repetition took.
#[derive(Clone, Debug)]
pub struct Times {
    pub all: Vec<f64>,
    pub mean: f64,
    /// Standard deviation of the sample.
    pub sd: f64,
    pub min: f64,
}

/// Repeats `work`.
pub fn measure(how: Repeat, mut work: impl FnMut() -> Result<()>) -> Result<Times> {
    let times = match how {
        Repeat::Seconds(seconds) => {
            repeat(seconds * WARM_UP, 1, &mut work)?;
            repeat(seconds * (1.0 - WARM_UP), LEAST, &mut work)?
        }
        Repeat::Times(times) => {
            work()?;
            repeat(0.0, times, &mut work)?
        }
    };
    let n = times.len() as f64;
    let mean = times.iter().sum::<f64>() / n;
    let squares: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
    let min = times.iter().copied().fold(f64::INFINITY, f64::min);
    let sd = if times.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
    Ok(Times { all: times, mean, sd, min })
}

fn repeat(seconds: f64, least: usize, work: &mut impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut times = Vec::new();
    while times.len() < least || (Instant::now() < end && times.len() < MOST) {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Random numbers, the same at every run: splitmix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // A remainder's bias is far below anything that timing could show.
        ((z ^ (z >> 31)) % bound.max(1) as u64) as u32
    }
}
