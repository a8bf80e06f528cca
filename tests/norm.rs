//! Layer normalisation and Euclidean normalisation against f64.

mod common;

use common::bound;
use common::data::{Rng, Values, dimension};
use common::memory::Strided;
use common::oracle::{self, Mat};
use common::pools::every_pool;
use common::{cases, every_level};
use proptest::prelude::*;
use selfattn::{Engine, Error, MatMut};

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f32,
}

impl Norm {
    fn random(len: usize, eps: f32, rng: &mut Rng) -> Self {
        let weight = (0..len).map(|_| 1.0 + rng.unit()).collect();
        Self { weight, bias: (0..len).map(|_| rng.unit()).collect(), eps }
    }

    /// Runs the norm at every level and compares.
    fn check(&self, x: &Strided, gap: usize) {
        let (weight, bias) = (Mat::of_row(&self.weight), Mat::of_row(&self.bias));
        let eps = self.eps.into();
        let expected = x.mat().map_rows(|row| oracle::layer_norm(row, weight.row(0), bias.row(0), eps));
        let bounds = x.mat().map_rows(|row| bound::layer_norm(row, weight.row(0), bias.row(0), eps));
        every_level(|engine| {
            let mut out = Strided::unwritten(x.rows, x.cols, gap, 1);
            engine.layer_norm(x.view(), &self.weight, &self.bias, self.eps, out.view_mut()).unwrap();
            bound::assert_within(&format!("{} {x:?}", engine.level()), &out.mat(), &expected, &bounds);
            out.assert_guards();
        });
    }
}

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn layer_norm_is_within_the_bound(
        rows in 0_usize..5, cols in dimension(400), gap in 0_usize..3, offset in 0_usize..17, values in Values::any(),
        eps in prop_oneof![Just(1e-12_f32), Just(1e-5), Just(0.5)], seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let norm = Norm::random(cols, eps, &mut rng);
        norm.check(&Strided::new(rows, cols, gap, offset, |_, _| values.sample(&mut rng)), gap);
    }

    /// A mean far larger than the deviations from it: the one-pass formula E[x^2] - E[x]^2 would have nothing left.
    #[test]
    fn a_large_mean_does_not_drown_the_variance(cols in 2_usize..200, mean in 100.0_f32..4000.0, seed: u64) {
        let mut rng = Rng::new(seed);
        let norm = Norm::random(cols, 1e-12, &mut rng);
        norm.check(&Strided::dense(1, cols, |_, _| mean + rng.unit()), 0);
    }

    #[test]
    fn normalized_rows_are_within_the_bound(
        rows in 0_usize..5, cols in dimension(400), gap in 0_usize..3, offset in 0_usize..17, values in Values::any(), seed: u64,
    ) {
        // Rows that are tiny from end to end are a test of their own, below.
        let values = if values == Values::Tiny { Values::Unit } else { values };
        let mut rng = Rng::new(seed);
        check_normalize(&Strided::new(rows, cols, gap, offset, |_, _| values.sample(&mut rng)));
    }

    /// The square of such a length is no f32; the length is.
    #[test]
    fn lengths_far_from_one_are_normalized_too(cols in 1_usize..100, exponent in -110_i32..=118, seed: u64) {
        let mut rng = Rng::new(seed);
        check_normalize(&Strided::dense(2, cols, |_, _| rng.unit() * 2_f32.powi(exponent)));
    }
}

fn check_normalize(x: &Strided) {
    let expected = x.mat().map_rows(oracle::normalize);
    // The square is a sum of positive terms; its root has half its relative error and rounds; then a reciprocal, a product.
    let rounding = 0.5 * bound::gamma(x.cols + 1) + bound::gamma(4);
    let bounds = expected.map(|y| y.abs() * rounding + bound::TINY);
    every_level(|engine| {
        let mut y = x.clone();
        engine.normalize(y.view_mut());
        bound::assert_within(&format!("{} {x:?}", engine.level()), &y.mat(), &expected, &bounds);
        y.assert_guards();
    });
}

#[test]
fn every_length_at_every_offset() {
    let lanes = selfattn::Level::detect().lanes();
    for cols in 0..=4 * lanes + 1 {
        for offset in 0..lanes {
            let mut rng = Rng::new((cols * lanes + offset) as u64);
            let norm = Norm::random(cols, 1e-5, &mut rng);
            let x = Strided::new(1, cols, 0, offset, |_, _| rng.unit());
            norm.check(&x, 0);
            check_normalize(&x);
        }
    }
}

