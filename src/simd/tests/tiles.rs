//! Products of tiles, where the CPU has them.

use super::super::{Rows, TileOp, TileShape, Tiles};
use super::*;

/// Elements between the rows of each side, beside its own.
const GAP: usize = 3;
/// What stands in the sums before, and beside them.
const BEFORE: f32 = 0.75;

/// A product of one tile of rows.
#[derive(Clone)]
struct Product {
    rows: usize,
    /// Pairs of a group, and the groups: of less than whole ones only one.
    pairs: usize,
    groups: usize,
    registers: usize,
    add: bool,
    /// `rows` rows of all steps, and the steps' lines over all columns.
    a: Vec<bf16>,
    b: Vec<bf16>,
}

impl Product {
    fn steps(&self) -> usize {
        2 * self.pairs * self.groups
    }

    fn columns(&self) -> usize {
        16 * self.registers
    }

    fn row(&self, i: usize) -> &[bf16] {
        &self.a[i * (self.steps() + GAP)..][..self.steps()]
    }

    /// The factor of step `p` and column `j`.
    fn of_b(&self, p: usize, j: usize) -> bf16 {
        self.b[p / 2 * (2 * self.columns() + GAP) + 2 * j + p % 2]
    }

    /// The sums of even and of odd steps of each group, chains that round once, and then both to what there was.
    fn sum(&self, i: usize, j: usize) -> f32 {
        let mut sum = if self.add { BEFORE } else { 0.0 };
        for group in 0..self.groups {
            let mut halves = [0.0_f32; 2];
            for p in 2 * self.pairs * group..2 * self.pairs * (group + 1) {
                halves[p % 2] = self.row(i)[p].to_f32().mul_add(self.of_b(p, j).to_f32(), halves[p % 2]);
            }
            sum += halves[0] + halves[1];
        }
        sum
    }
}

impl TileOp for Product {
    type Out = Vec<f32>;

    #[inline(always)]
    fn run<T: Tiles>(self, t: T) -> Vec<f32> {
        let of_c = self.columns() + GAP;
        let mut c = vec![BEFORE; self.rows * of_c];
        let stride = |elements: usize, size: usize| elements * size;
        let a = Rows { ptr: self.a.as_ptr(), stride: stride(self.steps() + GAP, 2) };
        let b = Rows { ptr: self.b.as_ptr(), stride: stride(2 * self.columns() + GAP, 2) };
        let to = Rows { ptr: c.as_mut_ptr(), stride: stride(of_c, 4) };
        t.begin(TileShape { rows: self.rows, pairs: self.pairs });
        // SAFETY: the lengths are those of the shape.
        unsafe {
            t.multiply([self.groups, self.registers], a, b, to, self.add);
        }
        t.end();
        c
    }
}

fn on_every_level_with_tiles(product: &Product, check: impl Fn(Vec<f32>)) {
    for level in Level::available() {
        let got = level.dispatch_tiles(product.clone());
        assert_eq!(got.is_some(), level.has_tiles(), "{level}");
        assert_eq!(level.has_tiles(), level.name().starts_with("amx"), "{level}");
        got.into_iter().for_each(&check);
    }
}

fn product([rows, pairs, groups, registers]: [usize; 4], add: bool, mut number: impl FnMut() -> f32) -> Product {
    let mut product = Product { rows, pairs, groups, registers, add, a: vec![], b: vec![] };
    let mut numbers = |n: usize| (0..n).map(|_| bf16::from_f32(number())).collect::<Vec<_>>();
    product.a = numbers(rows * (product.steps() + GAP));
    product.b = numbers(product.steps() / 2 * (2 * product.columns() + GAP));
    product
}

#[test]
fn sums_are_those_of_the_contract_to_the_bit() {
    let mut random = Random::new();
    for (rows, pairs, groups) in [(16, 16, 1), (16, 16, 5), (16, 1, 1), (1, 16, 2), (1, 1, 1), (7, 5, 1), (15, 16, 3)] {
        for registers in 1..=3 {
            for add in [false, true] {
                let product = product([rows, pairs, groups, registers], add, || random.unit());
                on_every_level_with_tiles(&product, |got| {
                    let columns = product.columns();
                    for (i, row) in got.chunks(columns + GAP).enumerate() {
                        let sums: Vec<f32> = (0..columns).map(|j| product.sum(i, j)).collect();
                        assert_eq!(
                            row[..columns],
                            sums,
                            "{rows} rows, {pairs} pairs, {groups} groups, {registers}, {add}"
                        );
                        assert_eq!(row[columns..], [BEFORE; GAP], "beside the sums");
                    }
                });
            }
        }
    }
}

/// What is subnormal counts as 0, operand or result; what is not finite goes through.
#[test]
fn special_values() {
    let (inf, nan, least) = (f32::INFINITY, f32::NAN, f32::MIN_POSITIVE);
    for (a, b, expected) in [
        (inf, 1.0, inf),
        (-1.0, inf, -inf),
        (inf, 0.0, nan),
        (nan, 0.0, nan),
        (0.0, nan, nan),
        (least / 2.0, 1e30, 0.0),
        (least, 0.5, 0.0),
        (least, 1.0, least),
    ] {
        for half in 0..2 {
            let mut product = product([1, 1, 1, 1], false, || 0.0);
            product.a[half] = bf16::from_f32(a);
            (0..16).for_each(|j| product.b[2 * j + half] = bf16::from_f32(b));
            on_every_level_with_tiles(&product, |got| {
                let same = |got: &f32| got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
                assert!(got[..16].iter().all(same), "{a} x {b}: {got:?}");
            });
        }
    }
}
