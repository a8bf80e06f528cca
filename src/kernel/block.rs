//! The inner blocks of a product: some rows of A, some steps of `k`, one panel or a few side by side.

use core::marker::PhantomData;

use half::bf16;

use crate::element::{Dtype, Element, Load};
use crate::kernel::ahead::{Ahead, Asks, Soon, Streams};
use crate::kernel::output::Output;
use crate::kernel::pack::{PackPairs, PackPanel, strided};
use crate::kernel::rhs::Plain;
use crate::kernel::tile::{
    Dot, FEW_TILES, Lines, MultiplyAdd, MultiplyAddPairs, Terms, rows_of_tile, tile, tiles_abreast, with_registers,
    with_rows,
};
use crate::kernel::{Strided, tiles};
use crate::simd::{Bf16Dot, DotOp, Level, Op, Simd};
use crate::view::{Matrix, for_each_type};

/// Panels side by side, for so few rows that one panel's sums would wait for each other; not where code is to be small.
const ABREAST: usize = 3;
/// The same of some more rows, up to [`FAR_ROWS`], whose panels come from memory: one alone would be waited for at the end of each page.
const FAR_ABREAST: usize = 2;
/// Those of four rows by two panels fit beside the lines, but not beside elements of A, which NEON's multiply-adds take from registers.
const FAR_ROWS: usize = if cfg!(target_arch = "aarch64") { 3 } else { 4 };

/// The most rows of A for which [`ABREAST`] panels go side by side: their sums must fit the registers, as those of a tile of `mr` rows do,
/// beside the lines of all these panels.
const fn few_rows(mr: usize) -> usize {
    if mr >= 2 * ABREAST + 2 && !FEW_TILES { 2 } else { 1 }
}

/// How many panels go side by side for so many rows, whose panels come from memory if they are `far`.
pub(crate) const fn abreast(level: Level, rows: usize, far: bool) -> usize {
    let few = few_rows(level.tile().0);
    match rows {
        _ if level.is_small() => 1,
        rows if rows <= few => ABREAST,
        ..=FAR_ROWS if far && few > 1 => FAR_ABREAST,
        _ => 1,
    }
}

/// What a product multiplies, and with which instructions: chosen once, by the types of A and B and the level.
pub(crate) trait Kind: Sized {
    /// Element of A as the tiles read it.
    type A: Copy;
    /// Element of B's panels.
    type B: Element;

    /// How far the loops go at a time.
    fn blocking(level: Level) -> Blocking {
        Blocking::of_registers(level)
    }
    fn run(level: Level, block: Block<Self>);
    /// Packs a part of plain weights into lines of a panel.
    fn pack(level: Level, weights: &Plain<'_>, part: &Part, dst: *mut Self::B);
}

/// How far the loops of a product go at a time.
#[derive(Clone, Copy)]
pub(crate) struct Blocking {
    /// Steps of `k` between two visits to C.
    pub steps: usize,
    /// Rows of A per pass over a panel, a multiple of every tile's rows.
    pub rows: usize,
}

impl Blocking {
    /// A panel's block is 96 KiB at 48 columns, one of A with it 288 KiB. Four times as many steps are slower on Intel's servers, the
    /// more so the larger the matrices.
    const SHORT: Self = Self { steps: 512, rows: 144 };
    /// On AMD's cores, which lose more by a visit to C than by blocks that outgrow the second-level cache.
    const LONG: Self = Self { steps: 4 * Self::SHORT.steps, ..Self::SHORT };
    /// Where whole tiles are multiplied. That fast, each visit to C counts, and each pass over the panels.
    const OF_TILES: Self = Self { steps: 64 * tiles::STEPS, rows: 256 };

    /// Of sums in registers.
    fn of_registers(level: Level) -> Self {
        if level.is_amd() { Self::LONG } else { Self::SHORT }
    }

    /// Of [`Dot`].
    fn of_dots(level: Level) -> Self {
        if level.has_tiles() { Self::OF_TILES } else { Self::of_registers(level) }
    }

    /// Steps of few rows by packed weights: more than a row of any model has, and few enough that scratch for widened rows stays small.
    const END_TO_END: usize = 1 << 16;

