//! Attention of one head over a block of queries, without the matrix of scores (Dao et al. 2022, arXiv 2205.14135; Rabe & Staats 2021, arXiv 2112.05682), with the
//! queries in the lanes.
//!
//! A block of up to `NV * LANES` queries is turned once, so that a register holds one coordinate of many queries. Then for
//! each block of `KEYS` keys:
//!
//! ```text
//! S^T  = K Q^T          the matmul tile; keys are read in place, queries are its panel
//! P^T  = exp2(S^T - m)  down the columns: one register of maxima and one of sums, no step across lanes
//! O^T += V^T P^T        the matmul tile; values are read in place, P^T is its panel
//! ```
//!
//! and at the end O^T is divided by the sums and turned back. Nothing of K or V is copied. The scale and log2(e) are folded
//! into the queries. The running output is rescaled only when a maximum has risen by more than [`LAZY`] (FlashAttention-4's
//! idea): until then the exponentials are relative to the older maximum, which is exact as long as they do not overflow.
//!
//! The scratch is `(d + KEYS + dv + 2) * NV * LANES` floats, whatever the number of queries and keys.

use core::ops::Range;

use crate::kernel::pack::{MAX_LANES, transpose_block};
use crate::kernel::softmax::finite_max;
use crate::kernel::tile::{Ahead, MultiplyAdd, tile, with_registers, with_rows};
use crate::kernel::{Strided, each, map};
use crate::simd::{Op, Simd, math};

/// Keys in a block. 64 x 48 scores are 12 KiB: with the queries, the output and the block's keys they stay in the first-level cache.
const KEYS: usize = 64;

/// A maximum that rises by less (in powers of two) does not rescale: exponentials stay below 2^8, far from overflow.
const LAZY: f32 = 8.0;

/// Floats of the four [`Buffers`] for one task, `lanes` queries at a time.
pub(crate) fn buffer_lens(d: usize, dv: usize, lanes: usize) -> Option<[usize; 4]> {
    Some([d.checked_mul(lanes)?, KEYS.checked_mul(lanes)?, dv.checked_mul(lanes)?, lanes.checked_mul(2)?])
}

/// One head of one sequence; the pointers are valid over the sizes.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// `n_q x d`
    pub q: Strided,
    /// `n_k x d`
    pub k: Strided,
    /// `n_k x dv`
    pub v: Strided,
    /// `n_q x dv`, rows `out_stride` apart.
    pub out: *mut f32,
    pub out_stride: usize,
    pub d: usize,
    pub dv: usize,
    pub n_q: usize,
    pub n_k: usize,
    pub causal: bool,
    /// The factor of the logits times log2(e).
    pub scale: f32,
}

/// One task's memory, as long as [`buffer_lens`] says.
#[derive(Clone, Copy)]
pub(crate) struct Buffers {
    /// `d` lines: the queries, turned.
    pub queries: *mut f32,
    /// `KEYS` lines: scores, then exponentials.
    pub scores: *mut f32,
    /// `dv` lines: the output, turned, not yet divided.
    pub output: *mut f32,
    /// Two lines: maxima (in powers of two) and sums.
    pub state: *mut f32,
}

/// A [`Head`] over the queries of one block, at least one and at most `NV * LANES` of them. No other task writes their rows of
/// `out`.
pub(crate) struct QueryBlock {
    pub head: Head,
    pub queries: Range<usize>,
    pub buffers: Buffers,
}

impl Op for QueryBlock {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // A narrower tile for a short last block: unused lanes would cost as much as used ones.
        with_registers!(S, self.queries.len().div_ceil(S::LANES), NV => {
            // SAFETY: see the type.
            unsafe { Block::<S, NV> { s, head: self.head, queries: self.queries, buffers: self.buffers }.run() }
        })
    }
}

struct Block<S, const NV: usize> {
    s: S,
    head: Head,
    queries: Range<usize>,
    buffers: Buffers,
}

impl<S: Simd, const NV: usize> Block<S, NV> {
    const WIDTH: usize = NV * S::LANES;

