//! What is masked has no influence, whatever it is; what is visible has the influence that the definition gives it.

use crate::common::attend::broadcast::{Broadcast, Layout};
use crate::common::attend::draw::{Draw, draws, draws_of_few_keys, rows_or_many_keys};
use crate::common::attend::form::{Form, Place, Rows, Span};
use crate::common::attend::{Answer, Problem, Truths};
use crate::common::data::{Rng, Values};
use crate::common::stored::DTYPES;
use crate::common::{bound, cases, every_level};
use proptest::prelude::*;

const BAD: [f32; 4] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX];

/// Sets a whole row.
fn spoil(x: &mut crate::common::stored::Stored, row: usize, bad: f32) {
    (0..x.matrix().cols()).for_each(|j| x.set(row, j, bad));
}

/// Every query of every head, with its row.
fn places(problem: &Problem) -> Vec<(Span, Place, usize)> {
    let spans = problem.form.spans(problem.n_q(), problem.n_k());
    let places = spans.iter().flat_map(|span| problem.form.places(span).map(move |at| (span.clone(), at)));
    places.map(|(span, at)| (span.clone(), at, span.queries.start + at.query)).collect()
}

/// The bits of the result of one query in one head, and of its sum.
fn bits(problem: &Problem, answer: &Answer, at: Place, row: usize) -> (Vec<u32>, u32) {
    let columns = problem.form.out_columns(at.head);
    (answer.out.row_bits(row)[columns].to_vec(), answer.lse.row_bits(row)[at.head])
}

/// A problem without numbers so large or small that weights vanish, and with some keys.
fn moderate(mut draw: Draw, rows: Rows, size: [usize; 2]) -> Option<Problem> {
    draw.values = Values::Unit;
    (size[1] > 0).then(|| draw.problem(rows, size))
}

/// Where keys are multiplied in pairs, a block of queries may see only the second of one whose first the block before it sees.
#[test]
fn a_value_beside_the_first_that_a_block_sees_has_no_influence() {
    for dtype in DTYPES {
        for left in 40..44 {
            let draw = Draw { types: [dtype; 3], ..Draw::plain(1, 16, 1) };
            let mut clean = draw.problem(Rows::One, [100, 100]);
            clean.form.window = [Some(left), Some(0)];
            for key in 0..12 {
                let mut spoiled = clean.clone();
                spoil(&mut spoiled.v, key, f32::INFINITY);
                assert_bits_without(&clean, &spoiled, key);
            }
        }
    }
}

/// Nor has one in a later block of keys, which finds an output there and may begin with the second of a pair.
#[test]
fn a_value_that_some_do_not_see_has_no_influence_in_any_block() {
    for dtype in DTYPES {
        for key_block in [None, Some(33)] {
            let draw = Draw { types: [dtype; 3], key_block, ..Draw::plain(1, 16, 1) };
            let mut clean = draw.problem(Rows::One, [100, 100]);
            clean.form.window = [Some(40), Some(0)];
            for key in [32, 33, 34, 65, 66, 67, 70] {
                let mut spoiled = clean.clone();
                spoil(&mut spoiled.v, key, f32::NAN);
                assert_bits_without(&clean, &spoiled, key);
            }
        }
    }
}

/// Nor where weights are so small that sums of their terms are below the normal numbers, which some levels flush.
#[test]
fn a_hidden_value_has_no_influence_on_the_smallest_results() {
    for (dtype, sink) in DTYPES.iter().flat_map(|dtype| [75.0, 80.0, 85.0].map(|sink| (*dtype, sink))) {
        let draw = Draw { types: [dtype; 3], ..Draw::plain(1, 64, 1) };
        let mut clean = draw.problem(Rows::One, [100, 100]);
        clean.form.window = [Some(40), Some(0)];
        clean.form.sinks = Some(vec![sink]);
        for key in [1, 33, 66] {
            let mut spoiled = clean.clone();
            spoil(&mut spoiled.v, key, f32::NAN);
            assert_bits_without(&clean, &spoiled, key);
        }
    }
}

