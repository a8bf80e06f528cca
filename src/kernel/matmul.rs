//! Matrix product with an epilogue: `C = act(A B^T + bias) + residual`, B packed in panels as wide as the tile.
//!
//! The loops are those of Goto & van de Geijn (2008) without the packing of A, which the tile reads in place:
//!
//! ```text
//! for each block of MC rows              A's block stays in the second-level cache
//!   for each block of KC steps of k      a panel's block stays close while all rows pass over it
//!     for each panel                     (the unit of work for threads)
//!       for each tile of MR rows         accumulators in registers
//! ```
//!
//! A later block of `k` adds to what the earlier ones left in C. The blocks depend on `k` alone, so an element's bits depend
//! on its row of A and its column of B, and on nothing else.

use core::ops::Range;

use crate::element::Load;
use crate::engine::Engine;
use crate::kernel::pack::{Panel, packed_len};
use crate::kernel::tile::{Ahead, tile, with_rows};
use crate::kernel::{Activation, Shared, Strided, map};
use crate::simd::{Op, Simd};
use crate::view::{MatMut, MatRef};

/// Steps of `k` between two visits to C: long enough that the visit costs about 1 %, short enough that 8 rows of A
/// (16 KiB) stay in a 32 KiB first-level cache.
const KC: usize = 512;
/// Rows of A per pass over B: a block of 128 x 512 floats fills a quarter of a 1 MiB second-level cache.
const MC: usize = 128;

/// Panels a task takes at least: less work than this costs more to hand out than to do.
const GRAIN: usize = 2;

/// What is done to a product before it is stored: `out = act(A B^T + bias) + residual`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Added to every row; `n` long.
    pub bias: Option<&'a [f32]>,
    /// Applied to every element.
    pub activation: Activation,
    /// Added last; as large as the output.
    pub residual: Option<MatRef<'a>>,
}

/// The right-hand side.
#[derive(Clone, Copy)]
pub(crate) enum Rhs<'a, E> {
    /// Panels of `k` lines, one after the other.
    Packed(&'a [E]),
    /// `n` rows of `k`; each panel is packed when its turn comes.
    Plain(MatRef<'a, E>),
}

/// Floats of memory that one task packs plain panels into, for a tile `width` wide; `None` on overflow.
pub(crate) fn panel_len(k: usize, width: usize) -> Option<usize> {
    k.min(KC).checked_mul(width)
}

/// `out = act(a b^T + bias) + residual`, panels split among the engine's threads. `memory` is as long as [`panel_len`] times the
/// threads, for plain weights. Arguments that do not fit each other are a mistake of the caller in this crate: nothing is done.
pub(crate) fn matmul<E: Load>(
    engine: &Engine<'_>,
    a: MatRef<'_>,
    b: Rhs<'_, E>,
    epilogue: &Epilogue<'_>,
    mut out: MatMut<'_>,
    memory: &mut [f32],
) {
    let size = Size { m: a.rows(), k: a.cols(), n: out.cols() };
    let width = engine.level().tile().1;
    let panel_len = panel_len(size.k, width).unwrap_or(usize::MAX);
    let fits = out.rows() == size.m
        && epilogue.fits(size)
        && match b {
            Rhs::Packed(panels) => packed_len(size.n, size.k, width) == Some(panels.len()),
            Rhs::Plain(rows) => {
                (rows.rows(), rows.cols()) == (size.n, size.k)
                    && panel_len.checked_mul(engine.threads()).is_some_and(|len| len <= memory.len())
            }
        };
    debug_assert!(fits, "ops check the sizes");
    if !fits || size.m == 0 || size.n == 0 {
        return;
    }
    let product = Matmul { size, a: Strided::from_rows(&a), b: Source::new(b), c: Output::new(epilogue, &mut out) };
    let shared = Shared((product, memory.as_mut_ptr()));
    engine.split(size.n.div_ceil(width), GRAIN, |task, panels| {
        let (mut product, memory) = shared.get();
        if let Source::Plain { panel, .. } = &mut product.b {
            // SAFETY: `memory` holds a panel for each thread, and `task` is below their number.
            *panel = unsafe { memory.add(task * panel_len) };
        }
        engine.level().dispatch(Panels { product, panels });
    });
}

impl Epilogue<'_> {
    fn fits(&self, size: Size) -> bool {
        self.bias.is_none_or(|bias| bias.len() == size.n)
            && self.residual.is_none_or(|residual| (residual.rows(), residual.cols()) == (size.m, size.n))
    }
}

