//! Partial results over disjoint keys, put together by their sums, are the result over all of them.

use crate::common::attend::draw::draws;
use crate::common::attend::form::Rows;
use crate::common::attend::oracle::Outcome;
use crate::common::attend::{Answer, Problem, Truths, bound};
use crate::common::bound::{EXP, TINY, U, assert_within};
use crate::common::data::{Values, dimension};
use crate::common::memory::Strided;
use crate::common::oracle::Mat;
use crate::common::stored::Stored;
use crate::common::{cases, every_level};
use proptest::prelude::*;
use selfattn::Engine;

/// The keys from `start` to `end` by themselves.
fn part(whole: &Problem, start: usize, end: usize) -> Problem {
    let rows = |x: &Stored| Stored::of(x.dtype(), &x.mat().rows(start, end - start));
    let mut form = whole.form.clone();
    form.bias = form.bias.map(|bias| bias.from(3, start));
    form.mask = form.mask.map(|mask| mask.from(3, start));
    Problem { form, q: whole.q.clone(), k: rows(&whole.k), v: rows(&whole.v) }
}

fn merge(engine: Engine<'_>, into: &mut Answer, other: &Answer) {
    let (out, lse) = (other.out.view(), other.lse.view());
    engine.merge_attention(into.out.view_mut(), into.lse.view_mut(), out, lse).unwrap();
    [&into.out, &into.lse].into_iter().for_each(Strided::assert_guards);
}

/// The error that a result made of two parts may have: that of each part as its share counts, that of the shares, which the
/// errors of the sums shift, and a few roundings.
fn merged(parts: [(&Answer, &bound::Truth); 2], whole: &Outcome) -> Outcome {
    let heads = whole.lse.cols;
    let value_dim = whole.out.cols / heads.max(1);
    let share = |truth: &bound::Truth, at: (usize, usize)| {
        let (part, whole) = (truth.expected.lse[at], whole.lse[at]);
        if whole == f64::NEG_INFINITY { 0.0 } else { (part - whole).exp() }
    };
    // In the exponent; rounding of the difference to the larger sum as well.
    let shift = |at: (usize, usize)| {
        let of = |(_, truth): (&Answer, &bound::Truth)| {
            let sum = truth.expected.lse[at];
            if sum == f64::NEG_INFINITY { 0.0 } else { truth.bounds.lse[at] + 2.0 * U * (sum - whole.lse[at]).abs() }
        };
        parts.into_iter().map(of).sum::<f64>() + 2.0 * EXP + 4.0 * U
    };
    let out = |i, column| {
        let at = (i, column / value_dim);
        let of = |(_, truth): (&Answer, &bound::Truth)| {
            let (p, x) = (share(truth, at), truth.expected.out[(i, column)].abs());
            let off = truth.bounds.out[(i, column)];
            // Far off, all that is known is that a share is at most 1.
            let shift = shift(at).exp_m1();
            (p * (1.0 + shift)).min(1.0) * off + (p * shift).min(1.0) * x + 4.0 * U * (x + off)
        };
        parts.into_iter().map(of).sum::<f64>() + TINY
    };
    let lse = |i, head| shift((i, head)) + 4.0 * U * (1.0 + whole.lse[(i, head)].abs());
    Outcome { out: Mat::new(whole.out.rows, whole.out.cols, out), lse: Mat::new(whole.lse.rows, heads, lse) }
}

/// The part before `cut` sees what it saw: its queries' places do not follow from its own keys. Those of the part behind do.
fn cut_at(whole: &Problem, cut: usize) -> Option<[Problem; 2]> {
    let n_k = whole.n_k();
    let [mut first, mut second] = [part(whole, 0, cut), part(whole, cut, n_k)];
    second.form.sinks = None;
    match whole.form.query_offset {
        None => first.form.query_offset = Some(n_k.checked_sub(whole.n_q())?),
        // A query of the second part may stand before its first key: only counting from the end can say so.
        Some(offset) => {
            second.form.query_offset = Some(offset.checked_sub(cut)?);
        }
    }
    Some([first, second])
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn two_parts_merged_are_the_whole(draw in draws(40), n_q in dimension(40), n_k in dimension(300), pick: usize) {
        let mut draw = draw;
        // Values so far apart that all is lost in rounding show nothing.
        draw.values = Values::Unit;
        draw.sight.query_offset = draw.sight.query_offset.filter(|&offset| offset < 1000);
        let whole = draw.problem(Rows::One, [n_q, n_k]);
        let Some(parts) = cut_at(&whole, pick % (n_k + 1)) else { return Ok(()) };
        let (truths, [first, second]) = (Truths::of(&whole), parts.each_ref().map(Truths::of));
        every_level(|engine| {
            let [mut answer, other] = parts.each_ref().map(|part| part.run(engine));
            merge(engine, &mut answer, &other);
            let expected = &truths.at(engine).expected;
            let bounds = merged([(&answer, first.at(engine)), (&other, second.at(engine))], expected);
            let what = format!("{} {parts:?}", engine.level());
            assert_within(&format!("out of {what}"), &answer.out.mat(), &expected.out, &bounds.out);
            assert_within(&format!("lse of {what}"), &answer.lse.mat(), &expected.lse, &bounds.lse);
        });
    }
}

/// One query, one head, one dimension.
fn answer(out: f32, lse: f32) -> Answer {
    let of = |x| Strided::new(1, 1, 2, 3, |_, _| x);
    Answer { out: of(out), lse: of(lse) }
}

fn merged_pair(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    let mut into = answer(a[0], a[1]);
    merge(Engine::new(), &mut into, &answer(b[0], b[1]));
    [into.out.view().row(0)[0], into.lse.view().row(0)[0]]
}

#[test]
fn a_part_that_saw_nothing_changes_no_bit() {
    let nothing = [0.0, f32::NEG_INFINITY];
    for other in [[1.5, 0.3], [-2.0, -1e30], [1e30, 1e30], nothing] {
        for [a, b] in [[nothing, other], [other, nothing]] {
            assert_eq!(merged_pair(a, b).map(f32::to_bits), other.map(f32::to_bits), "{a:?} {b:?}");
        }
    }
}

#[test]
fn the_larger_sum_outweighs_the_smaller() {
    assert_eq!(merged_pair([3.0, 1e30], [5.0, -1e30]), [3.0, 1e30]);
    assert_eq!(merged_pair([3.0, -1e30], [5.0, 1e30]), [5.0, 1e30]);
    let [out, lse] = merged_pair([3.0, 200.0], [5.0, 200.0]);
    assert_eq!(out, 4.0);
    assert!((f64::from(lse) - (200.0 + 2.0_f64.ln())).abs() < 1e-4);
}

/// What a part without a share holds does not count.
#[test]
fn a_part_without_a_share_may_hold_anything() {
    for bad in [f32::NAN, f32::INFINITY] {
        for [a, b] in [[[bad, f32::NEG_INFINITY], [1.5, 0.3]], [[1.5, 0.3], [bad, f32::NEG_INFINITY]]] {
            assert_eq!(merged_pair(a, b), [1.5, 0.3], "{a:?} {b:?}");
        }
    }
}

/// A part that is NaN is so in both the result and the sum, and makes the whole NaN.
#[test]
fn no_number_stays_no_number() {
    for other in [[1.5, 0.3], [0.0, f32::NEG_INFINITY], [1.0, 1e30], [f32::NAN; 2]] {
        for [a, b] in [[[f32::NAN; 2], other], [other, [f32::NAN; 2]]] {
            assert!(merged_pair(a, b).into_iter().all(f32::is_nan), "{a:?} {b:?}");
        }
    }
}
