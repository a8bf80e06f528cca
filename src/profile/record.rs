//! A span in memory: words that threads write without locks.

use core::sync::atomic::{AtomicU32, Ordering};

use super::span::Span;
use super::work::Operation;
use crate::element::Dtype;
use crate::simd::Level;

const WORDS: usize = 18;
/// Stands for no layer, no parent and no type.
const NONE: u32 = u32::MAX;

/// Memory for one [`Span`]: 72 bytes.
///
/// Its words are atomic, and each record is written by one thread, so that a `static` needs no lock and no `unsafe`:
///
/// ```
/// use selfattn::profile::Record;
///
/// static RECORDS: [Record; 128] = [const { Record::EMPTY }; 128];
/// ```
#[derive(Debug)]
pub struct Record([AtomicU32; WORDS]);

impl Record {
    /// A record of nothing.
    #[expect(clippy::declare_interior_mutable_const, reason = "each use is a record of its own")]
    pub const EMPTY: Self = Self([const { AtomicU32::new(0) }; WORDS]);

    /// Forgets the span.
    pub(super) fn clear(&self) {
        self.0[0].store(0, Ordering::Release);
    }

    pub(super) fn write(&self, span: &Span) {
        let [flops, read, written, start, end] =
            [span.flops, span.read, span.written, span.start, span.end].map(|x| [x as u32, (x >> 32) as u32]);
        let words = [
            span.layer.map_or(NONE, short),
            span.thread,
            span.parent.map_or(NONE, short),
            short(span.shape[0]),
            short(span.shape[1]),
            short(span.shape[2]),
            short(span.shape[3]),
            flops[0],
            flops[1],
            read[0],
            read[1],
            written[0],
            written[1],
            start[0],
            start[1],
            end[0],
            end[1],
        ];
        let [head, rest @ ..] = &self.0;
        for (word, value) in rest.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        // Last, so that who sees it sees the rest.
        head.store(head_of(span), Ordering::Release);
    }

    /// The span, if there is one and it has ended.
    pub(super) fn read(&self) -> Option<Span> {
        let [head, rest @ ..] = &self.0;
        let [kind, level, types] = parts(head.load(Ordering::Acquire));
        let operation = *Operation::ALL.get((kind as usize).checked_sub(1)?)?;
        let words = rest.each_ref().map(|word| word.load(Ordering::Relaxed));
        let [layer, thread, parent, m, k, n, d, numbers @ ..] = words;
        let index = |x: u32| (x != NONE).then_some(x as usize);
        let long = |i: usize| {
            let words = numbers.as_chunks().0.get(i);
            words.map_or(0, |&[low, high]| u64::from(high) << 32 | u64::from(low))
        };
        Some(Span {
            operation,
            shape: [m, k, n, d].map(|x| x as usize),
            types: [types & 3, types >> 2 & 3, types >> 4 & 3].map(dtype),
            level: Level::from_code(level as u8)?,
            layer: index(layer),
            thread,
            parent: index(parent),
            flops: long(0),
            read: long(1),
            written: long(2),
            start: long(3),
            end: long(4),
        })
    }
}

/// A size, or the largest.
fn short(x: usize) -> u32 {
    u32::try_from(x).unwrap_or(NONE)
}

/// Operation, level and types in a word that is not 0.
fn head_of(span: &Span) -> u32 {
    let [a, b, c] = span.types.map(code);
    (span.operation as u32).saturating_add(1) | u32::from(span.level.code()) << 8 | (a | b << 2 | c << 4) << 16
}

fn parts(head: u32) -> [u32; 3] {
    [head & 0xff, head >> 8 & 0xff, head >> 16]
}

fn code(dtype: Option<Dtype>) -> u32 {
    match dtype {
        None => 0,
        Some(Dtype::F32) => 1,
        Some(Dtype::F16) => 2,
        Some(Dtype::Bf16) => 3,
    }
}

fn dtype(code: u32) -> Option<Dtype> {
    match code {
        1 => Some(Dtype::F32),
        2 => Some(Dtype::F16),
        3 => Some(Dtype::Bf16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let record = Record::EMPTY;
        assert_eq!(record.read(), None);
        for (i, &operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(operation as usize, i);
            for (layer, parent) in [(None, None), (Some(0), Some(0)), (Some(11), Some(4_000_000))] {
                let span = Span {
                    operation,
                    shape: [1, 2, 3, 0xffff_fffe],
                    types: [Some(Dtype::Bf16), None, Some(Dtype::F16)],
                    level: Level::detect(),
                    layer,
                    thread: 7,
                    parent,
                    flops: u64::MAX - 1,
                    read: 1 << 40,
                    written: 3,
                    start: 0x1234_5678_9abc_def0,
                    end: u64::MAX,
                };
                record.write(&span);
                assert_eq!(record.read(), Some(span));
            }
        }
        record.clear();
        assert_eq!(record.read(), None);
    }
}
