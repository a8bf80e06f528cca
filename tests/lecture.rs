//! The lecture's steps against f64.

mod common;

use common::attend::bound::{Arithmetic, truth};
use common::attend::form::Form;
use common::attend::oracle::Inputs;
use common::bound::{self, gamma};
use common::data::{Rng, dimension};
use common::memory::{Bytes, Strided};
use common::oracle::{self, Mat};
use common::{cases, every_level};
use proptest::prelude::*;
use selfattn::lecture::{cosine, parameter_free, parameter_free_scratch, similarity, similarity_scratch};
use selfattn::{Engine, Error};

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn similarities_are_dot_products(n in dimension(50), d in dimension(400), gap in 0_usize..3, seed: u64) {
        let mut rng = Rng::new(seed);
        let words = Strided::new(n, d, gap, 1, |_, _| rng.unit());
        let x = words.mat();
        let expected = oracle::matmul(&x, &x);
        let bounds = Mat::new(n, n, |i, j| bound::dot(d, oracle::dot_of_magnitudes(x.row(i), x.row(j))));
        every_level(|engine| {
            let mut scratch = Bytes::new(similarity_scratch(&engine, words.view()).unwrap(), 1);
            let mut out = Strided::unwritten(n, n, gap, 2);
            similarity(&engine, words.view(), out.view_mut(), &mut scratch).unwrap();
            bound::assert_within(&format!("{} {n} x {d}", engine.level()), &out.mat(), &expected, &bounds);
            out.assert_guards();
        });
    }

    #[test]
    fn new_words_are_means_weighted_by_similarity(n in dimension(50), d in dimension(400), gap in 0_usize..3, seed: u64) {
        prop_assume!(d > 0);
        let mut rng = Rng::new(seed);
        let words = Strided::new(n, d, gap, 1, |_, _| 0.5 * rng.unit());
        let (x, form) = (words.mat(), Form { scale: 1.0, ..Form::new(1, d) });
        let truth = truth(&form, &Inputs { q: x.clone(), k: x.clone(), v: x }, Arithmetic::Widened);
        every_level(|engine| {
            let mut scratch = Bytes::new(parameter_free_scratch(&engine, words.view()).unwrap(), 1);
            let mut out = Strided::unwritten(n, d, gap, 2);
            parameter_free(&engine, words.view(), out.view_mut(), &mut scratch).unwrap();
            bound::assert_within(&format!("{} {n} x {d}", engine.level()), &out.mat(), &truth.expected.out, &truth.bounds.out);
            out.assert_guards();
        });
    }

    /// Of any length: the squares of the shortest and longest vectors are no f32.
    #[test]
    fn cosines_are_within_the_bound(
        d in 1_usize..400, alike: bool, exponents in (-100_i32..=100, -100_i32..=100), seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let a: Vec<f32> = (0..d).map(|_| rng.unit() * 2_f32.powi(exponents.0)).collect();
        let scale = -2_f64.powi(exponents.1 - exponents.0);
        let b: Vec<f32> = if alike { a.iter().map(|&x| (f64::from(x) * scale) as f32).collect() } else {
            (0..d).map(|_| rng.unit() * 2_f32.powi(exponents.1)).collect()
        };
        let (x, y): (Mat, Mat) = (Mat::of_row(&a), Mat::of_row(&b));
        let [xx, yy] = [&x, &y].map(|x| oracle::dot(x.row(0), x.row(0)));
        prop_assume!(xx > 0.0 && yy > 0.0);
        let expected = oracle::dot(x.row(0), y.row(0)) / (xx * yy).sqrt();
        let magnitudes = oracle::dot_of_magnitudes(x.row(0), y.row(0)) / (xx * yy).sqrt();
        // The error of the dot product, and of its divisor: half that of each square, two roots, product and quotient.
        let allowed = gamma(d + 1) * magnitudes + gamma(d + 6) * expected.abs();
        let got: f64 = cosine(&a, &b).unwrap().into();
        assert!((got - expected).abs() <= allowed, "{got} for {expected}, allowed {allowed:e}: {d} {exponents:?}");
    }
}

#[test]
fn cosines_of_simple_vectors() {
    assert_eq!(cosine(&[3.0, 4.0], &[3.0, 4.0]), Ok(1.0));
    assert_eq!(cosine(&[3.0, 4.0], &[-3.0, -4.0]), Ok(-1.0));
    assert_eq!(cosine(&[3.0, 4.0], &[4.0, -3.0]), Ok(0.0));
    assert_eq!(cosine(&[0.0, 0.0], &[4.0, -3.0]), Ok(0.0));
    assert_eq!(cosine(&[1.0], &[0.0]), Ok(0.0));
    assert_eq!(cosine(&[], &[]), Ok(0.0));
    assert!(cosine(&[f32::NAN, 1.0], &[4.0, -3.0]).unwrap().is_nan());
    assert_eq!(cosine(&[1.0], &[1.0, 2.0]), Err(Error::Shape { arg: "b", expected: 1, got: 2 }));
}

#[test]
fn what_does_not_fit_is_named() {
    let words = Strided::dense(3, 2, |i, j| (i + j) as f32);
    let engine = Engine::new();
    let mut scratch = Bytes::new(1 << 16, 0);

    let mut out = Strided::unwritten(3, 2, 0, 0);
    let error = similarity(&engine, words.view(), out.view_mut(), &mut scratch).unwrap_err();
    assert_eq!(error, Error::Shape { arg: "out", expected: 3, got: 2 });
    out.assert_unwritten();

    let mut out = Strided::unwritten(3, 3, 0, 0);
    let error = parameter_free(&engine, words.view(), out.view_mut(), &mut scratch).unwrap_err();
    assert_eq!(error, Error::Shape { arg: "out", expected: 2, got: 3 });
    let needed = similarity_scratch(&engine, words.view()).unwrap();
    let error = similarity(&engine, words.view(), out.view_mut(), &mut scratch[..needed - 1]).unwrap_err();
    assert_eq!(error, Error::Scratch { needed, got: needed - 1 });
    out.assert_unwritten();

    let mut out = Strided::unwritten(3, 2, 0, 0);
    let needed = parameter_free_scratch(&engine, words.view()).unwrap();
    let error = parameter_free(&engine, words.view(), out.view_mut(), &mut scratch[..needed - 1]).unwrap_err();
    assert_eq!(error, Error::Scratch { needed, got: needed - 1 });
    out.assert_unwritten();

    let nothing = Strided::dense(3, 0, |_, _| 0.0);
    assert_eq!(parameter_free_scratch(&engine, nothing.view()), Err(Error::Value { arg: "head_dim" }));
}
