//! Softmax of rows against f64: every level, length and offset, extreme and special logits.

mod common;

use common::bound;
use common::data::{Rng, Values, dimension};
use common::memory::Strided;
use common::oracle::{self, Mat};
use common::pools::every_pool;
use common::{cases, every_level};
use proptest::prelude::*;

/// Runs softmax at every level over these logits and compares, gaps and all.
fn check(logits: &Strided) {
    let expected = logits.mat().map_rows(oracle::softmax);
    let bounds = logits.mat().map_rows(bound::softmax);
    every_level(|engine| {
        let mut x = logits.clone();
        engine.softmax(x.view_mut());
        bound::assert_within(&format!("{} {logits:?}", engine.level()), &x.mat(), &expected, &bounds);
        x.assert_guards();
    });
}

/// Where a row becomes long for the kernel, which takes it block by block.
const BLOCK: usize = 4096;

fn row(logits: &[f32]) -> Strided {
    Strided::dense(1, logits.len(), |_, j| logits[j])
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn random_rows_are_within_the_bound(
        rows in 0_usize..6, cols in dimension(300), gap in 0_usize..3, offset in 0_usize..17,
        values in Values::any(), spread in prop_oneof![Just(1.0_f32), Just(30.0), Just(200.0)], seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        check(&Strided::new(rows, cols, gap, offset, |_, _| values.sample(&mut rng) * spread));
    }

    /// Rows of one block of the kernel and more, whose last block is short, full or missing; the maximum is anywhere.
    #[test]
    fn long_rows_are_within_the_bound(
        blocks in 1_usize..4, past in 0_usize..3, more in 0_usize..200, steps in proptest::collection::vec(-90.0_f32..90.0, 5), seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let cols = blocks * BLOCK + [0, 1, more][past];
        check(&Strided::new(2, cols, 1, 3, |i, j| steps[i + j / BLOCK] + 10.0 * rng.unit()));
    }

    #[test]
    fn masked_logits_have_no_weight(cols in 1_usize..200, seen in 0_usize..4, seed: u64) {
        let mut rng = Rng::new(seed);
        // Of four logits `seen` are finite, so often none is.
        check(&Strided::dense(1, cols, |_, _| if rng.below(4) < seen { 9.0 * rng.unit() } else { f32::NEG_INFINITY }));
    }

    /// A row that rises all the way: the maximum moves with every register.
    #[test]
    fn rising_rows_are_within_the_bound(cols in 1_usize..500, step in 0.0_f32..3.0) {
        check(&Strided::dense(1, cols, |_, j| j as f32 * step - 50.0));
    }
}

#[test]
fn every_length_at_every_offset() {
    let lanes = selfattn::Level::detect().lanes();
    for cols in 0..=4 * lanes + 1 {
        for offset in 0..lanes {
            let mut rng = Rng::new((cols * lanes + offset) as u64);
            check(&Strided::new(1, cols, 0, offset, |_, _| 10.0 * rng.unit()));
        }
    }
}

#[test]
fn one_nan_or_infinity_makes_the_row_nan_and_no_other() {
    for cols in [1, 2, 7, 16, 63, 64, 65, 130] {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
            for at in 0..cols {
                let mut logits = Strided::new(3, cols, 1, 0, |i, j| (i * j) as f32 * 0.1);
                logits.set(1, at, bad);
                check(&logits);
            }
        }
    }
}

/// In any block, and after blocks of nothing but -inf.
#[test]
fn one_nan_or_infinity_makes_a_long_row_nan_and_no_other() {
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
        for at in [0, 17, BLOCK - 1, BLOCK, 2 * BLOCK, 2 * BLOCK + 129] {
            for others in [1.0, f32::NEG_INFINITY] {
                let mut logits = Strided::new(3, 2 * BLOCK + 130, 1, 0, |_, _| others);
                logits.set(1, at, bad);
                check(&logits);
            }
        }
    }
}

