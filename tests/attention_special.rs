//! Attention at its edges: nothing to see, masked and visible NaN, huge logits, very many keys.

mod common;

use common::attend::Problem;
use common::data::Rng;
use common::every_level;
use common::memory::{Bytes, Strided};
use proptest::prelude::*;
use selfattn::{Attention, Engine};

fn random(rows: usize, cols: usize, seed: u64) -> Strided {
    let mut rng = Rng::new(seed);
    Strided::dense(rows, cols, |_, _| 2.0 * rng.unit())
}

fn self_attention(rows: usize, dim: usize) -> Problem {
    Problem::of(random(rows, dim, 1), random(rows, dim, 2), random(rows, dim, 3))
}

#[test]
fn without_keys_the_result_is_zero() {
    for n_q in [0, 1, 5, 100] {
        let problem = Problem::of(random(n_q, 12, 1), random(0, 12, 2), random(0, 12, 3));
        every_level(|engine| assert!(problem.run(engine).bits().iter().all(|&bits| bits == 0), "{}", engine.level()));
    }
}

/// More queries than keys: the last query sees every key, the first ones none.
#[test]
fn queries_before_the_first_key_give_zeros() {
    let problem = Problem { causal: true, ..Problem::of(random(70, 8, 1), random(20, 8, 2), random(20, 8, 3)) };
    problem.check();
    every_level(|engine| {
        let out = problem.run(engine);
        assert!((0..50).all(|i| out.row_bits(i).iter().all(|&bits| bits == 0)), "{}", engine.level());
        assert!((50..70).all(|i| out.view().row(i).iter().all(|&x| x != 0.0)), "{}", engine.level());
    });
}

#[test]
fn one_key_gives_its_value() {
    for dim in [1, 7, 16, 65] {
        let problem = Problem::of(random(50, dim, 1), random(1, dim, 2), random(1, dim, 3));
        every_level(|engine| {
            let out = problem.run(engine);
            assert!((0..50).all(|i| out.row_bits(i) == problem.v.row_bits(0)), "{} {dim}", engine.level());
        });
    }
}

proptest! {
    #![proptest_config(common::cases(200))]

    /// A key and value that are not numbers reach the queries that see them, and no other: not by a bit.
    #[test]
    fn what_is_masked_has_no_influence(
        n in 1_usize..150, pick: usize, in_value: bool, bad in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(-f32::INFINITY)],
    ) {
        let clean = Problem { causal: true, ..self_attention(n, 9) };
        let at = pick % n;
        let mut spoiled = clean.clone();
        let operand = if in_value { &mut spoiled.v } else { &mut spoiled.k };
        (0..9).for_each(|j| operand.set(at, j, bad));
        let (expected, bounds) = spoiled.expected();
        every_level(|engine| {
            let (before, after) = (clean.run(engine), spoiled.run(engine));
            for i in 0..at {
                assert_eq!(before.row_bits(i), after.row_bits(i), "{} query {i} of {n}, key {at}", engine.level());
            }
            // Infinite keys may give a logit of -inf, and an infinite value has the sign it has: the oracle knows.
            common::bound::assert_within(&format!("{} {n} {at}", engine.level()), &after.mat(), &expected, &bounds);
        });
    }
}

#[test]
fn a_nan_or_infinity_in_a_visible_logit_makes_the_whole_row_nan() {
    let clean = Problem::of(random(60, 1, 1), random(200, 1, 2), random(200, 20, 3));
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
        for at in [0, 1, 63, 127, 128, 199] {
            let mut spoiled = clean.clone();
            spoiled.k.set(at, 0, bad);
            // The logit is +inf where the query is positive; else -inf, which counts as masked. NaN is NaN for all.
            spoiled.q =
                Strided::dense(60, 1, |i, _| if i % 3 == 0 { 1.0 + i as f32 * 0.1 } else { -1.0 - i as f32 * 0.1 });
            spoiled.check();
            every_level(|engine| {
                let out = spoiled.run(engine);
                for i in 0..60 {
                    let all_nan = out.view().row(i).iter().all(|x| x.is_nan());
                    assert_eq!(all_nan, bad.is_nan() || i % 3 == 0, "{} {bad} at {at}, query {i}", engine.level());
                }
            });
        }
    }
}

#[test]
fn a_query_whose_logits_are_all_minus_infinity_sees_nothing() {
    let q = Strided::dense(40, 1, |i, _| if i % 2 == 0 { -1.0 } else { 1.0 });
    // Even queries have a logit of -inf for every key, odd ones +inf.
    let problem = Problem::of(q, Strided::dense(150, 1, |_, _| f32::INFINITY), random(150, 5, 3));
    problem.check();
    every_level(|engine| {
        let out = problem.run(engine);
        assert!((0..40).step_by(2).all(|i| out.row_bits(i).iter().all(|&bits| bits == 0)), "{}", engine.level());
    });
}

