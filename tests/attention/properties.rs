//! Attention against the naive f64 one: every level, random shapes, the product of all options.

use crate::common::attend::draw::{Draw, Hidden, Sight, draws, draws_in_turn, draws_of_few_keys, rows};
use crate::common::attend::form::{Form, Rows};
use crate::common::attend::{Problem, Truths, bound as attend_bound};
use crate::common::data::dimension;
use crate::common::oracle::Mat;
use crate::common::stored::Stored;
use crate::common::{bound, cases, every_level};
use proptest::prelude::*;
use selfattn::Dtype;

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn all_options_together_are_within_the_bound(draw in draws(70), (rows, size) in rows(60, 300)) {
        draw.problem(rows, size).check();
    }

    /// Few queries over many keys: where a decoder spends its time.
    #[test]
    fn few_queries_over_many_keys_are_within_the_bound(draw in draws(130), n_q in 1_usize..4, n_k in 200_usize..1500) {
        draw.problem(Rows::One, [n_q, n_k]).check();
    }
}

proptest! {
    #![proptest_config(cases(50))]

    #[test]
    fn blocks_of_queries_in_turn_are_within_the_bound((draw, size) in draws_in_turn()) {
        draw.problem(Rows::One, size).check();
    }

    #[test]
    fn many_dimensions_of_few_keys_are_within_the_bound((draw, size) in draws_of_few_keys()) {
        draw.problem(Rows::One, size).check();
    }
}

/// Nine blocks of queries where they are widest: one more than tiles have at a time. Not all of them see the same keys.
#[test]
fn nine_blocks_of_queries_are_within_the_bound() {
    for (dim, causal, seed) in [(32, false, 1), (66, true, 2)] {
        let sight = Sight { causal, mask: (!causal).then_some(Hidden::Blocks), ..Sight::default() };
        Draw { types: [Dtype::Bf16; 3], sight, ..Draw::plain(1, dim, seed) }.problem(Rows::One, [400, 420]).check();
    }
}

/// As few queries as the plain algorithm is for, whole blocks of them, and one more.
#[test]
fn every_number_of_queries_of_few_keys_is_within_the_bound() {
    for (i, n_q) in [32, 33, 128, 129, 300].into_iter().enumerate() {
        for types in [[Dtype::F32; 3], [Dtype::F16, Dtype::F32, Dtype::Bf16]] {
            let draw = Draw { types, value_dim: 129, group: 1 + i % 2, ..Draw::plain(2, 128, 3) };
            draw.problem(Rows::One, [n_q, [16, 128, 77][i % 3]]).check();
        }
    }
}

fn assert_bits_of_the_widened(problem: &Problem) {
    let widened = problem.widened();
    every_level(|engine| {
        if problem.arithmetic(engine) == attend_bound::Arithmetic::Widened {
            let [narrow, wide] = [problem, &widened].map(|problem| problem.run(engine).bits());
            assert_eq!(narrow, wide, "{} {problem:?}", engine.level());
        }
    });
}

proptest! {
    #![proptest_config(cases(50))]

    #[test]
    fn narrow_types_of_few_keys_have_the_bits_of_the_widened((draw, size) in draws_of_few_keys()) {
        assert_bits_of_the_widened(&draw.problem(Rows::One, size));
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Values of f16 and bf16 are widened as they are read: the bits are those of the same numbers in f32. Where bf16 is
    /// multiplied in pairs, they are not.
    #[test]
    fn narrow_types_have_the_bits_of_the_widened(draw in draws(70), (rows, size) in rows(60, 200)) {
        assert_bits_of_the_widened(&draw.problem(rows, size));
    }

    /// A query by itself may be computed in another way than in a block, but not to another result.
    #[test]
    fn a_query_alone_is_within_the_bound_of_it_among_others(draw in draws(70), n_q in 1_usize..60, n_k in dimension(300), pick: usize) {
        let i = pick % n_q;
        let mut draw = draw;
        // Before the first key there is no offset for its place.
        draw.sight.query_offset = draw.sight.query_offset.or(n_k.checked_sub(n_q));
        prop_assume!(draw.sight.query_offset.is_some());
        let all = draw.problem(Rows::One, [n_q, n_k]);
        let alone = all.queries(i, 1);
        let truths = Truths::of(&all);
        every_level(|engine| {
            let (together, apart, truth) = (all.run(engine), alone.run(engine), truths.at(engine));
            // Each is within the bound of the truth, so they are within twice the bound of each other.
            let row = |mat: &Mat| mat.rows(i, 1);
            let what = format!("{} query {i} of {all:?}", engine.level());
            let check = |apart: Mat, together: Mat, bounds: &Mat| {
                bound::assert_within(&what, &apart, &row(&together), &row(bounds).map(|bound| 2.0 * bound));
            };
            check(apart.out.mat(), together.out.mat(), &truth.bounds.out);
            check(apart.lse.mat(), together.lse.mat(), &truth.bounds.lse);
        });
    }
}

/// All sizes around a block of queries and around a block of keys, causal and not.
#[test]
fn every_tail_of_queries_and_keys() {
    let lanes = selfattn::Level::detect().lanes();
    for n in 0..=4 * lanes + 1 {
        for causal in [false, true] {
            let mut draw = Draw { value_dim: 3, scale: Some(1.0), gap: 1, ..Draw::plain(1, 5, n as u64) };
            draw.sight.causal = causal;
            for size in [[n, n], [n, 7], [7, n], [n, 133], [2, 2 * n + 100]] {
                draw.problem(Rows::One, size).check();
            }
        }
    }
}

/// Every dimension of a head up to 256, of keys and of values, in every type.
#[test]
fn every_tail_of_dimensions() {
    for dim in 1..=256 {
        let types = [(); 3].map(|()| crate::common::stored::DTYPES[dim % 3]);
        let mut draw = Draw { value_dim: 257 - dim, types, gap: dim % 5, ..Draw::plain(1, dim, dim as u64) };
        draw.group = 1 + dim % 2;
        draw.sight.causal = dim % 4 < 2;
        draw.problem(Rows::One, [1 + dim % 7, 5 + dim % 9]).check();
    }
}

#[test]
fn the_defaults_are_what_they_are_documented_to_be() {
    for dim in [1, 2, 24] {
        let problem = Draw::plain(3, dim, 2).problem(Rows::One, [9, 11]);
        let said = Form { scale: f64::from(1.0 / (dim as f32).sqrt()), ..problem.form.clone() };
        every_level(|engine| {
            let options = said.options().kv_heads(3).value_dim(dim).window(None, None).causal(false).query_offset(2);
            let mut answer = problem.unwritten();
            let [q, k, v] = [&problem.q, &problem.k, &problem.v].map(Stored::matrix);
            let mut scratch = problem.scratch(engine);
            engine.attention(&options, q, k, v, answer.out.view_mut(), &mut scratch).unwrap();
            assert_eq!(answer.out.bits(), problem.run(engine).out.bits(), "{} {dim}", engine.level());
        });
    }
}
