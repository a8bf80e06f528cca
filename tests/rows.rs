//! Table look-up, mean pooling, dot products of vectors.

mod common;

use common::bound::{self, TINY, U, gamma};
use common::data::{Rng, Values, dimension};
use common::memory::{AsMatrix, Strided};
use common::oracle::{self, Mat};
use common::{cases, every_level};
use half::{bf16, f16};
use proptest::prelude::*;
use selfattn::{Activation, Element, Engine, Error, MatMut, MatRef};

fn check_gather<E: Element>(rows: usize, cols: usize, gap: usize, ids: &[u32], seed: u64)
where
    Strided<E>: AsMatrix,
{
    let mut rng = Rng::new(seed);
    let table = Strided::<E>::new(rows, cols, gap, 5, |_, _| Values::Mixed.sample_as::<E>(&mut rng));
    let values = table.mat();
    let expected = Mat::new(ids.len(), cols, |i, j| values[(ids[i] as usize, j)]);
    every_level(|engine| {
        let mut out = Strided::unwritten(ids.len(), cols, gap, 2);
        engine.gather(&table.matrix(), ids, out.view_mut()).unwrap();
        assert_eq!(out.mat(), expected, "widening is exact: {} {}", engine.level(), E::DTYPE.name());
        out.assert_guards();
    });
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn gathered_rows_are_exact(
        rows in 1_usize..20, cols in dimension(150), gap in 0_usize..3, picks in proptest::collection::vec(any::<u32>(), 0..12),
        seed: u64,
    ) {
        let ids: Vec<u32> = picks.iter().map(|pick| pick % rows as u32).collect();
        check_gather::<f32>(rows, cols, gap, &ids, seed);
        check_gather::<f16>(rows, cols, gap, &ids, seed);
        check_gather::<bf16>(rows, cols, gap, &ids, seed);
    }

    #[test]
    fn means_are_within_the_bound(
        lengths in proptest::collection::vec(0_usize..9, 0..6), cols in dimension(150), gap in 0_usize..3,
        values in Values::any(), seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let x = Strided::new(lengths.iter().sum(), cols, gap, 1, |_, _| values.sample(&mut rng));
        let (mut expected, mut bounds) = (Mat::zeros(lengths.len(), cols), Mat::zeros(lengths.len(), cols));
        let mut start = 0;
        for (i, &len) in lengths.iter().enumerate().filter(|(_, len)| **len > 0) {
            let rows = x.mat().rows(start, len);
            start += len;
            let magnitudes = oracle::mean_row(&rows.map(f64::abs));
            for (j, mean) in oracle::mean_row(&rows).into_iter().enumerate() {
                expected[(i, j)] = mean;
                // A sum, a reciprocal and a product.
                bounds[(i, j)] = gamma(len + 1) * magnitudes[j] + U * mean.abs() + TINY;
            }
        }
        every_level(|engine| {
            let mut out = Strided::unwritten(lengths.len(), cols, gap, 3);
            engine.mean_pool(x.view(), &lengths, out.view_mut()).unwrap();
            bound::assert_within(&format!("{} {lengths:?}", engine.level()), &out.mat(), &expected, &bounds);
            out.assert_guards();
        });
    }

    #[test]
    fn dot_products_are_within_the_bound(len in dimension(300), values in Values::any(), seed: u64) {
        let mut rng = Rng::new(seed);
        let [a, b] = [(); 2].map(|()| (0..len).map(|_| values.sample(&mut rng)).collect::<Vec<f32>>());
        let [wide_a, wide_b] = [&a, &b].map(|x| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>());
        let bound = bound::dot(len, oracle::dot_of_magnitudes(&wide_a, &wide_b));
        every_level(|engine| {
            let got = f64::from(engine.dot(&a, &b).unwrap());
            let error = (got - oracle::dot(&wide_a, &wide_b)).abs();
            assert!(error <= bound, "{} {got}, off by {error:e}, bound {bound:e}", engine.level());
        });
    }
}

#[test]
fn vectors_of_two_lengths_have_no_dot_product() {
    every_level(|engine| {
        assert_eq!(engine.dot(&[1.0; 3], &[1.0; 4]), Err(Error::Shape { arg: "b", expected: 3, got: 4 }));
    });
}

#[test]
fn gather_names_what_does_not_fit() {
    let table = Strided::<f32>::dense(4, 3, |i, j| (i + j) as f32);
    let refusal = |ids: &[u32], [rows, cols]: [usize; 2]| {
        let mut out = Strided::unwritten(rows, cols, 0, 0);
        let error = Engine::new().gather(&table.matrix(), ids, out.view_mut()).unwrap_err();
        out.assert_unwritten();
        error
    };
    assert_eq!(refusal(&[0, 1, 4], [3, 3]), Error::Token { index: 2, id: 4, vocab: 4 });
    assert_eq!(refusal(&[u32::MAX], [1, 3]), Error::Token { index: 0, id: u32::MAX, vocab: 4 });
    assert_eq!(refusal(&[0, 1], [3, 3]), Error::Shape { arg: "out", expected: 2, got: 3 });
    assert_eq!(refusal(&[0, 1], [2, 2]), Error::Shape { arg: "out", expected: 3, got: 2 });
}

#[test]
fn mean_pool_names_what_does_not_fit() {
    let x = Strided::dense(4, 3, |i, j| (i + j) as f32);
    let refusal = |lengths: &[usize], [rows, cols]: [usize; 2]| {
        let mut out = Strided::unwritten(rows, cols, 0, 0);
        let error = Engine::new().mean_pool(x.view(), lengths, out.view_mut()).unwrap_err();
        out.assert_unwritten();
        error
    };
    assert_eq!(refusal(&[1, 2], [2, 3]), Error::Shape { arg: "lengths", expected: 4, got: 3 });
    assert_eq!(refusal(&[1, 3], [1, 3]), Error::Shape { arg: "out", expected: 2, got: 1 });
    assert_eq!(refusal(&[1, 3], [2, 4]), Error::Shape { arg: "out", expected: 3, got: 4 });
    assert_eq!(refusal(&[2, usize::MAX], [2, 3]), Error::Overflow { arg: "lengths" });
}

/// A matrix without columns takes no memory, however many rows it claims: there is nothing to do, and it is done at once.
#[test]
fn rows_without_elements_are_done_at_once() {
    const HUGE: usize = usize::MAX;
    let empty = || MatMut::new(&mut [], HUGE, 0).unwrap();
    let view = MatRef::new(&[], HUGE, 0).unwrap();
    every_level(|engine| {
        engine.softmax(empty());
        engine.normalize(empty());
        engine.activate(Activation::Gelu, empty());
        assert_eq!(engine.layer_norm(view, &[], &[], 1e-5, empty()), Ok(()));
        assert_eq!(engine.mean_pool(view, &[HUGE], MatMut::new(&mut [], 1, 0).unwrap()), Ok(()));
    });
}
