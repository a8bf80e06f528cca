//! Matrix product with an epilogue: `C = act(A B + bias) + residual`, B in panels as wide as the tile.
//!
//! The loops are those of Goto & van de Geijn (2008):
//!
//! ```text
//! for each chunk of panels               plain weights: as many as are packed at a time; packed ones: all
//!   for each block of steps of k         a panel's block stays close while a block of rows passes over it
//!     for each block of rows             widened here, if A is not f32
//!       for each panel                   (the unit of work for threads)
//!         for each tile of MR rows       accumulators in registers
//! ```
//!
//! Where one block of rows is all there is, the two outer loops change places: it is widened once. A later block of `k` goes
//! on from what the earlier ones left in C, so however the loops are blocked, an element is one chain of multiply-adds in the
//! order of `k`, or of what tiles sum up: its bits depend on its row of A and its column of B, and on nothing else.

use core::marker::PhantomData;
use core::ops::Range;

use half::{bf16, f16};

use crate::element::Dtype;
use crate::engine::{Engine, div_rem};
use crate::kernel::ahead::{Ahead, FAR};
use crate::kernel::block::{Block, Blocking, Finish, Kind, Part, abreast};
use crate::kernel::map::Widen;
use crate::kernel::output::{Epilogue, Output};
use crate::kernel::pack::strided;
use crate::kernel::panels::{Panels, lines};
use crate::kernel::rhs::{Packed, Plain, Rhs};
use crate::kernel::tile::{Dot, Lines, MultiplyAdd, MultiplyAddPairs};
use crate::kernel::{Shared, Strided, tiles};
use crate::scratch::some;
use crate::simd::Level;
use crate::view::{MatMut, MatRef, Matrix, for_each_type};

/// Columns of plain weights packed at a time, where several blocks of rows pass over them.
const NC: usize = 192;

/// Tiles of rows that widen packed halves by themselves, at most.
const WIDENED: usize = 4;

/// Panels a task takes at least: less work than this costs more to hand out than to do.
const GRAIN: usize = 2;

/// Rows, steps and columns of a product.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub m: usize,
    pub k: usize,
    pub n: usize,
}

/// The types of a product's sides, and whether the weights are plain: what its memory depends on beside its size.
#[derive(Clone, Copy)]
pub(crate) struct Types {
    pub a: Dtype,
    pub b: Dtype,
    pub plain: bool,
}

impl Types {
    /// Both sides are bf16, and the level multiplies that.
    const fn dot(self, level: Level) -> bool {
        level.has_bf16_dot() && matches!((self.a, self.b), (Dtype::Bf16, Dtype::Bf16))
    }

    /// Whether weights are packed or widened on the way, at least for many rows.
    pub const fn packs(self, level: Level) -> bool {
        let in_pairs = level.has_bf16_dot() && matches!(self.b, Dtype::Bf16);
        self.plain || !level.is_small() && !in_pairs && !matches!(self.b, Dtype::F32)
    }

    /// Whether they are for `m` rows. Few tiles have less to do if each widens packed halves by itself.
    const fn packs_for(self, level: Level, m: usize) -> bool {
        self.plain || self.packs(level) && m > WIDENED * level.tile().0
    }
}

