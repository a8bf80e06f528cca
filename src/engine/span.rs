//! The spans of what an engine runs (feature `profile`). Without it, an engine stands for its own span, and nothing is left.

use super::Engine;
use crate::profile::Work;
#[cfg(feature = "profile")]
use crate::profile::{Open, Profiler, Trace};

#[cfg(feature = "profile")]
impl<'p> Engine<'p> {
    /// The same level and pool, every operation with a span in the profiler's records.
    #[must_use]
    pub fn with_profiler<'q>(self, profiler: &'q Profiler<'q>) -> Engine<'q>
    where
        'p: 'q,
    {
        Engine { trace: Trace::new(profiler), ..self }
    }

    /// A span, if there is a profiler, until the result is dropped.
    #[inline]
    pub(crate) fn span(&self, work: impl FnOnce() -> Work) -> Spanned<'p> {
        match self.trace.open(self.level, work) {
            Some((open, trace)) => Spanned { engine: Self { trace, ..*self }, open: Some(open) },
            None => Spanned { engine: *self, open: None },
        }
    }
}

/// An engine in a span.
#[cfg(feature = "profile")]
pub(crate) struct Spanned<'p> {
    engine: Engine<'p>,
    /// Dropped with this, which ends it.
    #[expect(dead_code, reason = "what counts is when it is dropped")]
    open: Option<Open<'p>>,
}

#[cfg(feature = "profile")]
impl<'p> Spanned<'p> {
    /// The engine for what is a part of the span.
    #[inline]
    pub fn engine(&self) -> &Engine<'p> {
        &self.engine
    }
}

#[cfg(not(feature = "profile"))]
impl<'p> Engine<'p> {
    #[inline(always)]
    pub(crate) fn span(&self, _: impl FnOnce() -> Work) -> &Self {
        self
    }

    #[inline(always)]
    pub(crate) fn engine(&self) -> &Self {
        self
    }
}
