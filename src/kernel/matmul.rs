//! Matrix product with an epilogue: `C = act(A B + bias) + residual`, B in panels as wide as the tile.
//!
//! The loops are those of Goto & van de Geijn (2008):
//!
//! ```text
//! for each chunk of panels               plain weights: as many as are packed at a time; packed ones: all
//!   for each block of KC steps of k      a panel's block stays close while all rows pass over it
//!     for each block of MC rows          A's block stays in the second-level cache
//!       for each panel                   (the unit of work for threads)
//!         for each tile of MR rows       accumulators in registers
//! ```
//!
//! A is read in place, unless it has to be widened. A later block of `k` goes on from what the earlier ones left in C, so
//! however the loops are blocked, an element is one chain of multiply-adds in the order of `k`: its bits depend on its row
//! of A and its column of B, and on nothing else.

use core::ops::Range;

use crate::element::{Dtype, Load};
use crate::engine::Engine;
use crate::kernel::map::Widen;
use crate::kernel::output::{Epilogue, Output};
use crate::kernel::pack::{PackPanel, strided};
use crate::kernel::panels::{Panels, lines};
use crate::kernel::rhs::{Packed, Plain, Rhs};
use crate::kernel::tile::{Ahead, MultiplyAdd, Terms, tile, with_registers, with_rows};
use crate::kernel::{Shared, Strided};
use crate::simd::{Level, Op, Simd};
use crate::view::{MatMut, Matrix, for_each_type};

/// Steps of `k` between two visits to C. The visits are what costs: C comes from memory, while a panel and the rows of A that
/// no longer fit the caches stream from the next level without a stall.
const KC: usize = 2048;
/// Rows of A per pass over a panel, a multiple of every tile's rows.
const MC: usize = 144;
/// Steps of `k` of a panel of plain weights that one block of rows passes over: 96 KiB at 48 columns.
const KC_PLAIN: usize = 512;
/// Columns of plain weights packed at a time, where several blocks of rows pass over them.
const NC: usize = 192;

/// Panels a task takes at least: less work than this costs more to hand out than to do.
const GRAIN: usize = 2;

/// Rows, steps and columns of a product.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

/// Floats of memory for one task: widened rows of A, and panels of plain weights; `None` on overflow.
pub(crate) fn memory_lens(level: Level, size: Size, a: Dtype, plain: bool) -> Option<[usize; 2]> {
    let [panels, kc] = if plain { chunk(level, size.m) } else { [0, KC] };
    let steps = size.k.min(kc);
    let widened = if a == Dtype::F32 { 0 } else { size.m.min(MC).checked_mul(steps)? };
    let packed = size.n.min(panels * level.tile().1).next_multiple_of(level.lanes()).checked_mul(steps)?;
    Some([widened, packed])
}

/// Panels of plain weights that are packed at a time, and steps of `k`: what one block of rows passes over once is used at
/// once, else it should serve all blocks of rows.
fn chunk(level: Level, m: usize) -> [usize; 2] {
    if m > MC { [NC.div_ceil(level.tile().1), KC] } else { [1, KC_PLAIN] }
}

/// `out = act(a b + bias) + residual`, panels split among the engine's threads. Each of `memory` is as long as
/// [`memory_lens`] says, times the threads. Arguments that do not fit each other are a mistake of the caller in this crate:
/// nothing is done.
pub(crate) fn matmul(
    engine: &Engine<'_>,
    a: Matrix<'_>,
    b: Rhs<'_>,
    epilogue: &Epilogue<'_>,
    mut out: MatMut<'_>,
    memory: [&mut [f32]; 2],
) {
    let size = Size { m: a.rows(), k: a.cols(), n: out.cols() };
    let level = engine.level();
    let plain = matches!(b, Rhs::Plain(_));
    let lens = memory_lens(level, size, a.dtype(), plain).unwrap_or([usize::MAX; 2]);
    let fits = out.rows() == size.m
        && epilogue.fits(size.m, size.n)
        && memory.iter().zip(lens).all(|(part, len)| len.checked_mul(engine.threads()) == Some(part.len()))
        && match &b {
            Rhs::Packed(packed) => packed.fits(level, size.n, size.k),
            Rhs::Plain(plain) => (plain.n(), plain.k()) == (size.n, size.k),
        };
    debug_assert!(fits, "ops check the sizes");
    if !fits || size.m == 0 || size.n == 0 {
        return;
    }
    let panels = Panels::new(level, size.n);
    let shared = Shared((Output::new(epilogue, &mut out), memory.map(|part| part.as_mut_ptr())));
    engine.split(panels.count(), GRAIN, |task, part| {
        let (c, [rows, lines]) = shared.get();
        // SAFETY: each part of the memory holds its length for each thread, and `task` is below their number.
        let memory = unsafe { Memory { rows: rows.add(task * lens[0]), lines: lines.add(task * lens[1]) } };
        // No other task writes the columns of these panels.
        Task { level, size, a, b, c, panels, memory }.run(part);
    });
}

