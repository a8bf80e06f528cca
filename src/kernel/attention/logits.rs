//! The options of attention: what is done to scores before the softmax (softcap, bias, ALiBi, masks), and what masks mean
//! for values. Lanes are queries, lines are keys.

use core::mem::MaybeUninit;

use super::block::{Block, Products};
use super::dots::Dots;
use super::head::{Slab, for_each_operand};
use super::lanes::Lanes;
use super::place::{Segment, signed};
use super::queries::{MAX, PLACE, Queries, SLOPE, SUM, Way};
use super::rows::Rows;
use crate::element::Load;
use crate::kernel::map::{load, registers};
use crate::kernel::pack::transpose_block;
use crate::kernel::softmax::finite_max;
use crate::simd::math::{Exp2Bounded, Tanh};
use crate::simd::{Bf16Dot, DotOp, MAX_LANES, Op, Simd};

/// What a block of queries asks of the options about a segment whose first line of scores is given.
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    /// Whether the boolean mask hides all of it from all of its queries.
    IsHidden,
    /// To make the scores logits in powers of two, masked ones -inf.
    Adjust,
    /// To accumulate what is seen, if values are not finite and so a weight of 0 is not enough to hide one; whether that was
    /// so.
    AccumulateSeen,
}

/// [`options`], as attention carries it: a program that sets none does not link them.
pub(crate) type Options = unsafe fn(&Queries<'_>, &Segment, usize, Ask) -> bool;

/// What is asked, and the answer.
///
/// # Safety
/// See `Queries`; the segment is one of the block's, whose lines have been written.
pub(crate) unsafe fn options(queries: &Queries<'_>, segment: &Segment, line: usize, ask: Ask) -> bool {
    let asked = Asked { queries, segment, line, ask };
    if queries.way == Way::Dots && matches!(ask, Ask::AccumulateSeen) {
        return queries.level.dispatch_dot(asked).unwrap_or_default();
    }
    queries.level.dispatch(asked)
}

struct Asked<'q, 'a> {
    queries: &'q Queries<'a>,
    segment: &'q Segment,
    line: usize,
    ask: Ask,
}

impl Op for Asked<'_, '_> {
    type Out = bool;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let block = Block::new(s, self.queries.clone());
        // SAFETY: as for `options`, its only caller.
        unsafe {
            match self.ask {
                Ask::IsHidden => return block.is_hidden(self.segment),
                Ask::Adjust => block.adjust(self.segment, self.line),
                Ask::AccumulateSeen if !S::SMALL && block.way == Way::Rows => {
                    return block.accumulate_seen::<Rows>(self.segment, self.line);
                }
                Ask::AccumulateSeen => return block.accumulate_seen::<Lanes>(self.segment, self.line),
            }
        }
        true
    }
}

impl DotOp for Asked<'_, '_> {
    type Out = bool;
    #[inline(always)]
    fn run<S: Bf16Dot>(self, s: S) -> bool {
        let block = Block::new(s, self.queries.clone());
        // SAFETY: as for `options`, its only caller, which asks only this.
        unsafe { block.accumulate_seen::<Dots>(self.segment, self.line) }
    }
}

/// Stands for the exponential of a masked logit where values are not finite.
const MASKED: f32 = -1.0;

/// From here on a cap only limits: the quotient of a logit and the cap would be too small for its digits.
const LARGE_CAP: f32 = 1e30;

/// Room for a square of registers.
type Square = [f32; MAX_LANES * MAX_LANES];