    #[inline(always)]
    unsafe fn run(self) {
        let s = self.s;
        // SAFETY: the extents are those that `QueryBlock` states, here and in all that follows.
        unsafe {
            self.turn_queries();
            self.start();
            let seen = self.visible(self.queries.end - 1);
            for start in (0..seen).step_by(KEYS) {
                let keys = start..seen.min(start + KEYS);
                self.scores(&keys);
                self.mask(&keys);
                self.exponentials(keys.len());
                self.accumulate(&keys);
            }
            let sum = self.lines(self.buffers.state, 1);
            let inverse = each!(sum[0]; NV, j => reciprocal(s, sum[j]));
            self.turn_output(inverse);
        }
    }

    /// How many keys query `i` sees: all, or, causal, those up to its own place counted from the end.
    #[inline(always)]
    fn visible(&self, i: usize) -> usize {
        let Head { n_q, n_k, causal, .. } = self.head;
        if causal { (i + 1 + n_k).saturating_sub(n_q) } else { n_k }
    }

    /// Keys that every query of the block sees.
    #[inline(always)]
    fn seen_by_all(&self) -> usize {
        self.visible(self.queries.start)
    }

    #[inline(always)]
    unsafe fn lines(&self, p: *const f32, line: usize) -> [S::F32; NV] {
        // SAFETY: the line has NV registers.
        each!(self.s.splat(0.0); NV, j => unsafe { self.s.load(p.add(line * Self::WIDTH + j * S::LANES)) })
    }

    #[inline(always)]
    unsafe fn put(&self, p: *mut f32, line: usize, x: [S::F32; NV]) {
        for (j, x) in x.into_iter().enumerate() {
            // SAFETY: the line has NV registers.
            unsafe { self.s.store(p.add(line * Self::WIDTH + j * S::LANES), x) }
        }
    }

    /// Turns the queries, times the scale, into the panel; lanes without a query are zero.
    #[inline(always)]
    unsafe fn turn_queries(&self) {
        let s = self.s;
        let Head { q, d, scale, .. } = self.head;
        let scale = s.splat(scale);
        for j in 0..NV {
            let first = self.queries.start + j * S::LANES;
            let rows = self.queries.end.saturating_sub(first).min(S::LANES);
            for p in (0..d).step_by(S::LANES) {
                let cols = (d - p).min(S::LANES);
                let line = self.buffers.queries.wrapping_add(p * Self::WIDTH + j * S::LANES);
                // SAFETY: the block lies within the queries and the panel.
                unsafe {
                    transpose_block(s, q.at(first, p).ptr, q.row, [rows, cols], line, Self::WIDTH);
                    for i in 0..cols {
                        let line = line.add(i * Self::WIDTH);
                        s.store(line, s.mul(s.load(line), scale));
                    }
                }
            }
        }
    }

    /// No key seen yet: maxima of -inf, sums and output of 0.
    #[inline(always)]
    unsafe fn start(&self) {
        let s = self.s;
        // SAFETY: the state has two lines, the output `dv`.
        unsafe {
            self.put(self.buffers.state, 0, [s.splat(f32::NEG_INFINITY); NV]);
            self.put(self.buffers.state, 1, [s.splat(0.0); NV]);
            for line in 0..self.head.dv {
                self.put(self.buffers.output, line, [s.splat(0.0); NV]);
            }
        }
    }

    /// S^T = K Q^T
    #[inline(always)]
    unsafe fn scores(&self, keys: &Range<usize>) {
        let Head { k, d, .. } = self.head;
        let panel = self.buffers.queries.cast_const();
        for i in (0..keys.len()).step_by(S::MR) {
            with_rows!(S, (keys.len() - i).min(S::MR), MR => {
                // SAFETY: the keys exist, and the panel has `d` lines.
                unsafe {
                    let rows = tile::<S, MultiplyAdd<f32>, MR, NV>(self.s, [[self.s.splat(0.0); NV]; MR], d, k.at(keys.start + i, 0), panel, &mut Ahead::none());
                    for (line, row) in rows.into_iter().enumerate() {
                        self.put(self.buffers.scores, i + line, row);
                    }
                }
            });
        }
    }

