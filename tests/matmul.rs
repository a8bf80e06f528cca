//! Matrix product against the naive f64 one: every level, pair of storage types, form of weights, tail, stride and epilogue.

mod common;

use common::bound;
use common::cases;
use common::data::{Rng, Values};
use common::every_level;
use common::memory::Strided;
use common::oracle::{self, Mat};
use common::product::{Case, any_case, bits, check, every_form, product};
use common::stored::{BothOrders, Stored, type_pairs};
use proptest::prelude::*;
use selfattn::{Activation, Dtype, Epilogue, MatRef};

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn f32_activations_are_within_the_bound(case in any_case(Dtype::F32)) {
        check(&case);
    }

    #[test]
    fn f16_activations_are_within_the_bound(case in any_case(Dtype::F16)) {
        check(&case);
    }

    #[test]
    fn bf16_activations_are_within_the_bound(case in any_case(Dtype::Bf16)) {
        check(&case);
    }

    #[test]
    fn a_row_of_f32_alone_has_the_bits_it_has_among_others(case in any_case(Dtype::F32)) {
        check_alone(&case);
    }

    #[test]
    fn a_row_of_f16_alone_has_the_bits_it_has_among_others(case in any_case(Dtype::F16)) {
        check_alone(&case);
    }

    #[test]
    fn a_row_of_bf16_alone_has_the_bits_it_has_among_others(case in any_case(Dtype::Bf16)) {
        check_alone(&case);
    }
}

/// The bits of an element depend on its row of A and its weights, and on nothing else.
fn check_alone(case: &Case) {
    let operands = case.operands();
    let [m, k, n] = case.size;
    if m == 0 || n == 0 {
        return;
    }
    let (i, j) = (case.seed as usize % m, case.seed as usize / 7 % n);
    let (a, w) = (operands.a.mat(), operands.weights.mat());
    let row = Stored::of(case.types[0], &a.rows(i, 1));
    let later = BothOrders::new(Stored::of(case.types[1], &w.rows(j, n - j)), 0, 0);
    let column = BothOrders::new(Stored::of(case.types[1], &w.rows(j, 1)), 0, 0);
    every_level(|engine| {
        every_form(engine, &operands.weights, |form, weights| {
            let what = format!("row {i}, column {j}, {} {form} {case:?}", engine.level());
            let whole = bits(engine, &operands.a, weights);
            every_form(engine, &later, |form, weights| {
                assert_eq!(bits(engine, &row, weights), whole[i * n + j..(i + 1) * n], "{form} alone: {what}");
            });
            every_form(engine, &column, |form, weights| {
                assert_eq!(bits(engine, &row, weights), [whole[i * n + j]], "{form} alone, {k} steps: {what}");
            });
        });
    });
}

/// All tails of all three dimensions at once, without chance: 0..=4 * lanes + 1 columns of B and of A.
#[test]
fn every_tail_is_right() {
    let lanes = selfattn::Level::detect().lanes();
    for width in 0..=4 * lanes + 1 {
        for types in type_pairs() {
            check(&Case {
                size: [width % 19, width, 4 * lanes + 1 - width],
                types,
                gap: width % 2,
                offset: width % lanes,
                values: Values::Unit,
                bias: true,
                activation: Activation::None,
                residual: true,
                seed: width as u64,
            });
        }
    }
}

#[test]
fn without_steps_of_k_the_epilogue_remains() {
    let (bias, residual) = ([-1.0, 2.0, -3.0], Strided::dense(2, 3, |i, j| (10 * i + j) as f32));
    let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Relu, residual: Some(residual.view()) };
    for [a, w] in type_pairs() {
        let (a, weights) = (Stored::unit(a, [2, 0], 1), BothOrders::new(Stored::unit(w, [3, 0], 1), 0, 0));
        every_level(|engine| {
            every_form(engine, &weights, |_, weights| {
                let mut out = Strided::unwritten(2, 3, 1, 0);
                product(engine, a.matrix(), weights, &epilogue, out.view_mut());
                assert_eq!(out.mat().data, [0.0, 3.0, 2.0, 10.0, 13.0, 12.0]);
                product(engine, a.matrix(), weights, &Epilogue::default(), out.view_mut());
                assert_eq!(out.mat().data, [0.0; 6]);
                out.assert_guards();
            });
        });
    }
}

