//! What products ask for before they need it.

use crate::engine::div_ceil;
use crate::kernel::Strided;
use crate::kernel::tile::Lines;
use crate::simd::Simd;

/// Bytes of weights from which on they are taken to come from memory.
pub(crate) const FAR: usize = 8 << 20;
/// Bytes from what is read to what is asked for, of weights that are read once and in a few streams: in f32, and of halves, which
/// take longer to multiply. Half and twice as many are level, or slower by up to a tenth, for panels on an Intel Xeon.
pub(crate) const BEFORE: usize = 1024;
pub(crate) const BEFORE_HALVES: usize = 2048;

/// How the tiles of a product ask for what is needed soon: at their steps, or before each of them.
pub(crate) trait Asks: Copy {
    const AT_STEPS: bool;

    /// How many turns of so many steps are taken before the next row begins, at least 1 and at most `most`.
    #[inline(always)]
    fn turns(&mut self, _steps: usize, most: usize) -> usize {
        most
    }

    /// What a turn of so many steps asks for, which begin with these lines.
    #[inline(always)]
    fn at_steps<S: Simd, B: Copy>(&mut self, _: S, _steps: usize, _lines: Lines<B>) {}

    /// What the next of so many tiles asks for.
    #[inline(always)]
    fn before_tile<S: Simd>(&mut self, _: S, _tiles: usize) {}
}

/// What will be needed soon: the tiles of one panel bring the next one nearer, each step a little of it.
///
/// Weights are used once in a forward pass, so they come from memory, and the hardware's own prefetchers start anew at each
/// panel. To ask at every step, for most lines several times, costs two loads and an addition. To count lines and ask for a few
/// at once costs tens of instructions, which slow Intel's cores down even where all lines are near.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// The last address, and bytes from one step's to the next's.
    last: usize,
    by: usize,
    /// Steps that are left of a row, and that it has: both even, for tiles that take two at a time.
    left: usize,
    steps: usize,
    /// Bytes from where a row's steps end to the next row.
    gap: usize,
}

impl Ahead {
    /// Nothing but what is near: for addresses that do not exist the CPU would look anew each time.
    pub fn none<E>(near: *const E) -> Self {
        Self { last: near.addr(), by: 0, left: EVEN, steps: EVEN, gap: 0 }
    }

    /// `rows` rows of `cols` elements, `stride` elements apart, spread over `tiles` tiles of `k` steps.
    pub fn new<E>(ptr: *const E, [rows, cols]: [usize; 2], stride: usize, [tiles, k]: [usize; 2]) -> Self {
        let [row, stride] = [cols, stride].map(|len| len.saturating_mul(size_of::<E>()));
        let steps = (tiles * (k & EVEN) / rows.max(1)).max(2) & EVEN;
        // In whole lines: the last step is to be in the last of them.
        let by = (row.div_ceil(LINE) * LINE).div_ceil(steps);
        let (last, gap) = (ptr.addr().wrapping_sub(by), stride.wrapping_sub(by.wrapping_mul(steps)));
        Self { last, by, left: steps, steps, gap }
    }
}

impl Asks for Ahead {
    const AT_STEPS: bool = true;

    #[inline(always)]
    fn turns(&mut self, steps: usize, most: usize) -> usize {
        if self.left == 0 {
            self.left = self.steps;
            self.last = self.last.wrapping_add(self.gap);
        }
        let turns = (self.left / steps).min(most);
        self.left -= turns * steps;
        turns
    }

    /// A line, and the one behind it, for products of so few tiles that a step has more than one.
    #[inline(always)]
    fn at_steps<S: Simd, B: Copy>(&mut self, s: S, steps: usize, _: Lines<B>) {
        self.last = self.last.wrapping_add(self.by.wrapping_mul(steps));
        let line = core::ptr::without_provenance::<u8>(self.last);
        s.prefetch::<0>(line);
        s.prefetch::<LINE>(line);
    }
}

/// `P` panels of `NV` registers that are read side by side from memory, once: each asks for its own lines, a little before they are
/// multiplied. The hardware's prefetchers end with a page, and start anew when they have seen some of the next.
#[derive(Clone, Copy)]
pub(crate) struct Streams<const P: usize, const NV: usize>;

impl<const P: usize, const NV: usize> Asks for Streams<P, NV> {
    const AT_STEPS: bool = true;

    #[inline(always)]
    fn at_steps<S: Simd, B: Copy>(&mut self, s: S, steps: usize, lines: Lines<B>) {
        for panel in 0..P {
            let ptr = lines.panel(panel).cast::<u8>();
            for line in (0..steps * NV * S::LANES * size_of::<B>()).step_by(LINE) {
                let line = ptr.wrapping_add(line);
                if size_of::<B>() == size_of::<f32>() {
                    s.prefetch::<BEFORE>(line)
                } else {
                    s.prefetch::<BEFORE_HALVES>(line)
                }
            }
        }
    }
}

