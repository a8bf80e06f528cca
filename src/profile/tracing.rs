//! Spans handed to the subscribers of the crate `tracing`.

use core::cell::RefCell;
use std::thread_local;
use std::vec::Vec;

use tracing::span::EnteredSpan;

use super::{Observer, Span};

/// An observer that makes of each span one of the crate `tracing`, with the target `selfattn` and the level TRACE; subscribers
/// bring their own clock.
///
/// ```
/// use selfattn::profile::{Profiler, Tracing};
/// use selfattn::{Engine, MatMut};
///
/// // No clock and no records: whoever subscribes has both.
/// let profiler = Profiler::new(|| 0, &[]).observer(&Tracing);
/// Engine::new().with_profiler(&profiler).softmax(MatMut::new(&mut [1.0, 2.0], 1, 2)?);
/// # Ok::<(), selfattn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing;

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<EnteredSpan>> = const { RefCell::new(Vec::new()) };
}

impl Observer for Tracing {
    fn opened(&self, span: &Span) {
        let Span { operation, shape, level, layer, flops, read, written, .. } = *span;
        let [a, b, c] = span.types.map(|dtype| dtype.map(crate::Dtype::name));
        let types = [a, b, c];
        // The name of a callsite is a constant; `otel.name` is what exporters show in its place.
        let entered = tracing::trace_span!(
            target: "selfattn",
            "operation",
            otel.name = operation.name(),
            operation = operation.name(),
            ?shape,
            ?types,
            level = level.name(),
            layer,
            flops,
            read,
            written,
        );
        ENTERED.with_borrow_mut(|spans| spans.push(entered.entered()));
    }

    fn closed(&self, _: &Span) {
        // Dropped after the borrow: a subscriber may run operations of its own.
        let last = ENTERED.with_borrow_mut(Vec::pop);
        drop(last);
    }
}