    /// For so many rows of A by packed weights. Few rows are multiplied by panels from end to end: C is small, and panels are read
    /// once, as a stream.
    pub const fn by_packed(self, level: Level, rows: usize) -> Self {
        if abreast(level, rows, true) == 1 { self } else { Self { steps: Self::END_TO_END, ..self } }
    }

    /// The farthest at this level, whichever CPU it is, of [`Dot`] or of others.
    pub const fn most(level: Level, dot: bool) -> Self {
        match (dot && level.has_tiles(), level.may_be_amd()) {
            (true, _) => Self::OF_TILES,
            (_, true) => Self::LONG,
            _ => Self::SHORT,
        }
    }
}

/// Where a part of plain weights starts (column, step), and how much of it a panel takes: columns that exist, steps, and
/// the panel's width.
pub(crate) struct Part {
    pub start: [usize; 2],
    pub columns: usize,
    pub steps: usize,
    pub width: usize,
}

impl<E: Load> Kind for MultiplyAdd<E> {
    type A = f32;
    type B = E;

    fn run(level: Level, block: Block<Self>) {
        level.dispatch(block);
    }

    fn pack(level: Level, weights: &Plain<'_>, part: &Part, dst: *mut E) {
        debug_assert!(E::DTYPE == Dtype::F32, "plain weights are widened as they are packed");
        for_each_type!(weights.matrix(), view => {
            let src = strided(view, weights.order()).at(part.start[0], part.start[1]);
            level.dispatch(PackPanel { src, columns: part.columns, lines: part.steps, width: part.width, dst: dst.cast() });
        });
    }
}

impl Kind for MultiplyAddPairs {
    type A = f32;
    type B = bf16;

    fn run(level: Level, block: Block<Self>) {
        let run = level.dispatch_dot(block);
        debug_assert!(run.is_some(), "chosen only where the level has pairs");
    }

    fn pack(level: Level, weights: &Plain<'_>, part: &Part, dst: *mut bf16) {
        Dot::pack(level, weights, part, dst);
    }
}

impl Kind for Dot {
    type A = bf16;
    type B = bf16;

    fn blocking(level: Level) -> Blocking {
        Blocking::of_dots(level)
    }

    fn run(level: Level, block: Block<Self>) {
        if level.has_tiles() {
            return tiles::multiply(level, block);
        }
        let run = level.dispatch_dot(block);
        debug_assert!(run.is_some(), "chosen only where the level has it");
    }

    fn pack(level: Level, weights: &Plain<'_>, part: &Part, dst: *mut bf16) {
        if let Matrix::Bf16(view) = weights.matrix() {
            let src = strided(view, weights.order()).at(part.start[0], part.start[1]);
            level.dispatch_dot(PackPairs { src, columns: part.columns, steps: part.steps, width: part.width, dst });
        }
    }
}

/// Rows of C over the columns of panels that stand side by side. The pointers are valid over the sizes.
pub(crate) struct Block<K: Kind, A: Asks = Ahead> {
    /// Rows, and columns that exist.
    pub size: [usize; 2],
    pub steps: usize,
    /// Registers across a panel.
    pub registers: usize,
    /// As many as [`abreast`] says, or 1.
    pub panels: usize,
    /// Whether these come from memory.
    pub far: bool,
    pub a: Strided<K::A>,
    pub b: Lines<K::B>,
    /// The next panels, or what else is needed soon.
    pub ahead: A,
    pub c: Output,
    /// To what earlier steps left in C.
    pub add: bool,
    pub kind: PhantomData<K>,
}

impl<E: Load, A: Asks> Op for Block<MultiplyAdd<E>, A> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: see the type.
        with_registers!(S, self.registers, NV => unsafe { self.tiles::<S, NV>(s) });
    }
}

impl DotOp for Block<MultiplyAddPairs> {
    type Out = ();
    #[inline(always)]
    fn run<S: Bf16Dot>(self, s: S) {
        // SAFETY: see the type.
        with_registers!(S, self.registers, NV => unsafe { self.tiles::<S, NV>(s) });
    }
}

impl DotOp for Block<Dot> {
    type Out = ();
    #[inline(always)]
    fn run<S: Bf16Dot>(self, s: S) {
        // SAFETY: see the type.
        with_registers!(S, self.registers, NV => unsafe { self.tiles::<S, NV>(s) });
    }
}

