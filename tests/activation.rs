//! Activations against f64: over the whole range of f32, at every length and offset.

mod common;

use common::data::any_float;
use common::memory::Strided;
use common::oracle::{self, Mat};
use common::{bound, cases, every_level};
use proptest::prelude::*;
use selfattn::Activation;

const ALL: [Activation; 4] = [Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Relu];

fn check(activation: Activation, x: &Strided) {
    let expected = x.mat().map(|x| oracle::activate(activation, x));
    let bounds = x.mat().map(|x| bound::activation(activation, x, 0.0));
    every_level(|engine| {
        let mut y = x.clone();
        engine.activate(activation, y.view_mut());
        bound::assert_within(&format!("{} {activation:?}", engine.level()), &y.mat(), &expected, &bounds);
        y.assert_guards();
    });
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn any_floats_are_within_the_bound(
        x in proptest::collection::vec(any_float(), 0..150), gap in 0_usize..3, offset in 0_usize..17,
    ) {
        let cols = x.len() / 2;
        for activation in ALL {
            check(activation, &Strided::new(2, cols, gap, offset, |i, j| x[i * cols + j]));
        }
    }
}

/// Numbers of every sign and exponent, NaNs and infinities among them: each 4099th of all f32.
#[test]
fn the_whole_range_is_within_the_bound() {
    let all: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
    for activation in ALL {
        check(activation, &Strided::dense(1, all.len(), |_, j| all[j]));
    }
}

/// Where the network's numbers are: a fine grid.
#[test]
fn a_fine_grid_is_within_the_bound() {
    for activation in [Activation::Gelu, Activation::GeluTanh] {
        check(activation, &Strided::dense(1, 200_000, |_, j| (j as f32 - 100_000.0) * 1e-4));
    }
}

#[test]
fn every_length_at_every_offset() {
    let lanes = selfattn::Level::detect().lanes();
    for activation in ALL {
        for cols in 0..=4 * lanes + 1 {
            for offset in 0..lanes {
                check(activation, &Strided::new(1, cols, 0, offset, |_, j| j as f32 * 0.25 - 3.0));
            }
        }
    }
}

#[test]
fn relu_and_none_are_exact_and_keep_nan() {
    let x = [-2.0, -0.0, 0.0, 3.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(1), -f32::from_bits(1)];
    every_level(|engine| {
        let mut y = Strided::dense(1, x.len(), |_, j| x[j]);
        engine.activate(Activation::None, y.view_mut());
        assert_eq!(y.bits(), common::bits(&x));
        engine.activate(Activation::Relu, y.view_mut());
        let expected = [0.0, 0.0, 0.0, 3.0, f64::NAN, f64::INFINITY, 0.0, bound::TINY, 0.0];
        let expected = Mat::new(1, x.len(), |_, j| expected[j]);
        bound::assert_within("relu", &y.mat(), &expected, &Mat::zeros(1, x.len()));
    });
}
