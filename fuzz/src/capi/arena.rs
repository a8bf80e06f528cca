//! The memory of a C program: whatever calls are given points into it, and what they must not write is compared afterwards.

use std::ops::Range;
use std::ptr::null_mut;

use arbitrary::{Result, Unstructured};

use crate::draw::rarely;

/// Bytes that numbers and lists stand in.
const BYTES: usize = 1 << 16;
/// Places start in its first half, so that what is claimed to be there is there: at most [`MOST`] bytes.
pub const MOST: usize = BYTES / 2;
/// At its start, small sizes: lengths of sequences, token ids (of which two are read at once as a size that is none).
const LISTS: usize = 1 << 11;

pub struct Arena {
    /// Words, for their alignment.
    words: Vec<u64>,
    before: Vec<u64>,
}

impl Arena {
    pub fn new() -> Self {
        let small = |i: usize| [2, 3, 0, 1, 5, 4, 2, 7][i % 8] as u64;
        // Two floats of moderate size each; as halves, numbers too, some of them not finite.
        let float = |i: usize| u64::from(((i % 61) as f32 / 16.0 - 2.0).to_bits());
        let word = |i: usize| if i < LISTS / 8 { small(i) } else { float(2 * i) | float(2 * i + 1) << 32 };
        let words: Vec<u64> = (0..BYTES / 8).map(word).collect();
        Self { before: words.clone(), words }
    }

    pub fn base(&mut self) -> *mut u8 {
        self.words.as_mut_ptr().cast()
    }

    /// Where numbers stand: aligned to 4 and not null, but for some.
    pub fn numbers<T>(&mut self, u: &mut Unstructured<'_>) -> Result<*mut T> {
        self.place(u, LISTS..MOST, 4)
    }

    /// Where a list of sizes or ids stands, likewise.
    pub fn list<T>(&mut self, u: &mut Unstructured<'_>) -> Result<*mut T> {
        self.place(u, 0..LISTS / 2, 8)
    }

    fn place<T>(&mut self, u: &mut Unstructured<'_>, within: Range<usize>, align: usize) -> Result<*mut T> {
        if rarely(u, 24)? {
            return Ok(null_mut());
        }
        let at = u.int_in_range(within.start / align..=within.end / align - 1)? * align;
        let off = if rarely(u, 32)? { u.int_in_range(1..=3)? } else { 0 };
        Ok(self.base().wrapping_add(at + off).cast())
    }

    /// Remembers what stands everywhere.
    pub fn remember(&mut self) {
        self.before.copy_from_slice(&self.words);
    }

    /// Nothing has changed since but within these ranges of bytes.
    pub fn check(&mut self, call: &str, written: &[Range<usize>]) {
        if self.words == self.before {
            return;
        }
        for (i, (now, before)) in
            self.words.iter().zip(&self.before).enumerate().filter(|(_, (now, before))| now != before)
        {
            for (byte, (now, before)) in now.to_ne_bytes().iter().zip(before.to_ne_bytes()).enumerate() {
                let at = i * 8 + byte;
                let may = written.iter().any(|range| range.contains(&at));
                assert!(*now == before || may, "{call}: byte {at} has been written, and only {written:?} were to be");
            }
        }
    }

    /// The bytes of rows that are written.
    pub fn rows(&mut self, data: *const f32, rows: usize, cols: usize, stride: usize) -> Vec<Range<usize>> {
        let start = data.addr().wrapping_sub(self.base().addr());
        let stride = if stride == 0 { cols } else { stride };
        (0..if cols == 0 { 0 } else { rows }).map(|i| start + i * stride * 4..start + (i * stride + cols) * 4).collect()
    }
}