/// Rows that will be needed soon, some of which are asked for before each tile: where tiles are short, and what they ask for would
/// else slow their steps down.
#[derive(Clone, Copy)]
pub(crate) struct Soon {
    /// The address of the next row; bytes of a row, and to the next.
    next: usize,
    bytes: usize,
    stride: usize,
    left: usize,
}

impl Soon {
    pub const NOTHING: Self = Self { next: 0, bytes: 0, stride: 0, left: 0 };

    /// Rows of `columns` elements.
    pub fn rows<E>(rows: Strided<E>, [count, columns]: [usize; 2]) -> Self {
        let [bytes, stride] = [columns, rows.row].map(|len| len.saturating_mul(size_of::<E>()));
        Self { next: rows.ptr.addr(), bytes, stride, left: count }
    }

    /// The same, asked for at the steps of so many tiles of so many each; something `near` if that is nothing.
    #[inline(always)]
    pub fn spread<E>(&self, tiles: [usize; 2], near: *const E) -> Ahead {
        let ptr = core::ptr::without_provenance::<u8>(self.next);
        if self.left == 0 { Ahead::none(near) } else { Ahead::new(ptr, [self.left, self.bytes], self.stride, tiles) }
    }
}

impl Asks for Soon {
    const AT_STEPS: bool = false;

    #[inline(always)]
    fn before_tile<S: Simd>(&mut self, s: S, tiles: usize) {
        let rows = div_ceil(self.left, tiles);
        self.left -= rows;
        for _ in 0..rows {
            for at in (self.next & !(LINE - 1)..self.next.wrapping_add(self.bytes)).step_by(LINE) {
                s.prefetch::<0>(core::ptr::without_provenance(at));
            }
            self.next = self.next.wrapping_add(self.stride);
        }
    }
}

/// All bits of an even number.
const EVEN: usize = !1;
/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::simd::Scalar;

    const START: usize = 1 << 20;

    /// Lines of `rows` rows of f32 that are not asked for while `tiles` tiles of `k` steps run, `steps` at a time; `None` if each turn has
    /// more than two to ask for.
    fn missed([rows, cols]: [usize; 2], stride: usize, [tiles, k]: [usize; 2], steps: usize) -> Option<usize> {
        let mut ahead = Ahead::new(core::ptr::without_provenance::<f32>(START), [rows, cols], stride, [tiles, k]);
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..tiles {
            let mut whole = k / steps;
            while whole > 0 {
                let turns = ahead.turns(steps, whole);
                whole -= turns;
                for _ in 0..turns {
                    let lines = Lines { ptr: core::ptr::null::<f32>(), step: 0, panel: 0 };
                    ahead.at_steps(Scalar, steps, lines);
                    asked.extend([ahead.last / LINE, ahead.last / LINE + 1]);
                }
            }
        }
        let starts = (0..rows).map(|i| START + i * stride * size_of::<f32>());
        let lines = starts.flat_map(|start| (start..start + cols * size_of::<f32>()).step_by(LINE));
        (ahead.by * steps <= 2 * LINE).then(|| lines.filter(|line| !asked.contains(&(line / LINE))).count())
    }

    #[test]
    fn every_row_is_asked_for_before_one_of_the_tiles() {
        for (rows, tiles) in [(64, 11), (8, 11), (16, 3), (1, 1), (5, 5), (0, 7)] {
            let ptr = core::ptr::without_provenance::<f32>(START);
            let mut soon = Soon::rows(Strided { ptr, row: 512, col: 1 }, [rows, 64]);
            for left in (1..=tiles).rev() {
                soon.before_tile(Scalar, left);
                assert!(soon.left <= rows - rows / tiles * (tiles + 1 - left), "{rows} before {tiles}: {left}");
            }
            assert_eq!([soon.left, soon.next], [0, START + rows * 512 * size_of::<f32>()], "{rows} before {tiles}");
        }
    }

    #[test]
    fn every_line_is_asked_for_in_time_however_long_its_row() {
        // Heads of keys, plain weights in rows and in columns, a panel; and products whose steps are odd or very few.
        let shapes = [
            ([64, 64], 512, [8, 64]),
            ([64, 16], 128, [8, 16]),
            ([64, 128], 128, [8, 128]),
            ([48, 512], 4096, [18, 512]),
            ([512, 48], 4096, [18, 512]),
            ([1, 48 * 512], 48 * 512, [18, 512]),
            ([1, 48 * 512], 48 * 512, [2, 512]),
            ([384, 48], 1536, [2, 384]),
            ([64, 67], 256, [9, 67]),
            ([7, 32], 32, [6, 13]),
        ];
        for (size, stride, spread) in shapes {
            for steps in [1, 2] {
                let missed = missed(size, stride, spread, steps);
                assert!(
                    missed == Some(0) || steps == 2 && missed.is_none(),
                    "{size:?} by {spread:?}, {steps} at a time: {missed:?}"
                );
            }
        }
    }
}