impl<K: Kind, A: Asks> Block<K, A> {
    #[inline(always)]
    unsafe fn tiles<S: Simd, const NV: usize>(&self, s: S)
    where
        K: Terms<S, A = <K as Kind>::A, B = <K as Kind>::B>,
    {
        let [rows, columns] = self.size;
        let mut ahead = self.ahead;
        if !S::SMALL && A::AT_STEPS && self.panels > 1 {
            // SAFETY: the panels exist, as many as go side by side for these rows.
            return unsafe {
                match rows {
                    4 if few_rows(S::MR) > 1 && FAR_ROWS == 4 => self.abreast::<S, 4, NV, FAR_ABREAST>(s),
                    3 if few_rows(S::MR) > 1 => self.abreast::<S, 3, NV, FAR_ABREAST>(s),
                    2 if few_rows(S::MR) > 1 => self.abreast::<S, 2, NV, ABREAST>(s),
                    _ => self.abreast::<S, 1, NV, ABREAST>(s),
                }
            };
        }
        let mut i = 0;
        while i < rows {
            let c = self.c.at(i, 0);
            let left = rows - i;
            let of_tile = rows_of_tile::<S>(left);
            if S::PREFETCH && !A::AT_STEPS {
                // These add to what is near.
                ahead.before_tile(s, left.div_ceil(S::MR));
            } else if self.add {
                // The next tile is below this one, or at the top of the next panel.
                let next = if left > of_tile { self.c.at(i + of_tile, 0) } else { self.c.at(0, NV * S::LANES) };
                next.prefetch(s, S::MR, columns);
            }
            with_rows!(S, of_tile, MR => {
                // SAFETY: rows i..i + MR exist, and `steps` lines from `b`.
                unsafe {
                    let acc = c.start::<S, MR, NV>(s, columns, self.add);
                    let acc = tile::<S, K, A, MR, NV>(s, acc, self.steps, self.a.at(i, 0), self.b, &mut ahead);
                    c.put::<S, MR, NV>(s, acc, columns);
                }
            });
            i += of_tile;
        }
    }

    /// The same, with something else to ask for.
    #[inline(always)]
    pub fn asking<B: Asks>(self, ahead: B) -> Block<K, B> {
        let Self { size, steps, registers, panels, far, a, b, c, add, kind, .. } = self;
        Block { size, steps, registers, panels, far, a, b, ahead, c, add, kind }
    }

    /// All rows, of which there are `MR`, over `P` panels at once.
    #[inline(always)]
    unsafe fn abreast<S: Simd, const MR: usize, const NV: usize, const P: usize>(&self, s: S)
    where
        K: Terms<S, A = <K as Kind>::A, B = <K as Kind>::B>,
    {
        let width = NV * S::LANES;
        // SAFETY: all rows and panels exist; all but the last panel are whole.
        unsafe {
            let mut acc = [[[s.splat(0.0); NV]; MR]; P];
            for (j, acc) in acc.iter_mut().enumerate() {
                *acc = self.c.at(0, j * width).start::<S, MR, NV>(s, self.columns_of(j, width), self.add);
            }
            let (k, a, b) = (self.steps, self.a, self.b);
            let acc = if self.far && !FEW_TILES {
                tiles_abreast::<S, K, _, MR, NV, P>(s, acc, k, a, b, &mut Streams::<P, NV>)
            } else {
                let mut nothing = Soon::NOTHING;
                tiles_abreast::<S, K, _, MR, NV, P>(s, acc, k, a, b, &mut nothing)
            };
            for (j, acc) in acc.into_iter().enumerate() {
                self.c.at(0, j * width).put::<S, MR, NV>(s, acc, self.columns_of(j, width));
            }
        }
    }

    /// Columns of panel `j` that exist.
    #[inline(always)]
    fn columns_of(&self, j: usize, width: usize) -> usize {
        (self.size[1] - j * width).min(width)
    }
}

/// The epilogue of a block whose sums are complete, while it is in the cache. An operation of its own: its constants would
/// take registers from the tiles.
pub(crate) struct Finish {
    /// Rows and columns, all within the output.
    pub size: [usize; 2],
    pub c: Output,
}

impl Op for Finish {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [rows, columns] = self.size;
        // SAFETY: see `size`.
        unsafe { self.c.finish(s, rows, columns) }
    }
}
