//! Matrix products: `C = A W^T`, A `m x k`, W `n x k` as weight files have it.

mod crates;
mod ours;
mod problem;

use selfattn::Engine;

use crate::args::RunArgs;
use crate::contestant::{Contestants, Info, Timed, verify};
use crate::error::Result;
use crate::measure::{TURN, Times, interleaved};
use crate::python::Python;
use crate::report::Row;
use crate::roofs::{Peak, Read};
use problem::Problem;

/// Measures everyone at one shape; a row each.
pub fn run(shape: &str, engine: &Engine<'_>, python: Option<&Python>, args: &RunArgs) -> Result<Vec<Row>> {
    let problem = Problem::new(shape)?;
    let mut contestants: Contestants<'_> = ours::contestants(engine, &problem)?;
    contestants.extend(crates::contestants(engine.threads(), &problem));
    if let Some(python) = python {
        contestants.extend(python.contestants("matmul", &problem.shape())?);
    }
    contestants.retain(|contestant| args.wants(&contestant.info().name));
    for contestant in &mut contestants {
        let tolerance = problem.tolerance(contestant.info());
        verify(contestant.as_mut(), &problem.sampled, &problem.expected, &tolerance)?;
    }
    measure(shape, engine, &problem, &mut contestants, args.seconds)
}

fn measure(
    shape: &str,
    engine: &Engine<'_>,
    problem: &Problem,
    contestants: &mut Contestants<'_>,
    seconds: f64,
) -> Result<Vec<Row>> {
    let mut peak = Peak::new(engine);
    let mut reads = reads(engine, problem, contestants);
    let mut timed: Vec<&mut dyn Timed> = contestants.iter_mut().map(|one| one.as_mut() as &mut dyn Timed).collect();
    timed.push(&mut peak);
    timed.extend(reads.iter_mut().map(|read| read as &mut dyn Timed));
    let times = interleaved(&mut timed, seconds, TURN)?;
    let (times, roofs) = times.split_at(contestants.len());
    let rate = |bytes: usize| {
        let at = reads.iter().position(|read| read.bytes() == bytes)?;
        Some(bytes as f64 / roofs[1 + at].median)
    };
    let row = |(info, times): (&Info, &Times)| Row {
        work: problem.work(),
        peak: Some(peak.work / roofs[0].median),
        read: rate(info.bytes),
        ..Row::new("matmul", shape, info, times)
    };
    Ok(contestants.iter().map(|one| one.info()).zip(times).map(row).collect())
}

/// For products that only read weights: reading as many bytes as each contestant does, wherever they come from.
fn reads<'e>(engine: &'e Engine<'e>, problem: &Problem, contestants: &Contestants<'_>) -> Vec<Read<'e>> {
    if problem.m > 1 {
        return Vec::new();
    }
    let mut bytes: Vec<_> = contestants.iter().map(|contestant| contestant.info().bytes).collect();
    bytes.sort_unstable();
    bytes.dedup();
    bytes.into_iter().map(|bytes| Read::new(engine, bytes)).collect()
}