/// The right-hand side, its extents known to fit.
#[derive(Clone, Copy)]
enum Source<E> {
    Packed(*const E),
    /// Rows `stride` apart, and memory for one panel of at most `KC` lines.
    Plain {
        ptr: *const E,
        stride: usize,
        panel: *mut f32,
    },
}

impl<E> Source<E> {
    fn new(b: Rhs<'_, E>) -> Self {
        match b {
            Rhs::Packed(panels) => Self::Packed(panels.as_ptr()),
            Rhs::Plain(rows) => Self::Plain { ptr: rows.as_ptr(), stride: rows.stride(), panel: core::ptr::null_mut() },
        }
    }
}

/// A product whose pointers are valid over its sizes.
#[derive(Clone, Copy)]
struct Matmul<E> {
    size: Size,
    a: Strided,
    b: Source<E>,
    c: Output,
}

#[derive(Clone, Copy)]
struct Size {
    m: usize,
    k: usize,
    n: usize,
}

/// Where the result goes, and what is done to it on the way. Null stands for an absent bias or residual.
#[derive(Clone, Copy)]
struct Output {
    ptr: *mut f32,
    stride: usize,
    bias: *const f32,
    activation: Activation,
    residual: *const f32,
    residual_stride: usize,
}

/// Some panels of a product: what one task computes, all rows of them. No other task writes the same columns of C.
struct Panels<E> {
    product: Matmul<E>,
    panels: Range<usize>,
}

impl<E: Load> Op for Panels<E> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match S::NV {
            3 => self.run_wide::<S, 3>(s),
            2 => self.run_wide::<S, 2>(s),
            _ => self.run_wide::<S, 1>(s),
        }
    }
}

impl<E: Load> Panels<E> {
    #[inline(always)]
    fn run_wide<S: Simd, const NV: usize>(self, s: S) {
        let Size { m, k, .. } = self.product.size;
        // Packing a plain panel costs as much as some rows of the product: do it once for all rows.
        let mc = if matches!(self.product.b, Source::Packed(_)) { MC } else { m.max(1) };
        for i in (0..m).step_by(mc) {
            for p in (0..k.max(1)).step_by(KC) {
                for panel in self.panels.clone() {
                    let block = Block { rows: i..m.min(i + mc), steps: p..k.min(p + KC), panel };
                    // SAFETY: the block lies within the product, whose pointers are valid over its sizes.
                    unsafe { self.product.block::<S, NV>(s, block) }
                }
            }
        }
    }
}

/// The innermost blocks: some rows, some steps of `k`, one panel.
struct Block {
    rows: Range<usize>,
    steps: Range<usize>,
    panel: usize,
}

impl<E: Load> Matmul<E> {
    #[inline(always)]
    unsafe fn block<S: Simd, const NV: usize>(&self, s: S, block: Block) {
        let width = NV * S::LANES;
        let Size { k, n, .. } = self.size;
        let (column, lines) = (block.panel * width, block.steps.len());
        match self.b {
            Source::Packed(ptr) => {
                let panel = ptr.wrapping_add(column * k + block.steps.start * width);
                let ahead = Ahead::new(panel.wrapping_add(k * width), lines * width, block.rows.len().div_ceil(S::MR));
                // SAFETY: panel `panel` starts at `column * k`.
                unsafe { self.rows::<S, E, NV>(s, block, panel, ahead) }
            }
            Source::Plain { ptr, stride, panel } => {
                let src = ptr.wrapping_add(column * stride + block.steps.start);
                let packer = Panel { src, stride, rows: (n - column).min(width), lines, width, dst: panel };
                // SAFETY: `panel` has room for KC lines, and is this task's own.
                unsafe {
                    packer.pack(s);
                    self.rows::<S, f32, NV>(s, block, panel, Ahead::NONE);
                }
            }
        }
    }