/// Logits of +-1e30: the largest take all. Where several share the maximum, they share alike.
#[test]
fn huge_logits_pick_the_largest() {
    for n_k in [2, 5, 130, 300] {
        let winner = |j: usize| j % 64 == 1;
        let k = Strided::dense(n_k, 1, |j, _| if winner(j) { 1e15 } else { -1e15 });
        let v = Strided::dense(n_k, 3, |j, c| if winner(j) { 2.0 + c as f32 } else { 1e4 });
        let q = Strided::dense(50, 1, |i, _| if i % 2 == 0 { 1e15 } else { 1e-20 });
        let problem = Problem { scale: 1.0, ..Problem::of(q, k, v) };
        every_level(|engine| {
            let out = problem.run(engine);
            for i in (0..50).step_by(2) {
                assert_eq!(out.view().row(i), [2.0, 3.0, 4.0], "{} {n_k}", engine.level());
            }
            assert!(out.mat().data.iter().all(|x| x.is_finite()));
        });
    }
}

/// q = 0 and v = 1: the mean of as many ones. An accumulator of half precision fails here.
#[test]
fn uniform_attention_over_very_many_keys_is_one() {
    for n_k in [4096, 16_384, 65_536] {
        let ones = Strided::dense(n_k, 2, |_, _| 1.0);
        let problem = Problem::of(Strided::dense(3, 2, |_, _| 0.0), random(n_k, 2, 4), ones);
        every_level(|engine| {
            let out = problem.run(engine);
            assert!(out.mat().data.iter().all(|x| (x - 1.0).abs() <= 1e-6), "{} {n_k} {out:?}", engine.level());
        });
    }
}

/// A hundred thousand keys in the scratch of a thousand, and right.
#[test]
fn very_many_keys_need_no_more_scratch() {
    let problems = [1000, 100_000].map(many_keys);
    let expected = problems.each_ref().map(Problem::expected);
    every_level(|engine| {
        let mut scratch = Bytes::new(engine.attention_scratch(&problems[0].options()).unwrap(), 0);
        assert!(scratch.len() < 100_000, "less than a byte a key");
        for (problem, (expected, bounds)) in problems.iter().zip(&expected) {
            let got = problem.run_in(engine, &mut scratch).mat();
            common::bound::assert_within(&format!("{} {problem:?}", engine.level()), &got, expected, bounds);
        }
    });
}

/// Most keys have a weight of about 1 / `n_k`, which the bound over so many would not miss. Those at the edges of blocks, and
/// the last ones, have some per cent each.
fn many_keys(n_k: usize) -> Problem {
    let heavy = |j: usize| j.is_multiple_of(4096) || j % 4096 == 4095 || j + 20 >= n_k;
    let (q, v) = (Strided::dense(3, 16, |i, j| if j % 8 == 0 { 1.0 } else { 0.1 * i as f32 }), random(n_k, 16, 9));
    let (plain, weight) = (random(n_k, 16, 10), (n_k as f32 / 30.0).ln());
    let k = Strided::dense(n_k, 16, |j, c| if c % 8 == 0 && heavy(j) { weight } else { 0.3 * plain.view().row(j)[c] });
    Problem { heads: 2, head_dim: 8, value_dim: 8, scale: 1.0, ..Problem::of(q, k, v) }
}

/// A maximum that keeps rising, by less and by more than what is put up with before the output is rescaled.
#[test]
fn rising_logits_are_rescaled_in_time() {
    for step in [0.001, 0.02, 0.1, 0.5, 3.0, 40.0] {
        let k = Strided::dense(1000, 1, |j, _| j as f32 * step - 100.0);
        let q = Strided::dense(20, 1, |i, _| (i as f32 - 10.0) * 0.1);
        Problem { scale: 1.0, ..Problem::of(q, k, random(1000, 3, 5)) }.check();
    }
}

/// Queries share registers, and their maxima rise at different times; yet each is on its own.
#[test]
fn a_query_alone_has_the_bits_it_has_among_others() {
    let k = Strided::dense(700, 1, |j, _| j as f32 * 0.1 - 30.0);
    let q = Strided::dense(61, 1, |i, _| (i as f32 - 30.0) * 0.1);
    let all = Problem { scale: 1.0, ..Problem::of(q, k, random(700, 5, 5)) };
    every_level(|engine| {
        let together = all.run(engine);
        for i in 0..61 {
            let q = Strided::dense(1, 1, |_, _| all.q.view().row(i)[0]);
            let alone = Problem { q, ..all.clone() }.run(engine);
            assert_eq!(alone.bits(), together.row_bits(i), "{} query {i}", engine.level());
        }
    });
}

#[test]
fn the_scratch_depends_on_the_head_alone() {
    let engine = Engine::new();
    let bytes = |options: &Attention<'_>| engine.attention_scratch(options).unwrap();
    let (small, large) = (Attention::new(1, 64), Attention::new(16, 64));
    assert_eq!(bytes(&small), bytes(&large), "the number of heads does not matter");
    assert!(bytes(&Attention::new(1, 128)) > bytes(&small));
    assert!(bytes(&small.value_dim(128)) > bytes(&small));
}
