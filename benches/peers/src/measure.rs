//! The measurement: every contestant for a short while, round after round, so that what else the machine does hits all
//! alike.

use std::time::Instant;

use crate::contestant::Timed;
use crate::error::Result;

/// Seconds of a contestant's turn: long against the clock, short against what disturbs it. Where memory is to be cold, long against what
/// others have left in the caches as well, which has to be written back.
pub const TURN: f64 = 1e-3;
pub const COLD_TURN: f64 = 2e-2;
/// Rounds at least, however long one takes; those that it is worth going on for, up to `PATIENCE` times as long; and at most.
const LEAST: usize = 3;
const WORTH: usize = 5;
const PATIENCE: f64 = 4.0;
const MOST: usize = 20_000;
/// A run that takes so long is measured as it is, and not tried out first: what others have left in the caches is little of it.
const LONG_SECONDS: f64 = 0.1;

/// Seconds a run took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub median: f64,
    pub best: f64,
    pub rounds: usize,
}

/// Times all of them, interleaved, for about `seconds` together, each in turns of so many.
pub fn interleaved(contestants: &mut [&mut dyn Timed], seconds: f64, turn: f64) -> Result<Vec<Times>> {
    let mut turns = Vec::new();
    for contestant in contestants.iter_mut() {
        turns.push(Turn::new(*contestant, turn)?);
    }
    let mut samples = vec![Vec::new(); contestants.len()];
    let (start, mut round) = (Instant::now(), 0);
    while goes_on(round, start.elapsed().as_secs_f64() / seconds) {
        for nth in 0..contestants.len() {
            let i = (nth + round) % contestants.len();
            samples[i].push(turns[i].take(&mut *contestants[i])?);
        }
        round += 1;
    }
    Ok(samples.into_iter().map(times).collect())
}

fn goes_on(round: usize, spent: f64) -> bool {
    round < LEAST || (round < WORTH && spent < PATIENCE) || (round < MOST && spent < 1.0)
}

/// A contestant's turn: runs that are timed, and before them some that are not, so that it finds in the caches what it would have there,
/// and room for what it reads, not what those before it have left to be written back.
struct Turn {
    before: u64,
    runs: u64,
}

impl Turn {
    fn new(contestant: &mut dyn Timed, turn: f64) -> Result<Self> {
        if contestant.time(1)? > LONG_SECONDS {
            return Ok(Self { before: 0, runs: 1 });
        }
        let mut runs = 1;
        loop {
            let seconds = contestant.time(runs)?;
            if seconds >= turn / 2.0 {
                let runs = ((runs as f64 * turn / seconds) as u64).max(1);
                return Ok(Self { before: runs.div_ceil(8), runs });
            }
            runs *= 2;
        }
    }

    /// Seconds a run.
    fn take(&self, contestant: &mut dyn Timed) -> Result<f64> {
        if self.before > 0 {
            contestant.time(self.before)?;
        }
        Ok(contestant.time(self.runs)? / self.runs as f64)
    }
}

fn times(mut samples: Vec<f64>) -> Times {
    samples.sort_by(f64::total_cmp);
    Times { median: samples[samples.len() / 2], best: samples[0], rounds: samples.len() }
}
