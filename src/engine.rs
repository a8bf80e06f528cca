//! What a computation runs on: a SIMD level and a way to run tasks side by side.

use core::ops::Range;

use crate::simd::Level;

mod span;

#[cfg(feature = "profile")]
pub(crate) use span::Spanned;

/// A way to run independent tasks, one after the other or side by side.
///
/// # Safety
/// [`run`](Self::run) must call `task` exactly once with each index below `tasks`, and return only when all calls have
/// returned: the tasks write to disjoint memory that belongs to the caller. [`threads`](Self::threads) must not change while an
/// operation runs: the caller's scratch has a part for each.
pub unsafe trait Pool: Sync {
    /// How many tasks can run at the same time, at least 1.
    fn threads(&self) -> usize;
    /// Runs `task(0)`, ..., `task(tasks - 1)`, in any order.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// The pool of one thread: the caller's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

// SAFETY: a plain loop over the indices.
unsafe impl Pool for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// Threads by rayon: workers of its own and the thread that calls.
#[cfg(feature = "rayon")]
#[derive(Debug)]
pub struct RayonPool {
    workers: rayon::ThreadPool,
    threads: usize,
}

#[cfg(feature = "rayon")]
impl RayonPool {
    /// A pool of `threads` threads, the caller's among them; 0 means one for each core.
    ///
    /// # Errors
    /// What the operating system answers when it gives no threads.
    pub fn new(threads: usize) -> core::result::Result<Self, rayon::ThreadPoolBuildError> {
        let cores = || std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
        let threads = if threads == 0 { cores() } else { threads };
        // rayon takes 0 for "one for each core"; a single thread never calls its worker.
        let workers = rayon::ThreadPoolBuilder::new().num_threads(threads.saturating_sub(1).max(1)).build()?;
        Ok(Self { workers, threads })
    }
}

// SAFETY: index 0 and one spawned task for each other index; the scope returns when all are done.
#[cfg(feature = "rayon")]
unsafe impl Pool for RayonPool {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        // The caller takes its part: waking one more thread costs more than many a task.
        self.workers.in_place_scope(|scope| {
            for i in 1..tasks {
                scope.spawn(move |_| task(i));
            }
            if tasks > 0 {
                task(0);
            }
        });
    }
}

/// A SIMD level and a pool: what every operation is a method of. Results do not depend on the pool.
///
/// ```
/// use selfattn::{Engine, Level};
///
/// let engine = Engine::new(); // the best level of this CPU, one thread
/// let portable = engine.with_level(Level::SCALAR);
/// assert_eq!(portable.level().name(), "scalar");
/// ```
#[derive(Clone, Copy)]
pub struct Engine<'p> {
    level: Level,
    pool: &'p dyn Pool,
    #[cfg(feature = "profile")]
    trace: crate::profile::Trace<'p>,
}

impl Engine<'static> {
    /// The current level ([`Level::current`]) and one thread.
    pub fn new() -> Self {
        Self::of_task(Level::current())
    }

    /// That level and one thread: for what a task does by itself.
    pub(crate) fn of_task(level: Level) -> Self {
        Self {
            level,
            pool: &Serial,
            #[cfg(feature = "profile")]
            trace: crate::profile::Trace::default(),
        }
    }
}

impl Default for Engine<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'p> Engine<'p> {
    /// The same pool at another level.
    #[must_use]
    pub fn with_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// The same level on another pool.
    #[must_use]
    pub fn with_pool<'q>(self, pool: &'q dyn Pool) -> Engine<'q>
    where
        'p: 'q,
    {
        Engine { pool, ..self }
    }

    /// The SIMD level in use.
    pub fn level(&self) -> Level {
        self.level
    }

    /// How many tasks can run at the same time.
    pub fn threads(&self) -> usize {
        self.pool.threads().max(1)
    }

    /// Splits `0..items` into at most one contiguous part a thread, none smaller than `grain`, and runs `task(part, items)`
    /// for each.
    pub(crate) fn split(&self, items: usize, grain: usize, task: impl Fn(usize, Range<usize>) + Sync) {
        let parts = self.threads().min(div_ceil(items, grain)).max(1);
        if parts == 1 {
            return task(0, 0..items);
        }
        #[cfg(feature = "profile")]
        let task = |part, range: Range<usize>| {
            let _span = self.span(|| crate::profile::Work::task(&range, items));
            task(part, range);
        };
        self.pool.run(parts, &|part| task(part, part_of(items, part, parts)));
    }
}

impl core::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine").field("level", &self.level).field("threads", &self.threads()).finish()
    }
}

/// Quotient and rest; zeros by 0. Not the operators: a division by what the compiler does not know to be positive links the
/// panic, and firmware is to have none.
#[inline(always)]
pub(crate) const fn div_rem(x: usize, by: usize) -> (usize, usize) {
    match (x.checked_div(by), x.checked_rem(by)) {
        (Some(quotient), Some(rest)) => (quotient, rest),
        _ => (0, 0),
    }
}

/// The quotient rounded up; 0 by 0.
#[inline(always)]
pub(crate) const fn div_ceil(x: usize, by: usize) -> usize {
    let (quotient, rest) = div_rem(x, by);
    // Where there is a rest, the quotient is at most half of `usize::MAX`.
    quotient.wrapping_add((rest > 0) as usize)
}

/// The `part`-th of `parts` contiguous pieces of `0..items`, whose lengths differ by at most one.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "no index is above `items`; to saturate takes 126 bytes of firmware a caller"
)]
pub(crate) fn part_of(items: usize, part: usize, parts: usize) -> Range<usize> {
    let (base, longer) = div_rem(items, parts);
    let start = part * base + part.min(longer);
    start..start + base + usize::from(part < longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_every_item_once() {
        for items in 0..40 {
            for parts in 1..9 {
                let mut next = 0;
                for part in 0..parts {
                    let range = part_of(items, part, parts);
                    assert_eq!(range.start, next);
                    next = range.end;
                }
                assert_eq!(next, items);
            }
        }
    }
}