/// Those who do not see `key`, in which alone the problems differ, have the same bits in both.
fn assert_bits_without(clean: &Problem, spoiled: &Problem, key: usize) {
    every_level(|engine| {
        let (before, after) = (clean.run(engine), spoiled.run(engine));
        for (span, at, row) in places(clean) {
            let j = key.wrapping_sub(span.keys.start);
            if j >= span.keys.len() || !clean.form.sees(&span, at, j) {
                let [before, after] = [(clean, &before), (spoiled, &after)].map(|(p, x)| bits(p, x, at, row));
                assert_eq!(before, after, "{} key {key} {at:?} {span:?} {clean:?}", engine.level());
            }
        }
    });
}

/// So few queries that keys and values are read as they lie, also in parts: a value that is hidden from all of them changes no bit.
#[test]
fn few_queries_keep_every_bit_whatever_value_is_hidden() {
    for dtype in DTYPES {
        for (n_q, n_k) in [(1, 20), (2, 20), (5, 20), (1, 2500), (2, 2500)] {
            let mut clean = Draw { types: [dtype; 3], ..Draw::plain(1, 7, 3) }.problem(Rows::One, [n_q, n_k]);
            let (hidden, of_keys) = (n_k / 4 * 3, Layout { kept: [false, false, false, true], ..Layout::FULL });
            clean.form.mask = Some(Broadcast::new([1, 1, n_q, n_k], of_keys, true, |[.., j]| j != hidden));
            let mut spoiled = clean.clone();
            spoil(&mut spoiled.v, hidden, f32::NAN);
            every_level(|engine| {
                let [before, after] = [&clean, &spoiled].map(|problem| problem.run(engine).bits());
                assert_eq!(before, after, "{} {n_q} x {n_k} {dtype:?}", engine.level());
            });
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// Keys and values that are no numbers, some seen and some not, by whatever hides them: those who do not see them keep
    /// their bits.
    #[test]
    fn who_does_not_see_a_key_keeps_every_bit(
        draw in draws(40), (rows, size) in rows_or_many_keys(60, 200), pick: usize, in_value: bool, bad in proptest::sample::select(BAD.to_vec()),
    ) {
        let Some(clean) = moderate(draw, rows, size) else { return Ok(()) };
        let mut spoiled = clean.clone();
        let key = pick % clean.n_k();
        spoil(if in_value { &mut spoiled.v } else { &mut spoiled.k }, key, bad);
        assert_bits_without(&clean, &spoiled, key);
    }

    /// Who sees a key that is no number gets what the definition says: NaN, or, from a logit of -inf, what there would be
    /// without that key.
    #[test]
    fn a_visible_key_that_is_no_number_gives_what_the_definition_says(
        draw in draws(40), (rows, size) in rows_or_many_keys(60, 200), pick: usize, bad in proptest::sample::select(BAD[..3].to_vec()),
    ) {
        let Some(mut problem) = moderate(draw, rows, size) else { return Ok(()) };
        let key = pick % problem.n_k();
        spoil(&mut problem.k, key, bad);
        problem.check();
    }

    #[test]
    fn a_key_of_few_that_is_no_number_gives_what_the_definition_says(
        (draw, size) in draws_of_few_keys(), pick: usize, bad in proptest::sample::select(BAD[..3].to_vec()),
    ) {
        let Some(mut problem) = moderate(draw, Rows::One, size) else { return Ok(()) };
        let key = pick % problem.n_k();
        spoil(&mut problem.k, key, bad);
        problem.check();
    }

    /// A value that is no number makes the result of who sees it no number, but not the sum.
    #[test]
    fn a_visible_value_that_is_no_number_reaches_the_result(
        draw in draws(40), (rows, size) in rows_or_many_keys(60, 200), pick: usize, bad in proptest::sample::select(BAD[..3].to_vec()),
    ) {
        let Some(clean) = moderate(draw, rows, size) else { return Ok(()) };
        let mut problem = clean.clone();
        let key = pick % clean.n_k();
        spoil(&mut problem.v, key, bad);
        let truths = Truths::of(&clean);
        every_level(|engine| {
            let (answer, truth) = (problem.run(engine), truths.at(engine));
            let what = format!("{} key {key} {problem:?}", engine.level());
            bound::assert_within(&what, &answer.lse.mat(), &truth.expected.lse, &truth.bounds.lse);
            for (span, at, row) in places(&clean) {
                let j = key.wrapping_sub(span.keys.start);
                let sees = j < span.keys.len() && clean.form.sees(&span, at, j);
                let out = &answer.out.view().row(row)[clean.form.out_columns(at.head)];
                // A weight that underflows times infinity is NaN.
                let fits = |x: f32| if sees { x.is_nan() || x == bad } else { x.is_finite() };
                assert!(out.iter().all(|&x| fits(x)), "{what} {at:?} {span:?} {out:?}");
            }
        });
    }

    /// The same for one element of the bias.
    #[test]
    fn a_bias_that_is_no_number_reaches_who_sees_it(
        draw in draws(40), (rows, size) in rows_or_many_keys(60, 200), pick: usize, bad in proptest::sample::select(BAD[..3].to_vec()),
    ) {
        let mut draw = draw;
        draw.terms.bias = true;
        let Some(clean) = moderate(draw, rows, size) else { return Ok(()) };
        let mut spoiled = clean.clone();
        let Some(bias) = &mut spoiled.form.bias else { return Ok(()) };
        prop_assume!(!bias.data.is_empty());
        let spoiled_at = pick % bias.data.len();
        bias.data[spoiled_at] = bad;
        spoiled.check();
        let index = |span: &Span, at: Place, j| {
            let bias = clean.form.bias.as_ref().unwrap();
            bias.index([span.sequence, at.head, at.query, j])
        };
        every_level(|engine| {
            let (before, after) = (clean.run(engine), spoiled.run(engine));
            for (span, at, row) in places(&clean) {
                let meets = |j| clean.form.sees(&span, at, j) && index(&span, at, j) == spoiled_at;
                if !(0..span.keys.len()).any(meets) {
                    let [before, after] = [(&clean, &before), (&spoiled, &after)].map(|(p, x)| bits(p, x, at, row));
                    assert_eq!(before, after, "{} {at:?} {span:?} {clean:?}", engine.level());
                }
            }
        });
    }

    /// Queries share registers; yet each is on its own.
    #[test]
    fn a_query_keeps_its_bits_whatever_stands_beside_it(draw in draws(40), (rows, size) in rows_or_many_keys(60, 200), seed: u64) {
        let Some(clean) = moderate(draw, rows, size) else { return Ok(()) };
        let (mut spoiled, mut rng) = (clean.clone(), Rng::new(seed));
        let bad: Vec<bool> = (0..clean.n_q()).map(|_| rng.below(3) == 0).collect();
        for (row, _) in bad.iter().enumerate().filter(|(_, bad)| **bad) {
            spoil(&mut spoiled.q, row, [f32::NAN, f32::INFINITY, 1e4, 0.0][rng.below(4)]);
        }
        every_level(|engine| {
            let (before, after) = (clean.run(engine), spoiled.run(engine));
            for (row, _) in bad.iter().enumerate().filter(|(_, bad)| !**bad) {
                assert_eq!(before.row_bits(row), after.row_bits(row), "{} query {row} {clean:?}", engine.level());
            }
        });
    }

    /// A bias of -inf hides a key and its value as a mask does.
    #[test]
    fn a_bias_of_minus_infinity_is_a_mask(draw in draws(40), (rows, size) in rows_or_many_keys(60, 200), one_in in 1_usize..6, seed: u64) {
        let mut draw = draw;
        (draw.terms.bias, draw.sight.mask) = (false, None);
        let Some(open) = moderate(draw, rows, size) else { return Ok(()) };
        let spans = open.form.spans(open.n_q(), open.n_k());
        let sizes = [spans.len(), open.form.heads, open.n_q(), open.n_k()];
        let hidden = |[s, h, i, j]: [usize; 4]| {
            Rng::new(seed ^ (((s * 31 + h) * 1009 + i) * 10_007 + j) as u64).below(one_in + 1) == 0
        };
        let by_mask = Form { mask: Some(Broadcast::new(sizes, Layout::FULL, true, |at| !hidden(at))), ..open.form.clone() };
        // Hidden or not, one value is no number.
        let mut open = open;
        let key = seed as usize % open.n_k();
        spoil(&mut open.v, key, f32::NAN);
        let weight = |at| if hidden(at) { f32::NEG_INFINITY } else { 0.0 };
        let by_bias = Form { bias: Some(Broadcast::new(sizes, Layout::FULL, 0.0, weight)), ..open.form.clone() };
        let truth = Problem { form: by_mask, ..open.clone() };
        let truths = Truths::of(&truth);
        let problem = Problem { form: by_bias, ..open };
        every_level(|engine| problem.run(engine).check(&format!("{} {problem:?}", engine.level()), truths.at(engine)));
    }
}