/// What one task copies into: blocks of A, and lines of plain weights.
#[derive(Clone, Copy)]
struct Memory {
    rows: *mut f32,
    lines: *mut f32,
}

/// A product whose sizes fit each other, and one task's memory.
struct Task<'a> {
    level: Level,
    size: Size,
    a: Matrix<'a>,
    b: Rhs<'a>,
    c: Output,
    panels: Panels,
    memory: Memory,
}

impl Task<'_> {
    /// Computes the columns of some panels.
    fn run(&self, panels: Range<usize>) {
        let Size { m, k, .. } = self.size;
        let [at_a_time, kc] = match self.b {
            Rhs::Plain(_) => chunk(self.level, m),
            Rhs::Packed(_) => [panels.len(), KC],
        };
        for first in panels.clone().step_by(at_a_time.max(1)) {
            let chunk = first..panels.end.min(first + at_a_time);
            for p in (0..k.max(1)).step_by(kc) {
                let steps = p..k.min(p + kc);
                if let Rhs::Plain(plain) = &self.b {
                    self.pack(plain, &chunk, &steps);
                }
                for i in (0..m).step_by(MC) {
                    let rows = i..m.min(i + MC);
                    let a = self.rows(&rows, &steps);
                    for panel in chunk.clone() {
                        self.block(a, &rows, &steps, panel, &chunk);
                    }
                }
            }
        }
    }

    /// Packs steps of a chunk of plain weights, panel after panel.
    fn pack(&self, plain: &Plain<'_>, chunk: &Range<usize>, steps: &Range<usize>) {
        let origin = self.panels.columns(chunk.start).start;
        for panel in chunk.clone() {
            let columns = self.panels.columns(panel);
            let (existing, lines, width) = (self.panels.existing(panel), steps.len(), columns.len());
            let dst = self.memory.lines.wrapping_add((columns.start - origin) * lines);
            for_each_type!(plain.matrix(), view => {
                let src = strided(view, plain.order()).at(columns.start, steps.start);
                self.level.dispatch(PackPanel { src, columns: existing, lines, width, dst });
            });
        }
    }

    /// A block of A as f32.
    fn rows(&self, rows: &Range<usize>, steps: &Range<usize>) -> Strided {
        let stride = steps.len();
        match &self.a {
            Matrix::F32(view) => Strided::from_rows(view).at(rows.start, steps.start),
            a => {
                for (i, row) in rows.clone().enumerate() {
                    // SAFETY: the memory has room for MC rows of this stride.
                    let out = unsafe { core::slice::from_raw_parts_mut(self.memory.rows.add(i * stride), steps.len()) };
                    for_each_type!(a, view => {
                        let row = view.row(row).get(steps.clone()).unwrap_or_default();
                        self.level.dispatch(Widen { row, add: false, out });
                    });
                }
                Strided { ptr: self.memory.rows, row: stride, col: 1 }
            }
        }
    }

    /// Rows `rows` of C over the columns of one panel: `steps` more terms of the sum.
    fn block(&self, a: Strided, rows: &Range<usize>, steps: &Range<usize>, panel: usize, chunk: &Range<usize>) {
        let spread = [rows.len().div_ceil(self.level.tile().0), steps.len()];
        match &self.b {
            Rhs::Plain(plain) => {
                let ahead = if panel + 1 < chunk.end {
                    let width = self.panels.columns(panel + 1).len();
                    Ahead::new(self.packed_lines(panel + 1, chunk, steps), [1, steps.len() * width], 0, spread)
                } else {
                    self.plain_ahead(plain, panel + 1, steps, spread)
                };
                self.tiles(a, rows, steps, panel, self.packed_lines(panel, chunk, steps), ahead);
            }
            Rhs::Packed(Packed::F32(panels)) => self.packed_block(a, rows, steps, panel, panels, spread),
            Rhs::Packed(Packed::F16(panels)) => self.packed_block(a, rows, steps, panel, panels, spread),
            Rhs::Packed(Packed::Bf16(panels)) => self.packed_block(a, rows, steps, panel, panels, spread),
        }
    }

    fn packed_lines(&self, panel: usize, chunk: &Range<usize>, steps: &Range<usize>) -> *const f32 {
        let origin = self.panels.columns(chunk.start).start;
        self.memory.lines.wrapping_add((self.panels.columns(panel).start - origin) * steps.len())
    }

    fn plain_ahead(&self, plain: &Plain<'_>, panel: usize, steps: &Range<usize>, spread: [usize; 2]) -> Ahead {
        if panel >= self.panels.count() {
            return Ahead::none();
        }
        let (column, columns) = (self.panels.columns(panel).start, self.panels.existing(panel));
        for_each_type!(plain.matrix(), view => {
            let src = strided(view, plain.order()).at(column, steps.start);
            let size = if src.col == 1 { [columns, steps.len()] } else { [steps.len(), columns] };
            Ahead::new(src.ptr, size, src.row.max(src.col), spread)
        })
    }

    fn packed_block<E: Load>(
        &self,
        a: Strided,
        rows: &Range<usize>,
        steps: &Range<usize>,
        panel: usize,
        panels: &[E],
        spread: [usize; 2],
    ) {
        let lines = lines::<E>(self.size.k).unwrap_or_default();
        let b = |panel: usize| {
            let columns = self.panels.columns(panel);
            panels.as_ptr().wrapping_add(columns.start * lines + steps.start * columns.len())
        };
        let ahead = if panel + 1 < self.panels.count() {
            let width = self.panels.columns(panel + 1).len();
            Ahead::new(b(panel + 1), [1, steps.len() * width], 0, spread)
        } else {
            Ahead::none()
        };
        self.tiles(a, rows, steps, panel, b(panel), ahead);
    }

    fn tiles<E: Load>(
        &self,
        a: Strided,
        rows: &Range<usize>,
        steps: &Range<usize>,
        panel: usize,
        b: *const E,
        ahead: Ahead,
    ) {
        let columns = self.panels.columns(panel);
        let c = self.c.at(rows.start, columns.start);
        let size = [rows.len(), self.panels.existing(panel)];
        let registers = columns.len() / self.level.lanes();
        self.level.dispatch(Block { size, steps: steps.len(), registers, a, b, ahead, c, add: steps.start > 0 });
        if steps.end == self.size.k && !c.is_finished() {
            self.level.dispatch(Finish { size, c });
        }
    }
}

