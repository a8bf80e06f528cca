//! The measurement: every contestant for a short while, round after round, so that what else the machine does hits all
//! alike.

use std::time::Instant;

use crate::contestant::Timed;
use crate::error::Result;

/// A contestant's turn: long against the clock, short against what disturbs it.
const TURN_SECONDS: f64 = 1e-3;
/// Rounds at least, however long one takes; those that it is worth going on for, up to `PATIENCE` times as long; and at most.
const LEAST: usize = 3;
const WORTH: usize = 5;
const PATIENCE: f64 = 4.0;
const MOST: usize = 20_000;
/// A run that takes so long is measured as it is, and not tried out first.
const LONG_SECONDS: f64 = 0.1;

/// Seconds a run took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub median: f64,
    pub best: f64,
    pub rounds: usize,
}

/// Times all of them, interleaved, for about `seconds` together.
pub fn interleaved(contestants: &mut [&mut dyn Timed], seconds: f64) -> Result<Vec<Times>> {
    let mut runs = Vec::new();
    for contestant in contestants.iter_mut() {
        runs.push(runs_a_turn(*contestant)?);
    }
    let mut samples = vec![Vec::new(); contestants.len()];
    let (start, mut round) = (Instant::now(), 0);
    while goes_on(round, start.elapsed().as_secs_f64() / seconds) {
        for turn in 0..contestants.len() {
            let i = (turn + round) % contestants.len();
            samples[i].push(turn_of(&mut *contestants[i], runs[i])?);
        }
        round += 1;
    }
    Ok(samples.into_iter().map(times).collect())
}

fn goes_on(round: usize, spent: f64) -> bool {
    round < LEAST || (round < WORTH && spent < PATIENCE) || (round < MOST && spent < 1.0)
}

/// Seconds a run in one turn. A contestant whose run is short finds its data in the caches it would have them in, not
/// where those before it left them.
fn turn_of(contestant: &mut dyn Timed, runs: u64) -> Result<f64> {
    if runs > 1 {
        contestant.time(runs.div_ceil(8))?;
    }
    Ok(contestant.time(runs)? / runs as f64)
}

fn runs_a_turn(contestant: &mut dyn Timed) -> Result<u64> {
    if contestant.time(1)? > LONG_SECONDS {
        return Ok(1);
    }
    let mut runs = 1;
    loop {
        let seconds = contestant.time(runs)?;
        if seconds >= TURN_SECONDS / 2.0 {
            return Ok(((runs as f64 * TURN_SECONDS / seconds) as u64).max(1));
        }
        runs *= 2;
    }
}

fn times(mut samples: Vec<f64>) -> Times {
    samples.sort_by(f64::total_cmp);
    Times { median: samples[samples.len() / 2], best: samples[0], rounds: samples.len() }
}