impl<S: Simd> Block<'_, S> {
    #[inline(always)]
    pub unsafe fn adjust(&self, segment: &Segment, line: usize) {
        // SAFETY: the segment's lines have been written; the tables are as large as the sizes say.
        unsafe {
            if let Some(cap) = self.head.terms.softcap {
                self.softcap(segment, line, cap * core::f32::consts::LOG2_E);
            }
            if let Some(bias) = &self.head.bias {
                self.by_table(segment, line, bias);
            }
            if self.head.terms.alibi.is_some() {
                self.alibi(segment, line);
            }
            if let Some(mask) = &self.head.mask {
                self.by_table(segment, line, mask);
            }
            if !segment.whole {
                self.limits(segment, line);
            }
        }
    }

    #[inline(always)]
    unsafe fn accumulate_seen<P: Products<S>>(&self, segment: &Segment, line: usize) -> bool {
        // SAFETY: the segment's lines have been written.
        unsafe {
            if self.values_are_finite(segment) {
                return false;
            }
            P::weigh_masked(self, segment, line);
            P::accumulate_masked(self, segment, line);
        }
        true
    }

    #[inline(always)]
    unsafe fn values_are_finite(&self, segment: &Segment) -> bool {
        let (s, dv) = (self.s, self.head.heads.dv);
        // Zero times a number that is not finite is NaN, and stays.
        let mut product = s.splat(0.0);
        // SAFETY: the keys exist.
        unsafe {
            for_each_operand!(self.head.v.at(self.head.ring.row(segment.keys.start), 0), rows => {
                for i in 0..segment.keys.len() {
                    if S::SMALL {
                        for j in 0..dv {
                            product = s.fma(s.splat((*rows.at(i, j).ptr).widen(s)), s.splat(0.0), product);
                        }
                        continue;
                    }
                    for (at, count) in registers::<S>(dv) {
                        product = s.fma(load(s, rows.at(i, at).ptr, count), s.splat(0.0), product);
                    }
                }
            });
        }
        let one = s.splat(1.0);
        !s.any(s.lt(s.splat(0.5), s.select(s.lt(product, one), s.splat(0.0), one)))
    }

    /// P^T = exp2(S^T - m), and the sums of it; what has no weight is marked as [`MASKED`].
    #[inline(always)]
    pub unsafe fn exponentials_or_masked<P: Products<S>>(&self, segment: &Segment, line: usize) {
        let s = self.s;
        let rest = P::rest(self);
        for j in segment.registers.clone() {
            // SAFETY: the segment's lines have been written.
            unsafe {
                let max = finite_max(s, self.load(self.buffers.state, MAX, j));
                let mut sum = self.load(self.buffers.state, SUM, j);
                for i in line..line + segment.keys.len() {
                    let x = self.load(self.buffers.scores, i, j);
                    let p = s.apply::<Exp2Bounded>(match rest {
                        Some(rest) => s.sub(s.mul(x, s.splat(rest)), max),
                        None => s.sub(x, max),
                    });
                    let masked = s.lt(x, s.splat(f32::MIN));
                    sum = s.add(sum, s.select(masked, s.splat(0.0), p));
                    self.store(self.buffers.scores, i, j, s.select(masked, s.splat(MASKED), p));
                }
                self.store(self.buffers.state, SUM, j, sum);
            }
        }
    }

    /// Where an exponential was masked.
    #[inline(always)]
    pub fn is_masked(&self, p: S::F32) -> S::Mask {
        self.s.lt(p, self.s.splat(0.0))
    }

    #[inline(always)]
    pub unsafe fn is_hidden(&self, segment: &Segment) -> bool {
        let Some(mask) = &self.head.mask else { return false };
        let lanes = segment.registers.start * S::LANES..self.pairs.len().min(segment.registers.end * S::LANES);
        for lane in lanes {
            let (query, head) = self.pair(lane);
            // Without a way out within a row, so that it runs on whole registers where keys stand side by side.
            let mut seen = 0;
            for key in segment.keys.clone() {
                // SAFETY: the table is as large as the sizes say.
                seen |= unsafe { *mask.at(head, query, key) };
            }
            if seen != 0 {
                return false;
            }
        }
        true
    }

    #[inline(always)]
    unsafe fn softcap(&self, segment: &Segment, line: usize, cap: f32) {
        let s = self.s;
        let inverse = (1.0 / cap).min(f32::MAX);
        for j in segment.registers.clone() {
            for i in line..line + segment.keys.len() {
                // SAFETY: the segment's lines have been written.
                unsafe {
                    let x = self.load(self.buffers.scores, i, j);
                    let x = if cap < LARGE_CAP {
                        s.mul(s.apply::<Tanh>(s.mul(x, s.splat(inverse))), s.splat(cap))
                    } else {
                        // The order matters: `max` and `min` return their second operand when either is NaN.
                        s.max(s.splat(-cap), s.min(s.splat(cap), x))
                    };
                    self.store(self.buffers.scores, i, j, x);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn alibi(&self, segment: &Segment, line: usize) {
        let s = self.s;
        let place = self.head.limits.place(self.pair(0).0);
        for j in segment.registers.clone() {
            // SAFETY: the state has these lines, and the segment's have been written.
            unsafe {
                let (from_first, slope) =
                    (self.load(self.buffers.state, PLACE, j), self.load(self.buffers.state, SLOPE, j));
                for (i, key) in segment.keys.clone().enumerate() {
                    let ahead = s.add(from_first, s.splat(place.saturating_sub(signed(key)) as f32));
                    let distance = s.max(ahead, s.sub(s.splat(0.0), ahead));
                    let x = self.load(self.buffers.scores, line + i, j);
                    self.store(self.buffers.scores, line + i, j, s.fma(distance, slope, x));
                }
            }
        }
    }

    /// -inf where a query does not see a key because of its place.
    #[inline(always)]
    unsafe fn limits(&self, segment: &Segment, line: usize) {
        let s = self.s;
        let limits = &self.head.limits;
        let place = limits.place(self.pair(0).0);
        for j in segment.registers.clone() {
            // SAFETY: the state has these lines, and the segment's have been written.
            unsafe {
                let from_first = self.load(self.buffers.state, PLACE, j);
                for (i, key) in segment.keys.clone().enumerate() {
                    // A query sees the key if its place is within `key - right..=key + left`. The bounds are halfway
                    // between places, so that no rounding moves them: those in a block are small numbers.
                    let least = signed(key).saturating_sub(limits.right).saturating_sub(place) as f32 - 0.5;
                    let most = signed(key).saturating_add(limits.left).saturating_sub(place) as f32 + 0.5;
                    let hidden = s.splat(f32::NEG_INFINITY);
                    let x = self.load(self.buffers.scores, line + i, j);
                    let x = s.select(s.lt(s.splat(least), from_first), x, hidden);
                    let x = s.select(s.lt(from_first, s.splat(most)), x, hidden);
                    self.store(self.buffers.scores, line + i, j, x);
                }
            }
        }
    }

    /// Every score as the table's entry for its query and key makes it.
    #[inline(always)]
    unsafe fn by_table<T: Entry>(&self, segment: &Segment, line: usize, table: &Slab<T>) {
        let s = self.s;
        let mut square: Square = [0.0; MAX_LANES * MAX_LANES];
        for j in segment.registers.clone() {
            for start in (0..segment.keys.len()).step_by(S::LANES) {
                let keys = segment.keys.start + start..segment.keys.end.min(segment.keys.start + start + S::LANES);
                // SAFETY: the table is as large as the sizes say, and the segment's lines have been written.
                unsafe {
                    self.gather(table, &keys, j, &mut square);
                    for i in 0..keys.len() {
                        let entry = s.load(square.as_ptr().add(i * S::LANES));
                        let x = self.load(self.buffers.scores, line + start + i, j);
                        self.store(self.buffers.scores, line + start + i, j, T::change(s, x, entry));
                    }
                }
            }
        }
    }

    /// The table's entries for at most `LANES` keys, a line each.
    #[inline(always)]
    unsafe fn gather<T: Entry>(&self, table: &Slab<T>, keys: &core::ops::Range<usize>, j: usize, square: &mut Square) {
        let first = j * S::LANES;
        let lanes = (self.pairs.len() - first).min(S::LANES);
        // SAFETY: the table is as large as the sizes say.
        unsafe {
            if !S::SMALL && self.head.heads.group() == 1 && table.key == 1 {
                let from = table.at(0, self.pair(first).0, keys.start);
                return T::transpose(self.s, from, table.query, [lanes, keys.len()], square.as_mut_ptr());
            }
            for lane in 0..lanes {
                let (query, head) = self.pair(first + lane);
                for (i, key) in keys.clone().enumerate() {
                    // At most `LANES` keys.
                    square.as_mut_ptr().add(i * S::LANES + lane).write((*table.at(head, query, key)).number());
                }
            }
        }
    }
}

/// What a table has for a query and a key.
trait Entry: Copy {
    fn number(self) -> f32;

    /// A line of `LANES` numbers for each of at most `LANES` columns (`size`: rows, columns).
    ///
    /// # Safety
    /// `from` is readable over `size`, at the given stride, and `to` writable over the lines.
    unsafe fn transpose<S: Simd>(s: S, from: *const Self, stride: usize, size: [usize; 2], to: *mut f32);

    /// What becomes of scores.
    fn change<S: Simd>(s: S, x: S::F32, numbers: S::F32) -> S::F32;
}

/// A bias.
impl Entry for f32 {
    #[inline(always)]
    fn number(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn transpose<S: Simd>(s: S, from: *const f32, stride: usize, size: [usize; 2], to: *mut f32) {
        // SAFETY: the same contract.
        unsafe { transpose_block(s, from, stride, size, to, S::LANES) }
    }

    #[inline(always)]
    fn change<S: Simd>(s: S, x: S::F32, bias: S::F32) -> S::F32 {
        s.add(x, in_powers_of_two(s, bias))
    }
}

/// Of a mask: 0 hides the key.
impl Entry for u8 {
    #[inline(always)]
    fn number(self) -> f32 {
        self.into()
    }

    #[inline(always)]
    unsafe fn transpose<S: Simd>(s: S, from: *const u8, stride: usize, size: [usize; 2], to: *mut f32) {
        // Not cleared first: what is read is written.
        let mut rows = MaybeUninit::<Square>::uninit();
        let rows = rows.as_mut_ptr().cast::<f32>();
        // SAFETY: `rows` has room for LANES rows of LANES, and the rest is the same contract.
        unsafe {
            for i in 0..size[0] {
                let (from, to) = (from.add(i * stride), rows.add(i * S::LANES));
                for at in 0..size[1] {
                    to.add(at).write((*from.add(at)).into());
                }
            }
            transpose_block(s, rows.cast_const(), S::LANES, size, to, S::LANES);
        }
    }

    #[inline(always)]
    fn change<S: Simd>(s: S, x: S::F32, seen: S::F32) -> S::F32 {
        s.select(s.lt(s.splat(0.0), seen), x, s.splat(f32::NEG_INFINITY))
    }
}

/// A bias times log2(e): the largest finite numbers, with which some mask or choose, stay finite; -inf, inf and NaN stay what they
/// are.
#[inline(always)]
fn in_powers_of_two<S: Simd>(s: S, bias: S::F32) -> S::F32 {
    let [least, most] = [s.splat(f32::MIN), s.splat(f32::MAX)];
    // The order matters: `max` and `min` return their second operand when either is NaN.
    let scaled = s.max(least, s.min(most, s.mul(bias, s.splat(core::f32::consts::LOG2_E))));
    let scaled = s.select(s.lt(most, bias), bias, scaled);
    s.select(s.lt(bias, least), bias, scaled)
}