#[test]
fn blocks_without_weight_stay_without() {
    for seen in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 5] {
        for logit in [-1e30, -3.0, 0.0, 1e30] {
            let at = |j| if j == seen { logit } else { f32::NEG_INFINITY };
            check(&Strided::dense(2, 2 * BLOCK + 9, |_, j| at(j)));
        }
    }
}

#[test]
fn a_row_with_nothing_to_see_gives_zeros() {
    for cols in (0..140).chain([BLOCK, BLOCK + 1, 3 * BLOCK]) {
        let logits = row(&vec![f32::NEG_INFINITY; cols]);
        every_level(|engine| {
            let mut x = logits.clone();
            engine.softmax(x.view_mut());
            assert_eq!(x.mat(), Mat::zeros(1, cols), "{}", engine.level());
        });
    }
}

#[test]
fn extreme_logits_stay_finite_and_exact() {
    let (max, min, tiny) = (f32::MAX, f32::MIN, f32::from_bits(1));
    for logits in [
        &[1e30, -1e30, 1e30, 0.0][..],
        &[-1e30; 5],
        &[max; 3],
        &[min; 33],
        &[max, min],
        &[min, max, min, max, 0.0, f32::NEG_INFINITY],
        &[tiny, -tiny, 0.0, -0.0],
        &[0.0, -87.4, -88.0, -100.0, -103.9, -104.1, -150.0, -161.0, -1000.0],
        &[f32::NEG_INFINITY, min],
    ] {
        check(&row(logits));
        // The same far apart, so that they meet in other lanes and registers.
        let mut spread = vec![f32::NEG_INFINITY; 37 * logits.len()];
        spread.iter_mut().step_by(37).zip(logits).for_each(|(x, logit)| *x = *logit);
        check(&row(&spread));
    }
}

/// A sum in a single accumulator would stop growing at 2^24; here it has to be right long before. So many that the kernel's
/// blocks grow with the row.
#[test]
fn a_million_equal_logits_share_evenly() {
    const COUNT: usize = 1_100_000;
    every_level(|engine| {
        let mut x = Strided::dense(1, COUNT, |_, _| 3.25);
        engine.softmax(x.view_mut());
        // Every exponential is 1 and every partial sum an integer below 2^24, so only 1 / sum rounds.
        let (even, rounding) = (1.0 / COUNT as f64, bound::U);
        let off = x.mat().data.iter().map(|p| (p - even).abs()).fold(0.0, f64::max);
        assert!(off <= even * rounding, "{} is off by {off:e}", engine.level());
    });
}

#[test]
fn a_row_alone_has_the_bits_it_has_among_others() {
    let mut rng = Rng::new(11);
    for cols in [77, 512, BLOCK, BLOCK + 77] {
        let logits = Strided::new(9, cols, 4, 1, |_, _| 20.0 * rng.unit());
        every_level(|engine| {
            let mut all = logits.clone();
            engine.softmax(all.view_mut());
            for i in 0..logits.rows {
                let mut alone = Strided::new(1, cols, 0, i, |_, j| logits.view().row(i)[j]);
                engine.softmax(alone.view_mut());
                assert_eq!(alone.bits(), all.row_bits(i), "{} row {i} of {cols}", engine.level());
            }
        });
    }
}

/// Enough rows to be handed out to threads.
#[test]
fn threads_do_not_change_a_bit() {
    let mut rng = Rng::new(12);
    for (rows, cols) in [(401, 300), (9, 3 * BLOCK + 5)] {
        let logits = Strided::new(rows, cols, 1, 1, |_, _| 20.0 * rng.unit());
        every_level(|engine| {
            let mut serial = logits.clone();
            engine.softmax(serial.view_mut());
            for (name, pool) in &every_pool() {
                let mut x = logits.clone();
                engine.with_pool(&**pool).softmax(x.view_mut());
                assert_eq!(x.bits(), serial.bits(), "{} {name}", engine.level());
                x.assert_guards();
            }
        });
    }
}