    /// -inf where a query does not see a key.
    #[inline(always)]
    unsafe fn mask(&self, keys: &Range<usize>) {
        let s = self.s;
        for key in keys.start.max(self.seen_by_all())..keys.end {
            let seen = self.seen_lanes(key);
            let line = key - keys.start;
            // SAFETY: the line is one of the scores'.
            unsafe {
                let x = self.lines(self.buffers.scores, line);
                let x = each!(x[0]; NV, j => s.select(seen[j], x[j], s.splat(f32::NEG_INFINITY)));
                self.put(self.buffers.scores, line, x);
            }
        }
    }

    /// The lanes whose query sees `key`, one that not all of them see.
    #[inline(always)]
    fn seen_lanes(&self, key: usize) -> [S::Mask; NV] {
        let s = self.s;
        let Head { n_q, n_k, .. } = self.head;
        // Query i sees the key if key < i + 1 + n_k - n_q. All that counts is small and exact in f32.
        let first = (key + n_q).saturating_sub(n_k).saturating_sub(self.queries.start);
        let first = s.splat(first as f32 - 0.5);
        each!(s.lt(first, first); NV, j => s.lt(first, s.add(s.iota(), s.splat((j * S::LANES) as f32))))
    }

    /// P^T = exp2(S^T - m), with the maxima raised and the output rescaled if it must be.
    #[inline(always)]
    unsafe fn exponentials(&self, keys: usize) {
        let s = self.s;
        let Buffers { scores, state, .. } = self.buffers;
        // SAFETY: `keys` lines of scores have been written; the state has two lines.
        unsafe {
            let mut top = [s.splat(f32::NEG_INFINITY); NV];
            for line in 0..keys {
                let x = self.lines(scores, line);
                top = each!(x[0]; NV, j => s.max(top[j], x[j]));
            }
            let max = self.raise(top);
            let mut sum = self.lines(state, 1);
            for line in 0..keys {
                let x = self.lines(scores, line);
                let p = each!(x[0]; NV, j => math::exp2(s, s.sub(x[j], max[j])));
                sum = each!(p[0]; NV, j => s.add(sum[j], p[j]));
                self.put(scores, line, p);
            }
            self.put(state, 1, sum);
        }
    }

    /// The maxima to subtract, given those of the new block.
    #[inline(always)]
    unsafe fn raise(&self, top: [S::F32; NV]) -> [S::F32; NV] {
        let s = self.s;
        let Buffers { state, output, .. } = self.buffers;
        // SAFETY: the state has two lines, the output `dv`.
        unsafe {
            let old = self.lines(state, 0);
            let risen = each!(s.lt(old[0], old[0]); NV, j => s.lt(s.add(old[j], s.splat(LAZY)), top[j]));
            if !any(s, risen) {
                return each!(old[0]; NV, j => finite_max(s, old[j]));
            }
            // Lane by lane, so that a query's bits do not depend on those beside it; the others are rescaled by 1.
            let new = each!(old[0]; NV, j => s.select(risen[j], top[j], old[j]));
            let safe = each!(old[0]; NV, j => finite_max(s, new[j]));
            // `old`, not its safe form: where nothing was seen yet it is -inf, and the factor 0.
            let factor = each!(old[0]; NV, j => math::exp2(s, s.sub(old[j], safe[j])));
            self.put(state, 0, new);
            self.rescale(state.wrapping_add(Self::WIDTH), 1, factor);
            self.rescale(output, self.head.dv, factor);
            safe
        }
    }

    #[inline(always)]
    unsafe fn rescale(&self, p: *mut f32, lines: usize, factor: [S::F32; NV]) {
        for line in 0..lines {
            // SAFETY: as the callers have it.
            unsafe {
                let x = self.lines(p, line);
                self.put(p, line, each!(x[0]; NV, j => self.s.mul(x[j], factor[j])));
            }
        }
    }

