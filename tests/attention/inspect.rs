//! Weights shown piece by piece, and what each key gets of them: against their definition, over the product of all options.

use std::ops::Range;

use crate::common::attend::Problem;
use crate::common::attend::broadcast::Broadcast;
use crate::common::attend::draw::{Draw, draws, rows_or_many_keys};
use crate::common::attend::form::{Form, Rows};
use crate::common::attend::weights::{Weights, shown, started};
use crate::common::bound::assert_within;
use crate::common::data::{Rng, Values};
use crate::common::memory::{Bytes, Strided};
use crate::common::pools::every_pool;
use crate::common::stored::{DTYPES, Stored};
use crate::common::{cases, every_level};
use proptest::prelude::*;
use selfattn::{Engine, MatRef};

/// Some of so many, by two numbers; often all of them.
fn some_of(count: usize, picks: [usize; 2]) -> Range<usize> {
    if picks[0].is_multiple_of(3) {
        return 0..count;
    }
    let start = picks[0] % (count + 1);
    start..start + picks[1] % (count - start + 1)
}

fn scratch(engine: Engine<'_>, problem: &Problem) -> Bytes {
    Bytes::new(engine.inspection_scratch(&problem.form.options()).unwrap(), 1)
}

/// With the logarithms of the sums, or without.
fn weights(
    engine: Engine<'_>,
    problem: &Problem,
    lse: Option<MatRef<'_>>,
    queries: &Range<usize>,
    heads: &Range<usize>,
) -> Weights {
    let options = problem.form.options();
    let inspection = problem.inspection(&options, lse).queries(queries.clone()).heads(heads.clone());
    shown(engine, problem, &inspection, &mut scratch(engine, problem))
}

fn mass(
    engine: Engine<'_>,
    problem: &Problem,
    lse: Option<MatRef<'_>>,
    queries: &Range<usize>,
    heads: &Range<usize>,
    rows: usize,
) -> Strided {
    let options = problem.form.options();
    let inspection = problem.inspection(&options, lse).queries(queries.clone()).heads(heads.clone());
    let mut out = started(rows, problem.n_k());
    engine.attention_mass(&inspection, out.view_mut(), &mut scratch(engine, problem)).unwrap();
    out.assert_guards();
    out
}

/// Every number of rows that divides the heads.
fn divisors(heads: usize) -> impl Iterator<Item = usize> {
    (1..=heads).filter(move |rows| heads.is_multiple_of(*rows))
}

/// Both, with and without the logarithms, against the definition.
fn check(problem: &Problem, queries: &Range<usize>, heads: &Range<usize>) {
    every_level(|engine| {
        let sums = problem.run(engine).lse;
        for lse in [None, Some(sums.view())] {
            let what = format!("{} {queries:?} of {heads:?}, {}: {problem:?}", engine.level(), lse.is_some());
            let truth = problem.weights(engine, lse.is_some());
            truth.check(&what, &weights(engine, problem, lse, queries, heads), queries, heads);
            for rows in divisors(heads.len()) {
                let start = started(rows, problem.n_k()).mat();
                let [expected, bounds] = truth.mass(queries, heads, &start);
                let got = mass(engine, problem, lse, queries, heads, rows);
                assert_within(&format!("mass in {rows} rows of {what}"), &got.mat(), &expected, &bounds);
            }
        }
    });
}

const BAD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn weights_and_mass_are_within_the_bound(
        draw in draws(70), (rows, size) in rows_or_many_keys(60, 200), picks: [[usize; 2]; 2],
    ) {
        let problem = draw.problem(rows, size);
        check(&problem, &some_of(size[0], picks[0]), &some_of(problem.form.heads, picks[1]));
    }

    /// A key that is no number makes the weights of those who see it what the definition says, and no others.
    #[test]
    fn a_key_that_is_no_number_is_seen_by_those_who_see_it(
        draw in draws(40), (rows, size) in rows_or_many_keys(60, 150), pick: usize, bad in proptest::sample::select(BAD.to_vec()),
    ) {
        prop_assume!(size[1] > 0);
        // Numbers that vanish when they are scaled would make NaN of an infinity.
        let mut problem = Draw { values: Values::Unit, ..draw }.problem(rows, size);
        let columns = problem.k.matrix().cols();
        (0..columns).for_each(|j| problem.k.set(pick % size[1], j, bad));
        check(&problem, &(0..size[0]), &(0..problem.form.heads));
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn threads_do_not_change_a_bit(draw in draws(70), (rows, size) in rows_or_many_keys(100, 300), picks: [[usize; 2]; 2]) {
        let problem = draw.problem(rows, size);
        let (queries, heads) = (some_of(size[0], picks[0]), some_of(problem.form.heads, picks[1]));
        every_level(|engine| {
            let sums = problem.run(engine).lse;
            for lse in [None, Some(sums.view())] {
                for rows in divisors(heads.len()) {
                    let expected = mass(engine, &problem, lse, &queries, &heads, rows).bits();
                    for (name, pool) in &every_pool() {
                        let got = mass(engine.with_pool(&**pool), &problem, lse, &queries, &heads, rows);
                        assert_eq!(got.bits(), expected, "{} {name} {queries:?} {heads:?} {problem:?}", engine.level());
                    }
                }
            }
        });
    }
}

