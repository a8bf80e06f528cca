//! Matrix-vector product against the naive f64 one: every level, storage type, order and tail; what its bits do not depend on.

mod common;

use common::bound;
use common::cases;
use common::data::{Rng, Values, dimension};
use common::every_level;
use common::memory::Strided;
use common::oracle::{self, Mat};
use common::pools::every_pool;
use common::stored::{BothOrders, DTYPES, Stored};
use half::bf16;
use proptest::prelude::*;
use selfattn::{Dtype, Engine, MatRef, Matrix, Order, Plain};

const ORDERS: [Order; 2] = [Order::OutIn, Order::InOut];

/// The product, with guards around it.
fn gemv(engine: Engine<'_>, weights: Plain<'_>, x: &[f32]) -> Strided {
    let mut out = Strided::unwritten(1, weights.n(), 0, 1);
    engine.gemv(weights, x, out.view_mut().row_mut(0)).unwrap();
    out.assert_guards();
    out
}

/// Checks weights of every type in both orders, with `gap` between rows.
fn check([n, k]: [usize; 2], gap: usize, values: Values, seed: u64) {
    let mut rng = Rng::new(seed);
    let x = Strided::new(1, k, 0, seed as usize % 5, |_, _| values.sample(&mut rng));
    for dtype in DTYPES {
        let weights = BothOrders::new(Stored::random(dtype, [n, k], gap, 3, values, &mut rng), gap, 1);
        let (w, v) = (weights.mat(), x.mat());
        let expected = oracle::matmul(&v, &w);
        let bounds = Mat::new(1, n, |_, j| bound::dot(k, oracle::dot_of_magnitudes(w.row(j), v.row(0))));
        every_level(|engine| {
            for order in ORDERS {
                let out = gemv(engine, weights.plain(order), x.view().row(0));
                let what = format!("{} {} {order:?} {n} x {k}, seed {seed}", engine.level(), dtype.name());
                bound::assert_within(&what, &out.mat(), &expected, &bounds);
            }
        });
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn gemv_is_within_the_bound(
        k in dimension(300), n in dimension(60), gap in 0_usize..3, values in Values::any(), seed: u64,
    ) {
        check([n, k], gap, values, seed);
    }
}

/// All tails of both dimensions at once, without chance.
#[test]
fn every_tail_is_right() {
    let lanes = selfattn::Level::detect().lanes();
    for k in 0..=4 * lanes + 1 {
        for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33] {
            check([n, k], k % 2, Values::Unit, k as u64);
        }
    }
}

/// 16-bit weights from 1 MiB on are read in one stream, f32 from 8 MiB on in more rows; tasks of a pool see less of them each.
#[test]
fn neither_the_amount_of_weights_nor_threads_change_a_bit() {
    let k = 1031;
    let x = Strided::dense(1, k, |_, j| (j % 17) as f32 / 16.0 - 0.5);
    for dtype in DTYPES {
        let (n, far) = if dtype == Dtype::F32 { (2053, 8 << 20) } else { (1031, 1 << 20) };
        assert!(n * k * dtype.size() >= far);
        let weights = BothOrders::new(Stored::unit(dtype, [n, k], 1), 1, 3);
        let few = BothOrders::new(Stored::of(dtype, &weights.mat().rows(n - 21, 21)), 0, 0);
        let (w, v) = (weights.mat(), x.mat());
        let expected = oracle::matmul(&v, &w);
        let bounds = Mat::new(1, n, |_, j| bound::dot(k, oracle::dot_of_magnitudes(w.row(j), v.row(0))));
        every_level(|engine| {
            for order in ORDERS {
                let what = format!("{} {} {order:?}", engine.level(), dtype.name());
                let out = gemv(engine, weights.plain(order), x.view().row(0));
                bound::assert_within(&what, &out.mat(), &expected, &bounds);
                let few = gemv(engine, few.plain(order), x.view().row(0));
                assert_eq!(few.bits(), out.bits()[n - 21..], "few outputs: {what}");
                for (name, pool) in &every_pool() {
                    let of_pool = gemv(engine.with_pool(&**pool), weights.plain(order), x.view().row(0));
                    assert_eq!(of_pool.bits(), out.bits(), "{name}: {what}");
                }
            }
        });
    }
}

