//! The clock, the records, and the spans that are open.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::record::Record;
use super::span::Span;
use super::work::Work;
use crate::simd::Level;

/// A number that rises with time. Its unit is the caller's: nanoseconds, cycles, instructions.
pub type Clock = fn() -> u64;

/// Is told of every span as it opens and as it closes, on the thread that it runs on, whether a record is left for it or not.
/// The span that opened last on a thread is the first to close there.
pub trait Observer: Sync {
    /// A span begins: all of it is known but its end.
    fn opened(&self, span: &Span);
    /// It has ended.
    fn closed(&self, span: &Span);
}

/// A clock, and memory for spans. When that is full, further spans are counted and not kept.
pub struct Profiler<'m> {
    clock: Clock,
    records: &'m [Record],
    threads: Option<fn() -> u32>,
    observer: Option<&'m dyn Observer>,
    /// Records that have been taken, and spans that found none.
    taken: AtomicUsize,
    dropped: AtomicUsize,
}

impl<'m> Profiler<'m> {
    /// A profiler of one thread; the records' content is forgotten.
    pub const fn new(clock: Clock, records: &'m [Record]) -> Self {
        let (taken, dropped) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { clock, records, threads: None, observer: None, taken, dropped }
    }

    /// With a number for the thread that calls, which [`Span::thread`] has then.
    #[must_use]
    pub const fn threads(self, number: fn() -> u32) -> Self {
        Self { threads: Some(number), ..self }
    }

    /// With an observer, which is told of each span.
    #[must_use]
    pub const fn observer(self, observer: &'m dyn Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The spans that have ended, each with its index, in the order in which they began; a parent stands before its parts.
    pub fn spans(&self) -> impl Iterator<Item = (usize, Span)> {
        let taken = self.taken.load(Relaxed);
        self.records.iter().take(taken).enumerate().filter_map(|(i, record)| Some((i, record.read()?)))
    }

    /// Spans for which there was no record.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Relaxed)
    }

    /// Forgets all spans. What runs meanwhile may leave a part of its own.
    pub fn clear(&self) {
        self.records.iter().for_each(Record::clear);
        self.taken.store(0, Relaxed);
        self.dropped.store(0, Relaxed);
    }

    /// The index of a record that no one else has.
    fn take(&self) -> Option<usize> {
        // Looked at first, so that the number never wraps.
        if self.taken.load(Relaxed) < self.records.len() {
            let index = add_one(&self.taken);
            if let Some(record) = self.records.get(index) {
                record.clear();
                return Some(index);
            }
        }
        add_one(&self.dropped);
        None
    }
}

/// What was there before.
#[cfg(target_has_atomic = "ptr")]
fn add_one(number: &AtomicUsize) -> usize {
    number.fetch_add(1, Relaxed)
}

/// What was there before. Without an instruction that adds, two threads at the same moment may take one record: it is then a
/// mixture of both, and nothing else is harmed.
#[cfg(not(target_has_atomic = "ptr"))]
fn add_one(number: &AtomicUsize) -> usize {
    let before = number.load(Relaxed);
    number.store(before.wrapping_add(1), Relaxed);
    before
}

impl fmt::Debug for Profiler<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, records) = (self.taken.load(Relaxed).min(self.records.len()), self.records.len());
        f.debug_struct("Profiler").field("taken", &taken).field("records", &records).finish_non_exhaustive()
    }
}

/// What an engine carries: the profiler, if it has one, and what the next span is a part of.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trace<'p> {
    pub profiler: Option<&'p Profiler<'p>>,
    parent: Option<usize>,
    layer: Option<usize>,
}

impl<'p> Trace<'p> {
    pub fn new(profiler: &'p Profiler<'p>) -> Self {
        Self { profiler: Some(profiler), parent: None, layer: None }
    }

    /// Opens a span, if there is a profiler: the span, and the trace of what is a part of it.
    pub fn open(&self, level: Level, work: impl FnOnce() -> Work) -> Option<(Open<'p>, Self)> {
        let profiler = self.profiler?;
        let (work, index) = (work(), profiler.take());
        let mut span = Span::new(&work, level);
        span.layer = work.layer.or(self.layer);
        span.parent = self.parent;
        span.thread = profiler.threads.map_or(0, |number| number());
        // Last, so that none of this is in it.
        span.start = (profiler.clock)();
        span.end = span.start;
        if let Some(observer) = profiler.observer {
            observer.opened(&span);
        }
        let within = Self { parent: index, layer: span.layer, ..*self };
        Some((Open { profiler, index, span }, within))
    }
}

/// A span that has begun; it ends when this is dropped.
pub(crate) struct Open<'p> {
    profiler: &'p Profiler<'p>,
    index: Option<usize>,
    span: Span,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.span.end = (self.profiler.clock)();
        if let Some(record) = self.index.and_then(|index| self.profiler.records.get(index)) {
            record.write(&self.span);
        }
        if let Some(observer) = self.profiler.observer {
            observer.closed(&self.span);
        }
    }
}