    /// O^T += V^T P^T
    #[inline(always)]
    unsafe fn accumulate(&self, keys: &Range<usize>) {
        let Head { v, dv, .. } = self.head;
        let common = self.seen_by_all().clamp(keys.start, keys.end) - keys.start;
        let panel = self.buffers.scores.cast_const();
        let values = v.at(keys.start, 0).transposed();
        for i in (0..dv).step_by(S::MR) {
            with_rows!(S, (dv - i).min(S::MR), MR => {
                // SAFETY: the values exist, and the panel has `common` lines.
                unsafe {
                    let rows = tile::<S, MultiplyAdd<f32>, MR, NV>(self.s, [[self.s.splat(0.0); NV]; MR], common, values.at(i, 0), panel, &mut Ahead::none());
                    for (line, row) in rows.into_iter().enumerate() {
                        let old = self.lines(self.buffers.output, i + line);
                        self.put(self.buffers.output, i + line, each!(old[0]; NV, j => self.s.add(old[j], row[j])));
                    }
                }
            });
        }
        for key in keys.start + common..keys.end {
            // SAFETY: as above, for one key.
            unsafe { self.accumulate_masked(key, key - keys.start) }
        }
    }

    /// A key that only some of the queries see: a weight of 0 times a value of NaN would not be 0, so it is left out by lane.
    #[inline(always)]
    unsafe fn accumulate_masked(&self, key: usize, line: usize) {
        let s = self.s;
        let Head { v, dv, .. } = self.head;
        let seen = self.seen_lanes(key);
        // SAFETY: the key exists, and so do line `line` of the scores and `dv` lines of the output.
        unsafe {
            let p = self.lines(self.buffers.scores, line);
            for i in 0..dv {
                let x = s.splat(*v.at(key, i).ptr);
                let old = self.lines(self.buffers.output, i);
                let new = each!(x; NV, j => s.select(seen[j], s.fma(x, p[j], old[j]), old[j]));
                self.put(self.buffers.output, i, new);
            }
        }
    }

    /// Divides by the sums and turns the output back into rows.
    #[inline(always)]
    unsafe fn turn_output(&self, inverse: [S::F32; NV]) {
        let s = self.s;
        let Head { out, out_stride, dv, .. } = self.head;
        let output = self.buffers.output;
        // SAFETY: the output has `dv` lines; rows of `out` are written over the queries and `dv` columns only.
        unsafe {
            self.rescale(output, dv, inverse);
            for j in 0..NV {
                let first = self.queries.start + j * S::LANES;
                let rows = self.queries.end.saturating_sub(first).min(S::LANES);
                for p in (0..dv).step_by(S::LANES) {
                    let cols = (dv - p).min(S::LANES);
                    let src = output.cast_const().add(p * Self::WIDTH + j * S::LANES);
                    let dst = out.wrapping_add(first * out_stride + p);
                    turn_back(s, src, Self::WIDTH, [rows, cols], dst, out_stride);
                }
            }
        }
    }
}

/// Whether any lane of any of the masks holds.
#[inline(always)]
fn any<S: Simd, const NV: usize>(s: S, masks: [S::Mask; NV]) -> bool {
    let mut found = false;
    for mask in masks {
        found |= s.any(mask);
    }
    found
}

/// `dst[i][j] = src[j][i]` for `size[0]` rows and `size[1]` columns of `dst`; lines of `src` are read whole.
#[inline(always)]
unsafe fn turn_back<S: Simd>(
    s: S,
    src: *const f32,
    src_stride: usize,
    size: [usize; 2],
    dst: *mut f32,
    dst_stride: usize,
) {
    let [rows, cols] = size;
    // SAFETY: `src` has `cols` whole lines; `dst` is written over `size` only.
    unsafe {
        if size == [S::LANES; 2] {
            return s.transpose(src, src_stride, dst, dst_stride);
        }
        let mut block = [0.0_f32; MAX_LANES * MAX_LANES];
        transpose_block(s, src, src_stride, [cols, S::LANES], block.as_mut_ptr(), S::LANES);
        for i in 0..rows {
            map::store(s, dst.add(i * dst_stride), cols, s.load(block.as_ptr().add(i * S::LANES)));
        }
    }
}

/// `1 / sum`, 0 for a query that saw nothing. NaN stays.
#[inline(always)]
fn reciprocal<S: Simd>(s: S, sum: S::F32) -> S::F32 {
    let inverse = s.div(s.splat(1.0), sum);
    s.select(s.lt(s.splat(f32::MAX), inverse), s.splat(0.0), inverse)
}
