//! One product: its shape, its inputs in every type and layout, and what comes out.

use bumpalo::Bump;
use half::{bf16, f16};
use selfattn::{Element, MatRef};

use crate::contestant::Info;
use crate::data::{Buffer, random, rounding, spread, unit};
use crate::error::Result;
use crate::report::sizes;

/// Sequences of random numbers; the Python side has the same.
const A_SEED: u64 = 1;
const W_SEED: u64 = 2;
/// Elements of the result that are checked.
const CHECKED: usize = 100;

/// The inputs in one type.
pub struct Inputs<E> {
    /// Activations, `m x k`.
    pub a: Buffer<E>,
    /// Weights as files have them, `n x k`.
    pub nk: Buffer<E>,
    /// The same weights, transposed: `k x n`.
    pub kn: Buffer<E>,
}

impl<E: Element> Inputs<E> {
    fn new(m: usize, k: usize, n: usize) -> Self {
        let kn = Buffer::new(k * n, E::ZERO, |i| E::from_f32(unit(W_SEED, (i % n) * k + i / n)));
        Self { a: random(A_SEED, m * k), nk: random(W_SEED, n * k), kn }
    }
}

/// A shape with everything that its contestants read.
pub struct Problem {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub f32: Inputs<f32>,
    pub f16: Inputs<f16>,
    pub bf16: Inputs<bf16>,
    /// Memory for what contestants prepare: packed weights.
    pub memory: Bump,
    /// The places of the result that are checked, the values there, and the sizes that an error is measured by.
    pub sampled: Vec<usize>,
    pub expected: Vec<f64>,
    /// Sum of `|a w|`, and root of the sum of `(a w)^2`.
    scales: Vec<(f64, f64)>,
}

impl Problem {
    pub fn new(shape: &str) -> Result<Self> {
        let [m, k, n] = sizes(shape)?;
        let (f32, f16, bf16) = (Inputs::new(m, k, n), Inputs::new(m, k, n), Inputs::new(m, k, n));
        let sampled = spread(m * n, CHECKED);
        let (expected, scales) = sampled.iter().map(|&at| reference(&f32, k, at / n, at % n)).unzip();
        Ok(Self { m, k, n, f32, f16, bf16, memory: Bump::new(), sampled, expected, scales })
    }

    pub fn shape(&self) -> [usize; 3] {
        [self.m, self.k, self.n]
    }

    /// Floating-point operations, a multiply-add counted as two.
    pub fn work(&self) -> f64 {
        2.0 * self.m as f64 * self.k as f64 * self.n as f64
    }

    pub fn weights<'a, E>(&self, inputs: &'a Inputs<E>) -> MatRef<'a, E> {
        MatRef::new(&inputs.nk, self.n, self.k).expect("as long as the shape says")
    }

    /// How far each checked element may be off: f32 sums in any order, inputs and result rounded to their
    /// type, and each step of a sum as well for those that do.
    pub fn tolerance(&self, info: &Info) -> Vec<f64> {
        let sum = 4.0 * f64::from(f32::EPSILON) * (self.k as f64).sqrt();
        let unit = rounding(&info.activations).max(rounding(&info.weights));
        let steps = if info.rounds_sums { (self.k as f64).sqrt() } else { 1.0 };
        let elements = self.scales.iter().zip(&self.expected);
        elements.map(|((sums, root), expected)| sum * sums + 8.0 * unit * (root * steps + expected.abs())).collect()
    }
}

/// The element of the product in f64, with its scales.
fn reference(inputs: &Inputs<f32>, k: usize, row: usize, col: usize) -> (f64, (f64, f64)) {
    let (a, w) = (&inputs.a[row * k..][..k], &inputs.nk[col * k..][..k]);
    let mut sums = (0.0, 0.0, 0.0_f64);
    for product in a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w)) {
        sums = (sums.0 + product, sums.1 + product.abs(), sums.2 + product * product);
    }
    (sums.0, (sums.1, sums.2.sqrt()))
}