/// One query after the other, the sums going on from each other: what a cache that is thinned out does.
#[test]
fn mass_goes_on_from_call_to_call() {
    let mut problem = Draw { group: 3, ..Draw::plain(2, 12, 5) }.problem(Rows::One, [40, 90]);
    problem.form.causal = true;
    every_level(|engine| {
        let (options, mut scratch) = (problem.form.options(), scratch(engine, &problem));
        let mut out = started(2, 90);
        for row in 0..40 {
            let inspection = problem.inspection(&options, None).queries(row..row + 1);
            engine.attention_mass(&inspection, out.view_mut(), &mut scratch).unwrap();
        }
        let truth = problem.weights(engine, false);
        let [expected, bounds] = truth.mass(&(0..40), &(0..6), &started(2, 90).mat());
        assert_within(engine.level().name(), &out.mat(), &expected, &bounds);
    });
}

/// Every number of queries around a block, whatever is beside it.
#[test]
fn every_tail_of_queries() {
    for n in 0..=2 * selfattn::Level::detect().tile().1 + 1 {
        let draw = Draw { group: 1 + n % 3, ..Draw::plain(1, 5, n as u64) };
        let mut problem = draw.problem(Rows::One, [n, 20 + n % 60]);
        problem.form.causal = n % 2 == 0;
        check(&problem, &(n / 3..n), &(0..problem.form.heads));
    }
}

/// q = 0: each of very many keys gets the same weight of every query.
#[test]
fn uniform_weights_of_very_many_keys() {
    let n_k = 65_536;
    for dtype in DTYPES {
        let mut rng = Rng::new(4);
        let k = Stored::new(dtype, [n_k, 2], 0, 0, |_, _| rng.unit());
        for n_q in [1, 20] {
            let q = Stored::new(dtype, [n_q, 8], 0, 0, |_, _| 0.0);
            let problem = Problem { form: Form { kv_heads: 1, ..Form::new(4, 2) }, q, v: k.clone(), k: k.clone() };
            every_level(|engine| {
                let sums = problem.run(engine).lse;
                for lse in [None, Some(sums.view())] {
                    let options = problem.form.options();
                    let (mut scratch, mut out) = (scratch(engine, &problem), vec![0.0; n_k]);
                    let inspection = problem.inspection(&options, lse);
                    // The logarithm is 11.1, of which an ULP is 9.5e-7.
                    let allowed = if lse.is_some() { 1.2e-6 } else { 1e-6 };
                    let near = |x: &[f32], y: f64| {
                        let (least, most) = (y * (1.0 - allowed), y * (1.0 + allowed));
                        x.iter().all(|&x| (least..=most).contains(&x.into()))
                    };
                    let mut each = |piece: selfattn::AttentionWeights<'_>| {
                        let one = 1.0 / n_k as f64;
                        assert!(near(piece.weights, one), "{} {dtype:?} {piece:?}", engine.level());
                    };
                    engine.attention_weights(&inspection, &mut scratch, &mut each).unwrap();
                    let row = selfattn::MatMut::new(&mut out, 1, n_k).unwrap();
                    engine.attention_mass(&inspection, row, &mut scratch).unwrap();
                    let all = (4 * n_q) as f64 / n_k as f64;
                    assert!(near(&out, all), "{} {dtype:?} {}", engine.level(), out[0]);
                }
            });
        }
    }
}