/// NaN and infinity reach what they are multiplied with, as in the naive product, and nothing else. The steps are odd in
/// number: what a last pair is filled up with must not meet an infinity.
#[test]
fn values_that_are_not_finite_stay_in_their_row() {
    for ([a_type, w_type], (at, bad)) in type_pairs().flat_map(|types| {
        [(0, f32::NAN), (7, f32::INFINITY), (18, f32::NEG_INFINITY), (18, f32::INFINITY)].map(|bad| (types, bad))
    }) {
        let mut rng = Rng::new(3);
        // NaN stands between the rows, where a pair that reads too far would find it.
        let mut a = Stored::new(a_type, [9, 19], 2, 1, |_, _| 1.0 + rng.unit());
        let mut weights = Stored::new(w_type, [21, 19], 2, 1, |_, j| if j == 5 { 0.0 } else { 1.0 });
        a.set(4, at, bad);
        a.set(8, 5, f32::INFINITY); // times 0 is NaN
        weights.set(11, 18, f32::INFINITY);
        weights.set(20, 0, f32::NAN);
        let expected = oracle::matmul(&a.mat(), &weights.mat());
        let bounds = Mat::new(9, 21, |_, _| bound::dot_of_pairs(19, 38.0));
        let weights = BothOrders::new(weights, 1, 0);
        every_level(|engine| {
            every_form(engine, &weights, |form, weights| {
                let mut out = Strided::unwritten(9, 21, 2, 0);
                product(engine, a.matrix(), weights, &Epilogue::default(), out.view_mut());
                let what = format!("{} {a_type:?} {w_type:?} {form} {bad} at {at}", engine.level());
                bound::assert_within(&what, &out.mat(), &expected, &bounds);
            });
        });
    }
}

/// A last step without its pair, of one and two rows and more, and of infinities on both sides.
#[test]
fn an_odd_last_step_of_infinities_is_infinite() {
    for ([a_type, w_type], k) in type_pairs().flat_map(|types| [1, 3, 5, 2049].map(|k| (types, k))) {
        let infinite = |j: usize, x: f32| if j == k - 1 { x } else { 0.0 };
        for (left, right) in [(f32::INFINITY, 1.0), (1.0, f32::NEG_INFINITY), (f32::INFINITY, f32::INFINITY)] {
            let weights = Stored::new(w_type, [150, k], 1, 0, |_, j| infinite(j, right));
            let weights = BothOrders::new(weights, 1, 0);
            for m in [1, 2, 9] {
                let a = Stored::new(a_type, [m, k], 1, 0, |_, j| infinite(j, left));
                every_level(|engine| {
                    every_form(engine, &weights, |form, weights| {
                        let what = format!("{} {a_type:?} {w_type:?} {form} {m} x {k}", engine.level());
                        assert_eq!(bits(engine, &a, weights), vec![(left * right).to_bits(); m * 150], "{what}");
                    });
                });
            }
        }
    }
}

#[test]
fn activations_convert_into_a_matrix_of_their_type() {
    let (x, w) = ([half::bf16::ONE; 2], [half::f16::ONE; 2]);
    let weights = selfattn::Matrix::from(MatRef::new(&w, 1, 2).unwrap()).into();
    every_level(|engine| {
        let mut out = Strided::unwritten(1, 1, 0, 0);
        product(engine, MatRef::new(&x, 1, 2).unwrap(), &weights, &Epilogue::default(), out.view_mut());
        assert_eq!(out.mat().data, [2.0]);
    });
}