/// The bits of an output depend on its weights, not on how far apart they stand nor on the outputs beside it.
#[test]
fn strides_and_neighbours_do_not_change_a_bit() {
    for dtype in DTYPES {
        for (n, k) in [(1, 37), (2, 100), (19, 61)] {
            let weights = Stored::unit(dtype, [n, k], 7);
            let first = Stored::of(dtype, &weights.mat().rows(0, 1));
            let x = Strided::dense(1, k, |_, j| 1.0 / (j + 3) as f32);
            let forms = [0, 1, 5].map(|gap| BothOrders::new(weights.clone(), gap, gap));
            let alone = [0, 1, 5].map(|gap| BothOrders::new(first.clone(), gap, gap));
            every_level(|engine| {
                for order in ORDERS {
                    let what = format!("{} {} {order:?} {n} x {k}", engine.level(), dtype.name());
                    let of = |weights: &BothOrders| gemv(engine, weights.plain(order), x.view().row(0)).bits();
                    let expected = of(&forms[0]);
                    for (weights, alone) in forms.iter().zip(&alone) {
                        assert_eq!(of(weights), expected, "{what}");
                        assert_eq!(of(alone), expected[..1], "alone: {what}");
                    }
                }
            });
        }
    }
}

/// A matrix of one row may claim any stride: there is no second one. So may one without columns.
#[test]
fn the_stride_of_a_single_row_is_never_used() {
    let w: Vec<bf16> = (0..40).map(|i| bf16::from_f32(i as f32)).collect();
    let row = Matrix::Bf16(MatRef::with_stride(&w, 1, 40, usize::MAX).unwrap());
    let x = Strided::dense(1, 40, |_, _| 1.0);
    every_level(|engine| {
        assert_eq!(gemv(engine, Plain::new(row, Order::OutIn), x.view().row(0)).mat().data, [780.0]);
        let out = gemv(engine, Plain::new(row, Order::InOut), &[2.0]);
        assert_eq!(out.mat().data, (0..40).map(|i| f64::from(2 * i)).collect::<Vec<_>>());

        let empty = Matrix::Bf16(MatRef::with_stride(&w, 1, 0, usize::MAX).unwrap());
        assert_eq!(gemv(engine, Plain::new(empty, Order::OutIn), &[]).mat().data, [0.0]);
        assert_eq!(gemv(engine, Plain::new(empty, Order::InOut), &[1.0]).mat().data, [0.0; 0]);
        let column = Matrix::Bf16(MatRef::with_stride(&w, 3, 1, 19).unwrap());
        assert_eq!(gemv(engine, Plain::new(column, Order::InOut), &[1.0; 3]).mat().data, [57.0]);
        assert_eq!(gemv(engine, Plain::new(column, Order::OutIn), &[1.0]).mat().data, [0.0, 19.0, 38.0]);
    });
}

/// Without inputs the product is 0, in either order.
#[test]
fn without_inputs_the_product_is_zero() {
    let none = BothOrders::new(Stored::unit(Dtype::F16, [5, 0], 1), 0, 0);
    every_level(|engine| {
        for order in ORDERS {
            assert_eq!(gemv(engine, none.plain(order), &[]).mat().data, [0.0; 5]);
        }
    });
}

/// NaN and infinity reach the outputs whose weights they meet, and no others.
#[test]
fn values_that_are_not_finite_reach_what_they_meet() {
    for dtype in DTYPES {
        let mut weights = Stored::new(dtype, [21, 19], 2, 1, |_, j| if j == 5 { 0.0 } else { 1.0 });
        weights.set(11, 18, f32::INFINITY);
        weights.set(20, 0, f32::NAN);
        let weights = BothOrders::new(weights, 1, 0);
        for (at, x) in [(3, 1.0), (0, f32::NAN), (5, f32::INFINITY), (7, f32::INFINITY), (18, f32::NEG_INFINITY)] {
            let x = Strided::dense(1, 19, |_, j| if j == at { x } else { 1.0 });
            let expected = oracle::matmul(&x.mat(), &weights.mat());
            let bounds = Mat::new(1, 21, |_, _| bound::dot(19, 19.0));
            every_level(|engine| {
                for order in ORDERS {
                    let what = format!("{} {} {order:?} {at}", engine.level(), dtype.name());
                    let out = gemv(engine, weights.plain(order), x.view().row(0));
                    bound::assert_within(&what, &out.mat(), &expected, &bounds);
                }
            });
        }
    }
}
