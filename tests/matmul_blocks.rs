//! Sizes that cross every limit at which a product is divided: steps, rows, panels, chunks of panels. The result is exact
//! where the numbers allow it, and else one chain of multiply-adds in the order of k.

mod common;

use common::every_level;
use common::memory::Strided;
use common::oracle::{self, Mat};
use common::product::{self, bits, every_form, in_pairs};
use common::stored::{BothOrders, Stored, type_pairs};
use selfattn::{Activation, Dtype, Epilogue, Order};

/// Each limit (144 rows, 256 where tiles are multiplied; 512 steps, once and four times; registers, panels and chunks of panels) from
/// below, at it and from above.
const SIZES: [[usize; 3]; 34] = [
    [1, 1, 1],
    [1, 513, 400],
    [1, 2047, 96],
    [1, 2048, 144],
    [1, 2049, 193],
    [1, 4100, 145],
    [2, 3, 48],
    [2, 511, 193],
    [2, 2048, 97],
    [2, 2049, 144],
    [2, 4100, 400],
    [3, 2, 15],
    [3, 512, 97],
    [3, 2047, 16],
    [3, 2049, 95],
    [3, 4100, 17],
    [143, 1, 400],
    [143, 2047, 15],
    [143, 2049, 17],
    [144, 513, 64],
    [144, 2048, 1],
    [144, 3, 193],
    [145, 512, 193],
    [145, 2049, 47],
    [145, 4100, 1],
    [146, 2048, 49],
    [146, 511, 145],
    [256, 33, 97],
    [257, 2049, 33],
    [300, 1, 1],
    [300, 2, 193],
    [300, 511, 16],
    [300, 513, 48],
    [300, 2049, 49],
];

/// Integers so small that no sum of their products rounds, in any type.
fn integer(i: usize, j: usize) -> f64 {
    ((i * 7 + j * 13 + i * j) % 5) as f64 - 2.0
}

#[test]
fn sums_of_integers_are_exact() {
    for [m, k, n] in SIZES {
        let (a, w) = (Mat::new(m, k, integer), Mat::new(n, k, |i, j| integer(j, i + 3)));
        let expected: Vec<u32> = oracle::matmul(&a, &w).data.iter().map(|&x| (x as f32 + 0.0).to_bits()).collect();
        for types in type_pairs() {
            let (a, w) = (Stored::of(types[0], &a), BothOrders::new(Stored::of(types[1], &w), 1, 0));
            every_level(|engine| {
                every_form(engine, &w, |form, weights| {
                    let same = bits(engine, &a, weights) == expected;
                    assert!(same, "{} {types:?} {form} {m} x {k} x {n}", engine.level());
                });
            });
        }
    }
}

/// Weights that are taken to come from memory are multiplied by several rows otherwise than others.
#[test]
fn few_rows_by_weights_from_memory() {
    for [m, k, n] in [[1, 2049, 2101], [3, 2050, 2101], [4, 2051, 2103], [5, 2052, 2102]] {
        let (a, w) = (Mat::new(m, k, integer), Mat::new(n, k, |i, j| integer(j, i + 3)));
        let expected: Vec<u32> = oracle::matmul(&a, &w).data.iter().map(|&x| (x as f32 + 0.0).to_bits()).collect();
        for types in
            [[Dtype::F32; 2], [Dtype::F16; 2], [Dtype::Bf16, Dtype::F16], [Dtype::F32, Dtype::Bf16], [Dtype::Bf16; 2]]
        {
            let (a, w) = (Stored::of(types[0], &a), BothOrders::new(Stored::of(types[1], &w), 1, 0));
            every_level(|engine| {
                product::packed(engine, w.plain(Order::OutIn), |weights| {
                    let same = bits(engine, &a, weights) == expected;
                    assert!(same, "{} {types:?} {m} x {k} x {n}", engine.level());
                });
            });
        }
    }
}

/// Bias, activation and residual come once, when all steps are summed.
#[test]
fn the_epilogue_comes_after_the_last_step() {
    for [m, k, n] in [[1, 4100, 145], [2, 2049, 97], [3, 513, 49], [145, 2049, 49]] {
        let (a, w) = (Mat::new(m, k, integer), Mat::new(n, k, |i, j| integer(j, i + 3)));
        let bias: Vec<f32> = (0..n).map(|j| 7.0 - j as f32).collect();
        let residual = Strided::new(m, n, 3, 1, |i, j| (3 * i + j) as f32);
        let epilogue = Epilogue { bias: Some(&bias), activation: Activation::Relu, residual: Some(residual.view()) };
        let sums = oracle::matmul(&a, &w);
        let element = |i, j| (sums[(i, j)] + f64::from(bias[j])).max(0.0) + (3 * i + j) as f64;
        let expected = Mat::new(m, n, element);
        for types in type_pairs() {
            let (a, w) = (Stored::of(types[0], &a), BothOrders::new(Stored::of(types[1], &w), 1, 0));
            every_level(|engine| {
                every_form(engine, &w, |form, weights| {
                    let mut out = Strided::unwritten(m, n, 2, 1);
                    product::product(engine, a.matrix(), weights, &epilogue, out.view_mut());
                    out.assert_guards();
                    assert!(out.mat() == expected, "{} {types:?} {form} {m} x {k} x {n}", engine.level());
                });
            });
        }
    }
}

/// One multiply-add after the other, rounded once or twice each.
fn chain(a: &Mat<f32>, w: &Mat<f32>, fused: bool) -> Vec<u32> {
    let step = |sum: f32, (&x, &y): (&f32, &f32)| if fused { x.mul_add(y, sum) } else { x * y + sum };
    let element = |i, j| a.row(i).iter().zip(w.row(j)).fold(0.0, step);
    common::bits(&Mat::new(a.rows, w.rows, element).data)
}

/// However a product is divided, an element is one chain; in pairs of bf16, whatever the CPU makes of a pair, it is the one
/// of its row and column alone.
#[test]
fn an_element_is_one_chain() {
    for [m, k, n] in SIZES {
        for types in [[Dtype::F32; 2], [Dtype::F16, Dtype::Bf16], [Dtype::Bf16; 2]] {
            let (a, w) = (Stored::unit(types[0], [m, k], 1), Stored::unit(types[1], [n, k], 2));
            let (left, right) = (a.mat().narrow(), w.mat().narrow());
            let chains = [false, true].map(|fused| chain(&left, &right, fused));
            let (last_row, last_column) = (a.mat().rows(m - 1, 1), w.mat().rows(n - 1, 1));
            let last_row = Stored::of(types[0], &last_row);
            let last_column = BothOrders::new(Stored::of(types[1], &last_column), 0, 0);
            let w = BothOrders::new(w, 2, 1);
            every_level(|engine| {
                let mut expected = None;
                let fused = engine.level().name() != "scalar";
                if !in_pairs(engine, types) {
                    expected = Some(chains[usize::from(fused)].clone());
                }
                let alone = bits(engine, &last_row, &last_column.plain(Order::OutIn).into());
                every_form(engine, &w, |form, weights| {
                    let what = format!("{} {types:?} {form} {m} x {k} x {n}", engine.level());
                    let got = bits(engine, &a, weights);
                    assert_eq!(got.last(), alone.first(), "{what}");
                    assert!(&got == expected.get_or_insert_with(|| got.clone()), "{what}");
                });
            });
        }
    }
}
