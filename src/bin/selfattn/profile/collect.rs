//! The measurement: the same text again and again, with spans and without, in turns.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use selfattn::Engine;
use selfattn::block::{Batch, Encoder, Runner};
use selfattn::profile::{Profiler, Record, Span};

use crate::error::Result;

/// Repetitions at least, however long one takes, and at most: the sums are exact with fewer.
const LEAST: usize = 5;
const MOST: usize = 20_000;
/// Share of the time spent on warming up.
const WARM_UP: f64 = 0.2;

/// What was measured; times are nanoseconds.
pub struct Profile {
    /// Forward passes with spans, and how long each took.
    pub with: Vec<f64>,
    /// As many without, each before one with.
    pub without: Vec<f64>,
    /// The spans of one pass, their times summed over all passes: each pass has the same operations in the same order, but for tasks.
    pub sums: Vec<(Span, u64)>,
    /// The spans of the last pass, tasks too.
    pub last: Vec<Span>,
}

/// Nanoseconds since the first call.
fn nanoseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // 584 years fit.
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// A number for this thread, from 0 in the order in which threads ask.
fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static MINE: Cell<Option<u32>> = const { Cell::new(None) });
    MINE.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        MINE.set(Some(number));
        number
    })
}

pub fn collect(engine: Engine<'_>, encoder: &Encoder<'_, '_>, batch: &Batch<'_>, seconds: f64) -> Result<Profile> {
    // The caller's thread is number 0.
    thread_number();
    let records: Vec<Record> = (0..spans_of(engine, encoder, batch)?).map(|_| Record::EMPTY).collect();
    let profiler = Profiler::new(nanoseconds, &records).threads(thread_number);
    let mut plain = Runner::new(engine, encoder);
    let mut profiled = Runner::new(engine.with_profiler(&profiler), encoder);
    let mut profile = Profile { with: Vec::new(), without: Vec::new(), sums: Vec::new(), last: Vec::new() };
    let warm = Instant::now() + Duration::from_secs_f64(seconds * WARM_UP);
    loop {
        time(&mut plain, batch)?;
        if Instant::now() >= warm {
            break;
        }
    }
    let end = Instant::now() + Duration::from_secs_f64(seconds * (1.0 - WARM_UP));
    while profile.with.len() < LEAST || (Instant::now() < end && profile.with.len() < MOST) {
        profile.without.push(time(&mut plain, batch)?);
        profiler.clear();
        profile.with.push(time(&mut profiled, batch)?);
        let spans = || profiler.spans().map(|(_, span)| span);
        if profile.sums.is_empty() {
            profile.sums = spans().map(|span| (span, 0)).collect();
        }
        profile.sums.iter_mut().zip(spans()).for_each(|((_, sum), span)| *sum += span.ticks());
    }
    profile.last = profiler.spans().map(|(_, span)| span).collect();
    Ok(profile)
}

/// How many spans a forward pass has: a profiler without records counts them.
fn spans_of(engine: Engine<'_>, encoder: &Encoder<'_, '_>, batch: &Batch<'_>) -> Result<usize> {
    let profiler = Profiler::new(nanoseconds, &[]);
    Runner::new(engine.with_profiler(&profiler), encoder).embed(batch)?;
    Ok(profiler.dropped())
}

fn time(runner: &mut Runner<'_, '_, '_>, batch: &Batch<'_>) -> Result<f64> {
    let start = nanoseconds();
    std::hint::black_box(runner.embed(batch)?);
    Ok((nanoseconds() - start) as f64)
}
