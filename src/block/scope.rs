//! Spans of blocks: what layers do within one is a part of it (feature `profile`).

use crate::block::linear::Workspace;
use crate::profile::Work;

#[cfg(feature = "profile")]
mod on {
    use core::ops::{Deref, DerefMut};

    use super::{Work, Workspace};
    use crate::engine::{Engine, Spanned};

    /// A workspace whose engine is within a span, until this is dropped.
    pub(crate) struct Scope<'w, 'a> {
        work: &'w mut Workspace<'a>,
        outer: Engine<'a>,
        /// Dropped with this, which ends it.
        _span: Spanned<'a>,
    }

    impl<'a> Workspace<'a> {
        pub fn scope(&mut self, work: impl FnOnce() -> Work) -> Scope<'_, 'a> {
            let (outer, span) = (self.engine, self.engine.span(work));
            self.engine = *span.engine();
            Scope { work: self, outer, _span: span }
        }
    }

    impl<'a> Deref for Scope<'_, 'a> {
        type Target = Workspace<'a>;

        fn deref(&self) -> &Workspace<'a> {
            self.work
        }
    }

    impl DerefMut for Scope<'_, '_> {
        fn deref_mut(&mut self) -> &mut Self::Target {
            self.work
        }
    }

    impl Drop for Scope<'_, '_> {
        fn drop(&mut self) {
            self.work.engine = self.outer;
        }
    }
}

#[cfg(not(feature = "profile"))]
impl Workspace<'_> {
    #[inline(always)]
    pub fn scope(&mut self, _: impl FnOnce() -> Work) -> &mut Self {
        self
    }
}
