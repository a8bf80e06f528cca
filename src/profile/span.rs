//! A span as it is read.

use super::Operation;
use super::work::Work;
use crate::element::Dtype;
use crate::simd::Level;

/// An operation or a block of them: what, on what, and from when to when.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// What was computed.
    pub operation: Operation,
    /// The sizes that [`Operation`] names, in its order; 0 where there are fewer.
    pub shape: [usize; 4],
    /// Storage types of the inputs: those of both sides of a product, of queries, keys and values, of a table. Results are f32.
    pub types: [Option<Dtype>; 3],
    /// The level it ran at.
    pub level: Level,
    /// The layer of the encoder, from 0.
    pub layer: Option<usize>,
    /// What [`Profiler::threads`](super::Profiler::threads) said of the thread; else 0.
    pub thread: u32,
    /// The index of the span that this one is a part of; `None` as well if that did not fit.
    pub parent: Option<usize>,
    /// Floating-point operations, a multiply-add counted as two; 0 for blocks and tasks, whose parts or parents have them.
    pub flops: u64,
    /// Bytes of the operands.
    pub read: u64,
    /// Bytes of the result.
    pub written: u64,
    /// What the clock said before.
    pub start: u64,
    /// What the clock said afterwards.
    pub end: u64,
}

impl Span {
    /// Of no time and no place yet.
    pub(super) fn new(work: &Work, level: Level) -> Self {
        let Work { operation, shape, types, layer, flops, read, written } = *work;
        Self { operation, shape, types, level, layer, thread: 0, parent: None, flops, read, written, start: 0, end: 0 }
    }

    /// Ticks of the clock, which may have passed its largest number on the way.
    pub fn ticks(&self) -> u64 {
        self.end.wrapping_sub(self.start)
    }
}
