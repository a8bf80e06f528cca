//! How keys and values come to a block: read in place or widened, and brought nearer before they are needed.

use core::ops::Range;

use super::block::Block;
use super::head::{Operand, for_each_operand};
use super::place::Segment;
use super::queries::{Turn, Way};
use crate::element::Load;
use crate::engine::part_of;
use crate::kernel::Strided;
use crate::kernel::ahead::{Ahead, Soon};
use crate::kernel::map::{load, registers, store};
use crate::simd::{Op, Simd};

impl<S: Simd> Block<'_, S> {
    /// What a product of `product[0]` rows of as many steps brings nearer: `size[0]` rows of keys or values from `key` on,
    /// `size[1]` columns. Long sequences come from memory for each block of queries anew, and rows of heads side by side lie
    /// pages apart, where the hardware's own prefetchers do not follow.
    #[inline(always)]
    pub fn ahead(&self, of: Operand, key: usize, size: [usize; 2], product: [usize; 2]) -> Ahead {
        if !S::PREFETCH || key >= self.sight.keys().end {
            return Ahead::none(self.buffers.scores);
        }
        let row = self.head.ring.row(key);
        for_each_operand!(of, rows => Ahead::new(rows.at(row, 0).ptr, size, rows.row, [product[0].div_ceil(S::MR), product[1]]))
    }

    /// What scores of a segment bring nearer: a share of the next block's keys, or after all keys the queries that come next.
    #[inline(always)]
    pub fn soon_after_scores(&self, segment: &Segment) -> Soon {
        self.soon(segment, (self.head.k, 0..self.head.heads.d), |turn| turn.next)
    }

    /// What the products of a segment with some columns of values bring nearer: a share of the next block's, or where the output goes.
    #[inline(always)]
    pub fn soon_after_values(&self, segment: &Segment, columns: &Range<usize>) -> Soon {
        let output = |_: &Turn| {
            let (rows, group) = (self.rows(), self.head.heads.group());
            let (ptr, row) = (self.head.out.cast_const(), self.head.out_stride);
            Soon::rows(
                Strided { ptr, row, col: 1 }.at(rows.start, columns.start),
                [rows.len(), (group - 1) * self.head.heads.dv + columns.len()],
            )
        };
        self.soon(segment, (self.head.v, columns.clone()), output)
    }

    #[inline(always)]
    fn soon(&self, segment: &Segment, (of, columns): (Operand, Range<usize>), at_last: impl Fn(&Turn) -> Soon) -> Soon {
        let (next, end) = (segment.keys.end, self.sight.keys().end);
        let Some(turn) = self.turn.as_ref().filter(|_| S::PREFETCH && (segment.whole || next >= end)) else {
            return Soon::NOTHING;
        };
        if next >= end {
            return at_last(turn);
        }
        let share = part_of((end - next).min(self.keys), turn.index, turn.count);
        of.at(self.head.ring.row(next) + share.start, columns.start).soon([share.len(), columns.len()])
    }

    /// Whether keys and values have been put side by side, see [`Way::Taken`].
    #[inline(always)]
    fn is_taken(&self) -> bool {
        !S::SMALL && self.way == Way::Taken
    }

    /// Whether the products find all keys or values in f32, without widening some at a time.
    #[inline(always)]
    pub fn are_whole(&self, of: Operand) -> bool {
        matches!(of, Operand::F32(_)) || self.is_taken()
    }

    /// Puts the keys of a block of them to where [`keys`](Self::keys) finds them, if they are to be.
    #[inline(always)]
    pub unsafe fn take_keys(&self, keys: &Range<usize>) {
        // SAFETY: the keys exist, and there is room for a block of them.
        unsafe { self.take(self.head.k, keys, self.taken_keys(keys.start)) }
    }

    /// The same of values.
    #[inline(always)]
    pub unsafe fn take_values(&self, keys: &Range<usize>) {
        // SAFETY: the values exist, and there is room for a block of them.
        unsafe { self.take(self.head.v, keys, self.taken_values(keys.start)) }
    }

    #[inline(always)]
    unsafe fn take(&self, from: Operand, keys: &Range<usize>, to: Strided) {
        if !self.is_taken() {
            return;
        }
        let from = from.at(self.head.ring.row(keys.start), 0);
        // Not inlined: it is as much code as there are types.
        self.s.call(Fetch { from, size: [keys.len(), to.row], to: to.ptr.cast_mut() });
    }

    /// Where keys are taken to, from this one on, a row each.
    #[inline(always)]
    fn taken_keys(&self, key: usize) -> Strided {
        let d = self.head.heads.d;
        Strided { ptr: self.buffers.fetched.cast_const(), row: d, col: 1 }.at(self.place_in_block(key), 0)
    }

    /// The same of values, behind the keys.
    #[inline(always)]
    fn taken_values(&self, key: usize) -> Strided {
        let ptr = self.buffers.fetched.wrapping_add(self.keys * self.head.heads.d).cast_const();
        Strided { ptr, row: self.head.heads.dv, col: 1 }.at(self.place_in_block(key), 0)
    }

    /// `count` keys in f32, a row each.
    #[inline(always)]
    pub unsafe fn keys(&self, key: usize, count: usize) -> Strided {
        if self.is_taken() {
            return self.taken_keys(key);
        }
        // SAFETY: the same contract.
        unsafe { self.fetch(self.head.k.at(self.head.ring.row(key), 0), [count, self.head.heads.d]) }
    }

    /// Some columns of the values of `count` keys in f32, a row each.
    #[inline(always)]
    pub unsafe fn values(&self, key: usize, count: usize, columns: &Range<usize>) -> Strided {
        if self.is_taken() {
            return self.taken_values(key).at(0, columns.start);
        }
        // SAFETY: the same contract.
        unsafe { self.fetch(self.head.v.at(self.head.ring.row(key), columns.start), [count, columns.len()]) }
    }

    /// `size[0]` rows and `size[1]` columns of an operand in f32: where they are, or widened into `fetched`, which has room for
    /// them.
    #[inline(always)]
    pub unsafe fn fetch(&self, from: Operand, size: [usize; 2]) -> Strided {
        if let Operand::F32(rows) = from {
            return rows;
        }
        let to = self.buffers.fetched;
        self.s.apart(Fetch { from, size, to });
        Strided { ptr: to, row: size[1], col: 1 }
    }
}

/// Widens rows and columns that exist, to where there is room for them.
struct Fetch {
    from: Operand,
    size: [usize; 2],
    to: *mut f32,
}

impl Op for Fetch {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [rows, columns] = self.size;
        // SAFETY: see the type.
        unsafe {
            for_each_operand!(self.from, from => for i in 0..rows {
                if S::SMALL {
                    for j in 0..columns {
                        self.to.add(i * columns + j).write((*from.at(i, j).ptr).widen(s));
                    }
                    continue;
                }
                for (at, count) in registers::<S>(columns) {
                    store(s, self.to.add(i * columns + at), count, load(s, from.at(i, at).ptr, count));
                }
            });
        }
    }
}
