//! Which keys a query sees by its place among them, and how a block of queries and a block of keys divide by that.

use core::ops::Range;

use crate::engine::div_rem;

/// The most registers of queries side by side, on any level.
pub(crate) const MAX_REGISTERS: usize = 3;

/// The keys that query `i` sees: those from `i + offset - left` to `i + offset + right`. All of it saturates: the largest
/// number stands for no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub offset: isize,
    pub left: isize,
    pub right: isize,
}

impl Limits {
    /// The place of query `i` among the keys.
    #[inline(always)]
    pub fn place(&self, i: usize) -> isize {
        signed(i).saturating_add(self.offset)
    }

    /// The keys, of `n_k`, that query `i` sees; the bounds never fall as `i` rises.
    #[inline(always)]
    pub fn keys(&self, i: usize, n_k: usize) -> Range<usize> {
        let place = self.place(i);
        let within = |at: isize| usize::try_from(at).unwrap_or(0).min(n_k);
        let end = within(place.saturating_add(self.right).saturating_add(1));
        within(place.saturating_sub(self.left)).min(end)..end
    }
}

/// As it is, or the largest.
#[inline(always)]
pub(crate) fn signed(x: usize) -> isize {
    isize::try_from(x).unwrap_or(isize::MAX)
}

/// Keys and registers of queries that see each other, `whole` if each sees each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub keys: Range<usize>,
    pub registers: Range<usize>,
    pub whole: bool,
}

/// The keys that the first and the last query of each register see.
#[derive(Clone, Copy)]
pub(crate) struct Sight {
    first: [[usize; 2]; MAX_REGISTERS],
    last: [[usize; 2]; MAX_REGISTERS],
    registers: usize,
}

impl Sight {
    /// Of the pairs of a query and one of `group` heads, `lanes` to a register.
    pub fn new(limits: &Limits, pairs: &Range<usize>, group: usize, lanes: usize, n_k: usize) -> Self {
        let registers = pairs.len().div_ceil(lanes).min(MAX_REGISTERS);
        let mut sight = Self { first: [[0; 2]; MAX_REGISTERS], last: [[0; 2]; MAX_REGISTERS], registers };
        let bounds = |pair: usize| {
            let keys = limits.keys(div_rem(pair, group).0, n_k);
            [keys.start, keys.end]
        };
        for (j, (first, last)) in sight.first.iter_mut().zip(&mut sight.last).enumerate().take(registers) {
            let start = pairs.start + j * lanes;
            *first = bounds(start);
            *last = bounds((start + lanes).min(pairs.end) - 1);
        }
        sight
    }

    pub fn registers(&self) -> usize {
        self.registers
    }

    /// From the first key that any query sees to the last.
    pub fn keys(&self) -> Range<usize> {
        let ([start, _], [_, end]) =
            (self.first[0], self.last.get(self.registers.saturating_sub(1)).map_or([0; 2], |last| *last));
        start..end.max(start)
    }

    /// The registers of which any query sees any of the keys, and whether all of these see all of them.
    fn of(&self, keys: &Range<usize>) -> (Range<usize>, bool) {
        let (mut seeing, mut whole) = (0..0, true);
        for (j, (first, last)) in self.first.iter().zip(&self.last).enumerate().take(self.registers) {
            if last[1] > keys.start && first[0] < keys.end {
                let start = if seeing.is_empty() { j } else { seeing.start };
                seeing = start..j + 1;
                whole &= last[0] <= keys.start && first[1] >= keys.end;
            }
        }
        (seeing, whole)
    }

    /// The segments of these keys in order, at most `chunk` keys being looked at together, up to a multiple of it: so where
    /// segments meet does not depend on where they begin.
    #[inline(always)]
    pub fn segments(&self, keys: Range<usize>, chunk: usize) -> Segments<'_> {
        Segments { sight: self, left: keys, chunk }
    }
}

/// The segments that are left.
pub(crate) struct Segments<'a> {
    sight: &'a Sight,
    left: Range<usize>,
    chunk: usize,
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    /// Not inlined: it is needed twice, and no vectors are.
    #[inline(never)]
    fn next(&mut self) -> Option<Segment> {
        let Self { sight, left, chunk } = self;
        let all = sight.of(left);
        if all.1 && left.start < left.end {
            let keys = core::mem::replace(left, left.end..left.end);
            return (!all.0.is_empty()).then_some(Segment { keys, registers: all.0, whole: true });
        }
        while left.start < left.end {
            let start = left.start;
            let mut end = left.end.min(start + *chunk - div_rem(start, *chunk).1);
            let (registers, whole) = sight.of(&(start..end));
            while end < left.end {
                let next = left.end.min(end + *chunk);
                if sight.of(&(end..next)) != (registers.clone(), whole) {
                    break;
                }
                end = next;
            }
            left.start = end;
            if !registers.is_empty() {
                return Some(Segment { keys: start..end, registers, whole });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of a key and a query that sees it is in one segment, and where a segment is whole, all are.
    #[test]
    fn segments_cover_what_is_seen() {
        let (lanes, n_k) = (4, 40);
        for (left, right) in [(isize::MAX, isize::MAX), (isize::MAX, 0), (5, 0), (3, 7), (0, 0), (isize::MAX, 3)] {
            for offset in [-9, 0, 17, 30, isize::MAX / 2] {
                for (pairs, group) in [(0..12, 1), (3..10, 1), (0..12, 3), (5..6, 2)] {
                    let limits = Limits { offset, left, right };
                    let sight = Sight::new(&limits, &pairs, group, lanes, n_k);
                    let mut seen = [[0; 12]; 40];
                    for segment in sight.segments(0..n_k, 8) {
                        for key in segment.keys.clone() {
                            for pair in pairs.clone() {
                                let lane = pair - pairs.start;
                                let sees = limits.keys(pair / group, n_k).contains(&key);
                                if segment.registers.contains(&(lane / lanes)) {
                                    seen[key][lane] += 1;
                                    assert!(sees || !segment.whole, "{limits:?} {segment:?} {key} {pair}");
                                } else {
                                    assert!(!sees, "{limits:?} {segment:?} {key} {pair}");
                                }
                            }
                        }
                    }
                    for pair in pairs.clone() {
                        let keys = limits.keys(pair / group, n_k);
                        assert!(keys.clone().all(|key| seen[key][pair - pairs.start] == 1), "{limits:?} {pair}");
                        assert!(sight.keys().start <= keys.start || keys.is_empty());
                        assert!(sight.keys().end >= keys.end || keys.is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn limits_saturate() {
        let limits = Limits { offset: isize::MAX, left: isize::MAX, right: isize::MAX };
        assert_eq!(limits.keys(usize::MAX, 7), 0..7);
        assert_eq!(Limits { left: 0, ..limits }.keys(1, 7), 7..7);
        assert_eq!(Limits { offset: isize::MIN, left: 0, right: 3 }.keys(0, 7), 0..0);
    }
}