/// Many rows: enough to be handed out to threads.
#[test]
fn neither_neighbours_nor_threads_change_a_bit() {
    let mut rng = Rng::new(8);
    let norm = Norm::random(45, 1e-5, &mut rng);
    let x = Strided::new(301, 45, 2, 1, |_, _| rng.unit());
    norm.check(&x, 1);
    let run = |engine: Engine<'_>, x: &Strided| {
        let mut out = Strided::unwritten(x.rows, x.cols, 1, 0);
        engine.layer_norm(x.view(), &norm.weight, &norm.bias, norm.eps, out.view_mut()).unwrap();
        out.assert_guards();
        out
    };
    every_level(|engine| {
        let all = run(engine, &x);
        for (name, pool) in &every_pool() {
            assert_eq!(run(engine.with_pool(&**pool), &x).bits(), all.bits(), "{} {name}", engine.level());
        }
        for i in [0, 31, 32, 300] {
            let alone = Strided::dense(1, 45, |_, j| x.view().row(i)[j]);
            assert_eq!(run(engine, &alone).bits(), all.row_bits(i), "{} row {i}", engine.level());
        }
    });
}

#[test]
fn a_constant_row_becomes_the_bias() {
    let mut rng = Rng::new(5);
    for cols in [1, 5, 64, 100] {
        let norm = Norm::random(cols, 1e-12, &mut rng);
        // Small integers: the mean is exact, so nothing but zeros is left of them.
        let x = Strided::dense(1, cols, |_, _| 3.0);
        every_level(|engine| {
            let mut out = Strided::unwritten(1, cols, 0, 0);
            engine.layer_norm(x.view(), &norm.weight, &norm.bias, norm.eps, out.view_mut()).unwrap();
            assert_eq!(out.bits(), common::bits(&norm.bias), "{}", engine.level());
        });
    }
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 20, 39] {
            let mut x = Strided::dense(3, 40, |i, j| (i * 40 + j) as f32);
            x.set(1, at, bad);
            every_level(|engine| {
                let mut out = Strided::unwritten(3, 40, 0, 0);
                engine.layer_norm(x.view(), &[1.0; 40], &[0.0; 40], 1e-12, out.view_mut()).unwrap();
                assert!(out.view().row(1).iter().all(|y| y.is_nan()), "{} {bad}", engine.level());
                assert!([0, 2].iter().all(|&i| out.view().row(i).iter().all(|y| y.is_finite())));
            });
        }
    }
}

/// What is no number is no zero either.
#[test]
fn a_row_of_nan_has_no_direction() {
    every_level(|engine| {
        for mut row in [[f32::NAN, 0.0, 0.0], [0.0, f32::NAN, 1.0], [f32::NAN; 3]] {
            engine.normalize(MatMut::new(&mut row, 1, 3).unwrap());
            assert!(row.iter().all(|x| x.is_nan()), "{} {row:?}", engine.level());
        }
    });
}

#[test]
fn a_row_of_zeros_is_left_alone_by_normalize() {
    every_level(|engine| {
        let mut x = Strided::dense(2, 37, |i, _| i as f32);
        engine.normalize(x.view_mut());
        assert!(x.view().row(0).iter().all(|&y| y == 0.0));
        assert!(x.view().row(1).iter().all(|&y| y > 0.0));
    });
}

#[test]
fn what_does_not_fit_is_named() {
    let x = Strided::dense(2, 3, |i, j| (i + j) as f32);
    let refusal = |weight: &[f32], bias: &[f32], eps, [rows, cols]: [usize; 2]| {
        let mut out = Strided::unwritten(rows, cols, 0, 0);
        let error = Engine::new().layer_norm(x.view(), weight, bias, eps, out.view_mut()).unwrap_err();
        out.assert_unwritten();
        error
    };
    let (two, three) = (&[0.0; 2][..], &[0.0; 3][..]);
    let shape = |arg, expected, got| Error::Shape { arg, expected, got };
    assert_eq!(refusal(two, three, 1e-12, [2, 3]), shape("weight", 3, 2));
    assert_eq!(refusal(three, two, 1e-12, [2, 3]), shape("bias", 3, 2));
    assert_eq!(refusal(three, three, 1e-12, [1, 3]), shape("out", 2, 1));
    assert_eq!(refusal(three, three, 1e-12, [2, 4]), shape("out", 3, 4));
    for eps in [0.0, -1e-12, f32::NAN, f32::INFINITY] {
        assert_eq!(refusal(three, three, eps, [2, 3]), Error::Value { arg: "eps" });
    }
}