/// Some rows, some steps of `k`, one panel. The pointers are valid over the sizes.
struct Block<E> {
    /// Rows, and columns that exist.
    size: [usize; 2],
    steps: usize,
    /// Registers across the panel.
    registers: usize,
    a: Strided,
    b: *const E,
    /// The next panel.
    ahead: Ahead,
    c: Output,
    /// To what earlier steps left in C.
    add: bool,
}

impl<E: Load> Op for Block<E> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: see the type.
        with_registers!(S, self.registers, NV => unsafe { self.tiles::<S, MultiplyAdd<E>, NV>(s, self.a, self.b) });
    }
}

impl<E> Block<E> {
    #[inline(always)]
    unsafe fn tiles<S: Simd, T: Terms<S>, const NV: usize>(&self, s: S, a: Strided<T::A>, b: *const T::B) {
        let [rows, columns] = self.size;
        let mut ahead = self.ahead;
        for i in (0..rows).step_by(S::MR) {
            let c = self.c.at(i, 0);
            let left = rows - i;
            if self.add {
                // The next tile is below this one, or at the top of the next panel.
                let next = if left > S::MR { self.c.at(i + S::MR, 0) } else { self.c.at(0, NV * S::LANES) };
                next.prefetch(s, S::MR, columns);
            }
            with_rows!(S, left.min(S::MR), MR => {
                // SAFETY: rows i..i + MR exist, and `steps` lines from `b`.
                unsafe {
                    let acc = c.start::<S, MR, NV>(s, columns, self.add);
                    let acc = tile::<S, T, MR, NV>(s, acc, self.steps, a.at(i, 0), b, &mut ahead);
                    c.put::<S, MR, NV>(s, acc, columns);
                }
            });
        }
    }
}

/// The epilogue of a block whose sums are complete, while it is in the cache. An operation of its own: its constants would
/// take registers from the tiles.
struct Finish {
    size: [usize; 2],
    c: Output,
}

impl Op for Finish {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [rows, columns] = self.size;
        // SAFETY: the block lies within the output.
        unsafe { self.c.finish(s, rows, columns) }
    }
}
