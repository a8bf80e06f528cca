//! Blocks of a product of bf16 by bf16 where the CPU multiplies whole tiles.
//!
//! A is read in place, sixteen rows at a time, B from panels of pairs. As many steps as a tile has are summed up together, counted
//! from the block's first; what is left of them at the end takes tiles of another shape.

use core::ptr::copy_nonoverlapping;

use half::bf16;

use super::Strided;
use super::block::Block;
use super::output::Output;
use super::tile::Dot;
use crate::simd::{Level, Rows, TileOp, TileShape, Tiles};

/// Steps that a tile sums up together. Blocks of a product begin at multiples of it, or an element's bits would depend on them.
pub(crate) const STEPS: usize = 32;
/// The most rows of a tile, the columns of a register of sums, and the most registers.
const ROWS: usize = 16;
const COLUMNS: usize = 16;
const REGISTERS: usize = 3;

impl TileOp for Block<Dot> {
    type Out = ();
    #[inline(always)]
    fn run<T: Tiles>(self, t: T) {
        const { assert!(T::ROWS <= ROWS && T::STEPS == STEPS) }
        for j in 0..self.panels {
            // SAFETY: see the type.
            unsafe { self.panel(t, j) }
        }
    }
}

/// The block, at a level that has tiles. Not inlined: nothing of it is in registers before or after.
#[inline(never)]
pub(crate) fn multiply(level: Level, block: Block<Dot>) {
    let run = level.dispatch_tiles(block);
    debug_assert!(run.is_some(), "chosen only where the level has tiles");
}

/// To be called when a task is done that may have multiplied tiles.
pub(crate) fn end(level: Level) {
    struct End;

    impl TileOp for End {
        type Out = ();
        #[inline(always)]
        fn run<T: Tiles>(self, t: T) {
            t.end();
        }
    }

    level.dispatch_tiles(End);
}

impl Block<Dot> {
    #[inline(always)]
    unsafe fn panel<T: Tiles>(&self, t: T, j: usize) {
        let width = self.registers * COLUMNS;
        let whole = self.steps - self.steps % T::STEPS;
        let first = Steps {
            a: self.a,
            b: Rows { ptr: self.b.ptr.wrapping_add(j * self.b.panel), stride: 2 * self.b.step * size_of::<bf16>() },
            c: self.c.at(0, j * width),
            size: [self.size[0], (self.size[1] - j * width).min(width)],
            steps: whole,
            registers: self.registers,
            add: self.add,
        };
        let last = Steps {
            a: self.a.at(0, whole),
            b: Rows { ptr: first.b.ptr.wrapping_add(whole * self.b.step), ..first.b },
            steps: self.steps - whole,
            add: self.add || whole > 0,
            ..first
        };
        // SAFETY: see the type.
        unsafe {
            if whole > 0 {
                first.run(t);
            }
            if last.steps > 0 {
                last.run(t);
            }
            if self.steps == 0 && !self.add {
                first.clear();
            }
        }
    }
}

/// Whole groups of steps of a panel, or less than one.
#[derive(Clone, Copy)]
struct Steps {
    a: Strided<bf16>,
    b: Rows<*const bf16>,
    c: Output,
    /// Rows, and columns that exist.
    size: [usize; 2],
    steps: usize,
    registers: usize,
    add: bool,
}

impl Steps {
    /// All rows, as many at a time as a tile has.
    #[inline(never)]
    unsafe fn run<T: Tiles>(&self, t: T) {
        let [all, columns] = self.size;
        let pairs = self.steps.min(T::STEPS).div_ceil(2);
        let mut i = 0;
        while i < all {
            let rows = (all - i).min(T::ROWS);
            if i == 0 || rows < T::ROWS {
                t.begin(TileShape { rows, pairs });
            }
            // SAFETY: the rows exist.
            unsafe {
                if columns == self.registers * COLUMNS {
                    self.tile(t, [i, rows], self.c.at(i, 0).rows());
                } else {
                    self.narrow_tile(t, [i, rows]);
                }
            }
            i += rows;
        }
    }

    /// `rows` rows from row `i` on, by way of sums as wide as the registers.
    #[inline(always)]
    unsafe fn narrow_tile<T: Tiles>(&self, t: T, [i, rows]: [usize; 2]) {
        let mut sums = [[0.0_f32; REGISTERS * COLUMNS]; ROWS];
        let ((c, stride), columns) = (self.c.at(i, 0).rows(), self.size[1]);
        // SAFETY: the rows have that many columns.
        unsafe {
            if self.add {
                for (i, sums) in sums.iter_mut().enumerate().take(rows) {
                    copy_nonoverlapping(c.wrapping_add(i * stride), sums.as_mut_ptr(), columns);
                }
            }
            self.tile(t, [i, rows], (sums.as_mut_ptr().cast(), REGISTERS * COLUMNS));
            for (i, sums) in sums.iter().enumerate().take(rows) {
                copy_nonoverlapping(sums.as_ptr(), c.wrapping_add(i * stride), columns);
            }
        }
    }

    /// As that, to rows that are as wide.
    #[inline(never)]
    unsafe fn tile<T: Tiles>(&self, t: T, [i, rows]: [usize; 2], (c, stride): (*mut f32, usize)) {
        let c = Rows { ptr: c, stride: stride * size_of::<f32>() };
        let a = self.a.at(i, 0);
        // SAFETY: the rows exist, and lines of B for the steps.
        unsafe {
            if self.steps >= T::STEPS {
                let a = Rows { ptr: a.ptr, stride: a.row * size_of::<bf16>() };
                return t.multiply([self.steps / T::STEPS, self.registers], a, self.b, c, self.add);
            }
            // Copied: of a last pair that is half empty, A has no second half to be read.
            let mut last = [[bf16::ZERO; STEPS]; ROWS];
            for (i, last) in last.iter_mut().enumerate().take(rows) {
                copy_nonoverlapping(a.at(i, 0).ptr, last.as_mut_ptr(), self.steps);
            }
            let a = Rows { ptr: last.as_ptr().cast(), stride: size_of_val(&last[0]) };
            t.multiply([1, self.registers], a, self.b, c, self.add);
        }
    }

    /// Sums of no steps.
    unsafe fn clear(&self) {
        for i in 0..self.size[0] {
            // SAFETY: the row has that many columns.
            unsafe { self.c.at(i, 0).rows().0.write_bytes(0, self.size[1]) }
        }
    }
}
