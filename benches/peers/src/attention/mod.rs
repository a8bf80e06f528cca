//! Scaled dot-product attention: of many queries, held against the FMA peak, and of one, held against reading its keys and
//! values from memory.

mod ours;
mod plain;
mod problem;
mod reference;
#[cfg(feature = "rten")]
mod rten;
mod summary;

use selfattn::{Dtype, Engine};

use crate::args::RunArgs;
use crate::contestant::{Contestants, Info, Timed, verify};
use crate::error::Result;
use crate::measure::{COLD_TURN, TURN, Times, interleaved};
use crate::python::Python;
use crate::report::Row;
use crate::roofs::{Peak, ReadInTurn};
pub use ours::{FLASH, PLAIN};
use plain::Scores;
pub use problem::KeysValues;
use problem::{Problem, Shape};
pub use summary::{SUMMARY, summary};

/// Measures everyone at one shape; a row each.
pub fn run(op: &str, name: &str, engine: &Engine<'_>, python: Option<&Python>, args: &RunArgs) -> Result<Vec<Row>> {
    let shape = if op == "decode" { Shape::decode(name, args.cold_bytes()) } else { Shape::square(name) }?;
    let problem = Problem::new(shape);
    let scores = Scores::new(&shape);
    let mut contestants = ours::contestants(engine, &problem, &scores)?;
    #[cfg(feature = "rten")]
    contestants.push(Box::new(rten::Rten::new(engine.threads(), &problem)?));
    if let Some(python) = python {
        contestants.extend(python.contestants(op, &shape.numbers())?);
    }
    contestants.retain(|contestant| args.wants(&contestant.info().name));
    check(&problem, &mut contestants)?;
    measure(op, name, engine, &problem, &mut contestants, args.seconds)
}

/// Flash and plain attention in each type at one shape; a row each.
pub fn ours(name: &str, engine: &Engine<'_>, seconds: f64) -> Result<Vec<Row>> {
    let shape = Shape::square(name)?;
    let problem = Problem::new(shape);
    let scores = Scores::new(&shape);
    let mut contestants = ours::contestants(engine, &problem, &scores)?;
    check(&problem, &mut contestants)?;
    measure("shapes", name, engine, &problem, &mut contestants, seconds)
}

fn check(problem: &Problem, contestants: &mut Contestants<'_>) -> Result<()> {
    for contestant in contestants {
        let (expected, tolerance) = problem.expected(&contestant.info().activations);
        verify(contestant.as_mut(), &problem.sampled, &expected, &tolerance)?;
    }
    Ok(())
}

fn measure(
    op: &str,
    name: &str,
    engine: &Engine<'_>,
    problem: &Problem,
    contestants: &mut Contestants<'_>,
    seconds: f64,
) -> Result<Vec<Row>> {
    let mut peak = Peak::new(engine);
    let shape = &problem.shape;
    let mut read = shape.cold.map(|_| ReadInTurn::new(engine, &problem.f32.kv));
    let mut timed: Vec<&mut dyn Timed> = contestants.iter_mut().map(|one| one.as_mut() as &mut dyn Timed).collect();
    timed.push(&mut peak);
    timed.extend(read.iter_mut().map(|read| read as &mut dyn Timed));
    let times = interleaved(&mut timed, seconds, if shape.cold.is_some() { COLD_TURN } else { TURN })?;
    let (times, roofs) = times.split_at(contestants.len());
    let read = read.map(|_| shape.bytes(Dtype::F32) as f64 / roofs[1].median);
    let row = |(info, times): (&Info, &Times)| Row {
        work: shape.work(),
        peak: Some(peak.work / roofs[0].median),
        read,
        ..Row::new(op, name, info, times)
    };
    Ok(contestants.iter().map(|one| one.info()).zip(times).map(row).collect())
}