    /// All tiles of a block, whose lines of the panel start at `b`.
    #[inline(always)]
    unsafe fn rows<S: Simd, B: Load, const NV: usize>(&self, s: S, block: Block, b: *const B, ahead: Ahead) {
        let steps = block.steps.len();
        let column = block.panel * NV * S::LANES;
        let columns = (self.size.n - column).min(NV * S::LANES);
        let mut ahead = ahead;
        for i in block.rows.clone().step_by(S::MR) {
            let a = self.a.at(i, block.steps.start);
            let c = self.c.at(i, column);
            let rows = (block.rows.end - i).min(S::MR);
            with_rows!(S, rows, MR => {
                // SAFETY: rows i..i + MR exist, and `steps` lines from `b`.
                unsafe {
                    let acc = tile::<S, B, MR, NV>(s, steps, a, b, ahead);
                    c.put::<S, MR, NV>(s, acc, columns, block.steps.start > 0);
                }
            });
            if block.steps.end == self.size.k {
                // SAFETY: the tile has these rows and columns.
                unsafe { c.finish(s, rows, columns) }
            }
            ahead = ahead.next();
        }
    }
}

impl Output {
    fn new(epilogue: &Epilogue<'_>, out: &mut MatMut<'_>) -> Self {
        Self {
            stride: out.stride(),
            ptr: out.as_mut_ptr(),
            bias: epilogue.bias.map_or(core::ptr::null(), <[f32]>::as_ptr),
            activation: epilogue.activation,
            residual: epilogue.residual.map_or(core::ptr::null(), |view| view.as_ptr()),
            residual_stride: epilogue.residual.map_or(0, |view| view.stride()),
        }
    }

    /// The output from row `i` and column `j` on.
    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> Self {
        let offset = |p: *const f32, by: usize| if p.is_null() { p } else { p.wrapping_add(by) };
        Self {
            ptr: self.ptr.wrapping_add(i * self.stride + j),
            bias: offset(self.bias, j),
            residual: offset(self.residual, i * self.residual_stride + j),
            ..*self
        }
    }

    /// Writes the first `columns` columns of a tile, or adds them to what is there.
    #[inline(always)]
    unsafe fn put<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        acc: [[S::F32; NV]; MR],
        columns: usize,
        add: bool,
    ) {
        for (i, row) in acc.into_iter().enumerate() {
            let c = self.ptr.wrapping_add(i * self.stride);
            for (j, x) in row.into_iter().enumerate() {
                let count = columns.saturating_sub(j * S::LANES).min(S::LANES);
                let c = c.wrapping_add(j * S::LANES);
                // SAFETY: row i of the output has `columns` columns from here.
                unsafe {
                    let x = if add { s.add(map::load(s, c.cast_const(), count), x) } else { x };
                    map::store(s, c, count, x);
                }
            }
        }
    }

    /// The epilogue over `rows x columns`, once all of `k` is summed. The tile is still in the first-level cache.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, rows: usize, columns: usize) {
        // The activation is chosen here and not for every register.
        // SAFETY: the same contract, in all arms.
        unsafe {
            match self.activation {
                Activation::None if self.bias.is_null() && self.residual.is_null() => {}
                Activation::None => self.finish_with(s, rows, columns, Activation::None),
                Activation::Gelu => self.finish_with(s, rows, columns, Activation::Gelu),
                Activation::GeluTanh => self.finish_with(s, rows, columns, Activation::GeluTanh),
                Activation::Relu => self.finish_with(s, rows, columns, Activation::Relu),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish_with<S: Simd>(&self, s: S, rows: usize, columns: usize, activation: Activation) {
        for i in 0..rows {
            let c = self.ptr.wrapping_add(i * self.stride);
            let residual = self.residual.wrapping_add(i * self.residual_stride);
            for (at, count) in map::registers::<S>(columns) {
                // SAFETY: row i of C and of the residual and the bias have `columns` columns from here.
                unsafe {
                    let mut x = map::load(s, c.cast_const().add(at), count);
                    if !self.bias.is_null() {
                        x = s.add(x, map::load(s, self.bias.add(at), count));
                    }
                    x = activation.apply(s, x);
                    if !self.residual.is_null() {
                        x = s.add(x, map::load(s, residual.add(at), count));
                    }
                    map::store(s, c.add(at), count, x);
                }
            }
        }
    }
}
