//! How the columns of B divide into panels: as wide as the tile, and some a register narrower where that wastes less.

use core::ops::Range;

use crate::element::{Dtype, Element};
use crate::engine::{div_ceil, part_of};
use crate::simd::Level;

/// The columns of B, rounded up to whole registers and divided evenly among as few panels as can hold them: 64 columns are
/// two panels of 32 where the tile is 48 wide.
#[derive(Clone, Copy)]
pub(crate) struct Panels {
    n: usize,
    lanes: usize,
    registers: usize,
    count: usize,
}

impl Panels {
    /// Of `n` columns.
    pub fn new(level: Level, n: usize) -> Self {
        let lanes = level.lanes();
        let registers = div_ceil(n, lanes);
        Self { n, lanes, registers, count: div_ceil(registers, div_ceil(level.tile().1, lanes)) }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The columns of panel `j`: the last panel may have some past the end.
    pub fn columns(&self, j: usize) -> Range<usize> {
        let registers = part_of(self.registers, j, self.count);
        registers.start * self.lanes..registers.end * self.lanes
    }

    /// Columns of panel `j` that exist.
    pub fn existing(&self, j: usize) -> usize {
        let columns = self.columns(j);
        columns.end.min(self.n) - columns.start
    }
}

/// Lines of a panel that stand interleaved, element by element: bf16 in pairs, where the level multiplies pairs.
pub(crate) fn interleaved<E: Element>(level: Level) -> usize {
    if E::DTYPE == Dtype::Bf16 && level.has_bf16_dot() { 2 } else { 1 }
}

/// Lines of a panel of `k` steps, a last pair filled up; `None` on overflow.
pub(crate) fn lines<E: Element>(level: Level, k: usize) -> Option<usize> {
    k.checked_next_multiple_of(interleaved::<E>(level))
}

/// Elements of `k x n` weights in panels; `None` on overflow.
pub(crate) fn packed_len<E: Element>(level: Level, n: usize, k: usize) -> Option<usize> {
    n.checked_next_multiple_of(level.lanes())?.checked_mul(lines::<E>(level, k)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_every_column_once() {
        for level in Level::available() {
            let (lanes, width) = (level.lanes(), level.tile().1);
            for n in 0..5 * width {
                let panels = Panels::new(level, n);
                let mut next = 0;
                for j in 0..panels.count() {
                    let columns = panels.columns(j);
                    assert_eq!(columns.start, next);
                    assert!((lanes..=width).contains(&columns.len()), "{level} {n}: {columns:?}");
                    assert_eq!(panels.existing(j), columns.end.min(n) - columns.start);
                    next = columns.end;
                }
                assert_eq!(next, n.next_multiple_of(lanes));
                assert_eq!(panels.count(), n.div_ceil(width));
            }
        }
    }
}
