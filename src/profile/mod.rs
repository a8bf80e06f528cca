//! Where the time goes: spans of operations and blocks, in the caller's memory, by the caller's clock.
//!
//! A [`Profiler`] is a clock and a slice of [`Record`]s; an engine that has been given one
//! ([`Engine::with_profiler`](crate::Engine::with_profiler)) writes a record for each operation, for each task of it that runs on
//! a thread, and for the blocks around them. A [`Span`] says what was computed, on what shapes and types, at which level, how many
//! floating-point operations and bytes that takes, and when it began and ended. Without the feature `profile` none of this exists,
//! and no instruction of it is left in the operations.
//!
//! ```
//! use selfattn::profile::{Operation, Profiler, Record};
//! use selfattn::{Engine, MatMut};
//!
//! fn clock() -> u64 {
//!     0 // nanoseconds by `Instant`, cycles by `mcycle` or `DWT::CYCCNT`: any number that rises
//! }
//!
//! static RECORDS: [Record; 8] = [const { Record::EMPTY }; 8];
//!
//! let profiler = Profiler::new(clock, &RECORDS);
//! let engine = Engine::new().with_profiler(&profiler);
//! engine.softmax(MatMut::new(&mut [1.0, 2.0, 3.0], 1, 3)?);
//!
//! let (_, span) = profiler.spans().next().unwrap();
//! assert_eq!((span.operation, &span.shape[..2]), (Operation::Softmax, &[1, 3][..]));
//! assert_eq!((span.flops, span.read, span.written), (15, 12, 12));
//! assert_eq!(profiler.dropped(), 0);
//! # Ok::<(), selfattn::Error>(())
//! ```

#[cfg(feature = "profile")]
mod profiler;
#[cfg(feature = "profile")]
mod record;
#[cfg(feature = "profile")]
mod span;
#[cfg(feature = "tracing")]
mod tracing;
mod work;

#[cfg(feature = "profile")]
pub use profiler::{Clock, Observer, Profiler};
#[cfg(feature = "profile")]
pub(crate) use profiler::{Open, Trace};
#[cfg(feature = "profile")]
pub use record::Record;
#[cfg(feature = "profile")]
pub use span::Span;
#[cfg(feature = "tracing")]
pub use tracing::Tracing;
pub use work::Operation;
pub(crate) use work::{Work, product};