/// Logits of +-1e30: those who share the largest share all of the weight.
#[test]
fn huge_logits_give_all_to_the_largest() {
    let winner = |j: usize| j % 64 == 1;
    for dtype in DTYPES {
        for (n_q, n_k) in [(1, 2), (50, 5), (50, 130), (1, 300), (50, 300)] {
            let winners = (0..n_k).filter(|&j| winner(j)).count() as f64;
            let column = |rows, fill: &dyn Fn(usize) -> f32| Stored::new(dtype, [rows, 1], 0, 0, |i, _| fill(i));
            let k = column(n_k, &|j| if winner(j) { 1.0 } else { -1.0 });
            let form = Form { scale: f64::from(1e30_f32), ..Form::new(1, 1) };
            let problem = Problem { form, q: column(n_q, &|_| 1.0), v: k.clone(), k };
            every_level(|engine| {
                let weights = weights(engine, &problem, None, &(0..n_q), &(0..1));
                let share = |j| if winner(j) { 1.0 / winners } else { 0.0 };
                let near = |j: usize, x: f64| (x - share(j)).abs() <= 1e-7;
                let what = format!("{} {dtype:?} {n_q} x {n_k}", engine.level());
                assert!((0..n_q).all(|i| weights[0].row(i).iter().enumerate().all(|(j, x)| near(j, *x))), "{what}");
            });
        }
    }
}

/// Nothing to see: nothing is shown by place, zeros by a mask; the mass stays what it is.
#[test]
fn who_sees_nothing_gives_nothing() {
    let plain = Draw::plain(2, 6, 4);
    for (size, mask, offset) in [([50, 0], None, None), ([50, 70], Some(false), None), ([50, 70], None, Some(200))] {
        let mut problem = plain.problem(Rows::One, size);
        problem.form.mask = mask.map(|seen| Broadcast { data: vec![seen], strides: [0; 4] });
        (problem.form.query_offset, problem.form.window) = (offset, [offset.map(|_| 9), None]);
        every_level(|engine| {
            let mut pieces = 0;
            let (options, mut scratch) = (problem.form.options(), scratch(engine, &problem));
            let mut each = |piece: selfattn::AttentionWeights<'_>| {
                assert!(piece.weights.iter().all(|x| x.to_bits() == 0), "{} {piece:?}", engine.level());
                pieces += 1;
            };
            engine.attention_weights(&problem.inspection(&options, None), &mut scratch, &mut each).unwrap();
            assert_eq!(pieces > 0, mask.is_some(), "{}", engine.level());
            let out = mass(engine, &problem, None, &(0..50), &(0..2), 2);
            assert_eq!(out.bits(), started(2, size[1]).bits(), "{}", engine.level());
        });
    }
}

/// A hundred thousand keys in the scratch of a thousand, and right.
#[test]
fn very_many_keys_need_no_more_scratch() {
    every_level(|engine| {
        let of = |n_k| Draw { group: 2, ..Draw::plain(1, 8, 7) }.problem(Rows::One, [3, n_k]);
        let mut scratch = scratch(engine, &of(1000));
        assert!(scratch.len() < 100_000, "less than a byte a key");
        for problem in [of(1000), of(100_000)] {
            let options = problem.form.options();
            let inspection = problem.inspection(&options, None);
            let truth = problem.weights(engine, false);
            let what = format!("{} {problem:?}", engine.level());
            truth.check(&what, &shown(engine, &problem, &inspection, &mut scratch), &(0..3), &(0..2));
            let mut out = started(2, problem.n_k());
            engine.attention_mass(&inspection, out.view_mut(), &mut scratch).unwrap();
            let [expected, bounds] = truth.mass(&(0..3), &(0..2), &started(2, problem.n_k()).mat());
            assert_within(&what, &out.mat(), &expected, &bounds);
        }
    });
}

/// The state of the scratch has no influence.
#[test]
fn dirty_scratch_gives_the_same_bits() {
    let draw = Draw { group: 2, ..Draw::plain(2, 7, 1) };
    let mut problem = draw.problem(Rows::One, [30, 100]);
    (problem.form.causal, problem.form.alibi) = (true, Some(vec![0.1, 0.2, 0.3, 0.4]));
    every_level(|engine| {
        let options = problem.form.options();
        let of = |scratch: &mut [u8]| {
            let mut out = started(4, 100);
            engine.attention_mass(&problem.inspection(&options, None), out.view_mut(), scratch).unwrap();
            (out.bits(), shown(engine, &problem, &problem.inspection(&options, None), scratch))
        };
        let mut clean = scratch(engine, &problem);
        clean.fill(0);
        assert_eq!(of(&mut clean), of(&mut scratch(engine, &problem)), "{}", engine.level());
    });
}