/// Floats of memory for one task: widened rows of A, and panels that are packed or widened; `None` on overflow.
pub(crate) const fn memory_lens(level: Level, size: Size, types: Types) -> Option<[usize; 2]> {
    let mut blocking = Blocking::most(level, types.dot(level));
    if !types.plain {
        blocking = blocking.by_packed(level, size.m);
    }
    let panels = if types.packs_for(level, size.m) { chunk(level, blocking, size.m) } else { 0 };
    let steps = min(size.k, blocking.steps);
    let widens = !matches!(types.a, Dtype::F32) && !types.dot(level);
    let widened = if widens { some!(min(size.m, blocking.rows).checked_mul(steps)) } else { 0 };
    let columns = min(size.n, panels * level.tile().1).next_multiple_of(level.lanes());
    // Pairs of bf16 stand in the place of a float.
    let lines = if types.dot(level) { steps.div_ceil(2) } else { steps };
    Some([widened, some!(columns.checked_mul(lines))])
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// Panels that are packed or widened at a time: what one block of rows passes over once is used at once, else it should
/// serve all blocks of rows.
const fn chunk(level: Level, blocking: Blocking, m: usize) -> usize {
    if m > blocking.rows { NC.div_ceil(level.tile().1) } else { 1 }
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
    let types = Types { a: a.dtype(), b: b.dtype(), plain: matches!(b, Rhs::Plain(_)) };
    let lens = memory_lens(level, size, types).unwrap_or([usize::MAX; 2]);
    let fits = out.rows() == size.m
        && epilogue.fits(size.m, size.n)
        && memory.iter().zip(lens).all(|(part, len)| len.checked_mul(engine.threads()) == Some(part.len()))
        && match &b {
            Rhs::Packed(packed, _) => packed.fits(level, size.n, size.k),
            Rhs::Plain(plain) => (plain.n(), plain.k()) == (size.n, size.k),
        };
    debug_assert!(fits, "ops check the sizes");
    if !fits || size.m == 0 || size.n == 0 {
        return;
    }
    let product = Product { engine, size, c: Output::new(epilogue, &mut out), memory, lens };
    match b {
        Rhs::Packed(packed, by_packed) => by_packed(product, a, packed),
        Rhs::Plain(plain) => match a {
            Matrix::Bf16(rows) if types.dot(level) => {
                product.run::<Dot>(Lhs::InPlace(Strided::from_rows(&rows)), Source::Plain(plain));
            }
            a => product.run::<MultiplyAdd<f32>>(Lhs::new(a), Source::Plain(plain)),
        },
    }
}

/// The product by plain weights in f32, whatever the types.
///
/// # Safety
/// No other task writes the output, which is as large as the sides say. Each of `memory` is as long as [`memory_lens`] says, times the
/// threads.
pub(crate) unsafe fn by_plain(engine: &Engine<'_>, a: Matrix<'_>, b: Plain<'_>, c: Output, memory: [&mut [f32]; 2]) {
    let size = Size { m: a.rows(), k: a.cols(), n: b.n() };
    let lens = memory.each_ref().map(|part| div_rem(part.len(), engine.threads()).0);
    Product { engine, size, c, memory, lens }.run::<MultiplyAdd<f32>>(Lhs::new(a), Source::Plain(b));
}

/// The product by packed weights. They carry it as a pointer, so that a program that packs none does not link it.
pub(crate) type ByPacked = fn(Product<'_, '_, '_>, Matrix<'_>, Packed<'_>);

/// [`ByPacked`] of weights of every type.
pub(crate) fn by_packed(product: Product<'_, '_, '_>, a: Matrix<'_>, b: Packed<'_>) {
    let level = product.engine.level();
    let types = Types { a: a.dtype(), b: b.dtype(), plain: false };
    match (a, b) {
        (a, Packed::F16(panels)) if types.packs_for(level, product.size.m) => {
            product.widened(a, MatRef::from_row(panels).into())
        }
        (a, Packed::Bf16(panels)) if types.packs_for(level, product.size.m) => {
            product.widened(a, MatRef::from_row(panels).into())
        }
        (Matrix::Bf16(rows), Packed::Bf16(panels)) if level.has_bf16_dot() => {
            product.run::<Dot>(Lhs::InPlace(Strided::from_rows(&rows)), Source::Packed(panels));
        }
        (a, Packed::F32(panels)) => product.run::<MultiplyAdd<f32>>(Lhs::new(a), Source::Packed(panels)),
        (a, Packed::F16(panels)) => product.run::<MultiplyAdd<f16>>(Lhs::new(a), Source::Packed(panels)),
        (a, Packed::Bf16(panels)) if level.has_bf16_dot() => {
            product.run::<MultiplyAddPairs>(Lhs::new(a), Source::Packed(panels));
        }
        (a, Packed::Bf16(panels)) => product.run::<MultiplyAdd<bf16>>(Lhs::new(a), Source::Packed(panels)),
    }
}

/// A product whose sizes fit each other, its types still open.
pub(crate) struct Product<'e, 'p, 'm> {
    engine: &'e Engine<'p>,
    size: Size,
    c: Output,
    memory: [&'m mut [f32]; 2],
    /// What each task takes of the memory.
    lens: [usize; 2],
}

impl Product<'_, '_, '_> {
    /// By packed halves that are widened for all rows.
    fn widened(self, a: Matrix<'_>, panels: Matrix<'_>) {
        self.run::<MultiplyAdd<f32>>(Lhs::new(a), Source::Halves(panels));
    }

    fn run<K: Kind>(self, a: Lhs<'_, K::A>, b: Source<'_, K::B>) {
        let Self { engine, size, c, memory, lens } = self;
        let (level, panels) = (engine.level(), Panels::new(engine.level(), size.n));
        let bytes = size.k.saturating_mul(size.n).saturating_mul(size_of::<K::B>());
        let far = matches!(b, Source::Packed(_)) && bytes >= FAR;
        let shared = Shared((a, b, c, memory.map(|part| part.as_mut_ptr())));
        engine.split(panels.count(), GRAIN, |task, part| {
            let (a, b, c, [rows, lines]) = shared.get();
            // Each part of the memory holds its length for each thread, and `task` is below their number. No other task
            // writes the columns of these panels.
            let (rows, lines) = (rows.wrapping_add(task * lens[0]), lines.wrapping_add(task * lens[1]).cast());
            Task::<K> { level, size, a, b, far, c, panels, rows, lines }.run(part);
            tiles::end(level);
        });
    }
}

/// A as the tiles of a kind read it: in place, or widened to f32 block by block.
#[derive(Clone, Copy)]
enum Lhs<'a, A> {
    InPlace(Strided<A>),
    Widened(Matrix<'a>),
}

impl<'a> Lhs<'a, f32> {
    fn new(a: Matrix<'a>) -> Self {
        match a {
            Matrix::F32(view) => Self::InPlace(Strided::from_rows(&view)),
            a => Self::Widened(a),
        }
    }
}

/// B in panels, or as files have it, or in panels of halves, a single row of them.
#[derive(Clone, Copy)]
enum Source<'a, B> {
    Packed(&'a [B]),
    Plain(Plain<'a>),
    Halves(Matrix<'a>),
}

/// What one task works on, and its memory.
struct Task<'a, K: Kind> {
    level: Level,
    size: Size,
    a: Lhs<'a, K::A>,
    b: Source<'a, K::B>,
    /// Whether the panels come from memory.
    far: bool,
    c: Output,
    panels: Panels,
    /// For a block of A, widened.
    rows: *mut f32,
    /// For a chunk of weights that are packed or widened.
    lines: *mut K::B,
}

/// One pass of the loops: rows, steps of `k`, and the chunk of panels that is packed.
struct Pass {
    rows: Range<usize>,
    steps: Range<usize>,
    chunk: Range<usize>,
}

impl<K: Kind> Task<'_, K> {
    /// Computes the columns of some panels.
    fn run(&self, panels: Range<usize>) {
        let Size { m, k, .. } = self.size;
        let blocking = K::blocking(self.level);
        let (at_a_time, in_chunk) = match self.b {
            Source::Plain(_) | Source::Halves(_) => (blocking, chunk(self.level, blocking, m)),
            Source::Packed(_) => (blocking.by_packed(self.level, m), panels.len()),
        };
        let chunks = || panels.clone().step_by(in_chunk.max(1)).map(|first| first..panels.end.min(first + in_chunk));
        let steps = || (0..k.max(1)).step_by(at_a_time.steps).map(|p| p..k.min(p + at_a_time.steps));
        if m <= at_a_time.rows {
            // One block of rows: it is widened once.
            for steps in steps() {
                let a = self.block_of_a(&(0..m), &steps);
                for chunk in chunks() {
                    let pass = Pass { rows: 0..m, steps: steps.clone(), chunk };
                    self.pack(&pass);
                    self.pass(a, &pass);
                }
            }
            return;
        }
        for chunk in chunks() {
            for steps in steps() {
                let mut pass = Pass { rows: 0..0, steps, chunk: chunk.clone() };
                self.pack(&pass);
                for i in (0..m).step_by(at_a_time.rows) {
                    pass.rows = i..m.min(i + at_a_time.rows);
                    self.pass(self.block_of_a(&pass.rows, &pass.steps), &pass);
                }
            }
        }
    }

    /// Packs or widens a chunk of weights, panel after panel.
    fn pack(&self, pass: &Pass) {
        for panel in pass.chunk.clone() {
            let columns = self.panels.columns(panel);
            let (steps, to) = (pass.steps.len(), self.packed(pass, panel).cast_mut());
            match &self.b {
                Source::Packed(_) => return,
                Source::Plain(plain) => {
                    let start = [columns.start, pass.steps.start];
                    let part = Part { start, columns: self.panels.existing(panel), steps, width: columns.len() };
                    K::pack(self.level, plain, &part, to);
                }
                Source::Halves(matrix) => {
                    // SAFETY: the memory has room for the steps of a chunk. Halves are widened for kinds of f32 only.
                    let out = unsafe { core::slice::from_raw_parts_mut(to.cast(), steps * columns.len()) };
                    self.level.dispatch(Widen { matrix, row: 0, from: self.start(pass, panel), add: false, out });
                }
            }
        }
    }

    /// Some rows of C over a chunk of panels.
    fn pass(&self, a: Strided<K::A>, pass: &Pass) {
        let mut panel = pass.chunk.start;
        while panel < pass.chunk.end {
            let panels = self.abreast(pass, panel);
            self.block(a, pass, panel, panels);
            panel += panels;
        }
    }

    /// How many panels from this one on are taken side by side, if they are equally wide.
    fn abreast(&self, pass: &Pass, panel: usize) -> usize {
        let panels = abreast(self.level, pass.rows.len(), self.far);
        let last = panel + panels - 1;
        let equal = || self.panels.columns(panel).len() == self.panels.columns(last).len();
        if last < pass.chunk.end && equal() { panels } else { 1 }
    }

    /// A block of A.
    fn block_of_a(&self, rows: &Range<usize>, steps: &Range<usize>) -> Strided<K::A> {
        let a = match &self.a {
            Lhs::InPlace(a) => return a.at(rows.start, steps.start),
            Lhs::Widened(a) => a,
        };
        let stride = steps.len();
        for (i, row) in rows.clone().enumerate() {
            // SAFETY: the memory has room for a block's rows of this stride.
            let out = unsafe { core::slice::from_raw_parts_mut(self.rows.wrapping_add(i * stride), stride) };
            self.level.dispatch(Widen { matrix: a, row, from: steps.start, add: false, out });
        }
        // Only kinds whose A is f32 have it widened.
        Strided { ptr: self.rows.cast_const().cast(), row: stride, col: 1 }
    }

    /// Where a panel's lines for these steps are.
    fn packed(&self, pass: &Pass, panel: usize) -> *const K::B {
        match self.b {
            Source::Packed(panels) => panels.as_ptr().wrapping_add(self.start(pass, panel)),
            Source::Plain(_) | Source::Halves(_) => {
                let [start, origin] = [panel, pass.chunk.start].map(|panel| self.panels.columns(panel).start);
                self.lines.wrapping_add((start - origin) * self.lines_of(pass.steps.len()))
            }
        }
    }

    /// Where they start among packed weights.
    fn start(&self, pass: &Pass, panel: usize) -> usize {
        let columns = self.panels.columns(panel);
        columns.start * self.lines_of(self.size.k) + pass.steps.start * columns.len()
    }

    fn lines_of(&self, steps: usize) -> usize {
        lines::<K::B>(self.level, steps).unwrap_or_default()
    }

    /// What the tiles of one block bring nearer: the panel after it.
    fn ahead(&self, pass: &Pass, next: usize) -> Ahead {
        let [rows, steps] = [pass.rows.len(), pass.steps.len()];
        // Few rows read panels as fast as they come, and ask for what they read themselves.
        let few = abreast(self.level, rows, self.far) > 1;
        if self.level.is_small() || few || next >= self.panels.count() {
            return Ahead::none(self.packed(pass, pass.chunk.start));
        }
        let spread = [rows.div_ceil(self.level.tile().0), steps];
        match &self.b {
            Source::Plain(plain) if next >= pass.chunk.end => {
                let (column, columns) = (self.panels.columns(next).start, self.panels.existing(next));
                for_each_type!(plain.matrix(), view => {
                    let src = strided(view, plain.order()).at(column, pass.steps.start);
                    let size = if src.col == 1 { [columns, steps] } else { [steps, columns] };
                    Ahead::new(src.ptr, size, src.row.max(src.col), spread)
                })
            }
            Source::Halves(panels) if next >= pass.chunk.end => {
                let size = [1, steps * self.panels.columns(next).len()];
                for_each_type!(panels, view => Ahead::new(view.as_ptr().wrapping_add(self.start(pass, next)), size, 0, spread))
            }
            _ => Ahead::new(self.packed(pass, next), [1, steps * self.panels.columns(next).len()], 0, spread),
        }
    }

    /// Rows of C over the columns of some panels: more terms of the sum.
    fn block(&self, a: Strided<K::A>, pass: &Pass, panel: usize, panels: usize) {
        let (first, last) = (self.panels.columns(panel), self.panels.columns(panel + panels - 1));
        let (b, next) = (self.packed(pass, panel), self.packed(pass, panel + 1));
        let size = [pass.rows.len(), last.end.min(self.size.n) - first.start];
        let c = self.c.at(pass.rows.start, first.start);
        K::run(
            self.level,
            Block {
                size,
                steps: pass.steps.len(),
                registers: first.len() / self.level.lanes(),
                panels,
                far: self.far,
                a,
                b: Lines { ptr: b, step: first.len(), panel: next.addr().wrapping_sub(b.addr()) / size_of::<K::B>() },
                ahead: self.ahead(pass, panel + panels),
                c,
                add: pass.steps.start > 0,
                kind: PhantomData,
            },
        );
        if pass.steps.end == self.size.k && !c.is_finished() {
            self.level.dispatch(Finish { size, c });
        }
    }
}
