//! The naive definitions, one loop each: in f64 as the truth, or in f32 where the error of a plain implementation is the
//! measure. Nothing here is fast, and nothing is shared with the library. Attention has its own in `attend/oracle.rs`.

use std::iter::Sum;
use std::ops::{Add, Div, Index, IndexMut, Mul, Neg, Sub};

use selfattn::{Activation, Element, MatRef};

/// f64 or f32.
pub trait Real:
    Copy
    + PartialOrd
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    fn of(x: f64) -> Self;
    fn to_f64(self) -> f64;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn erfc(self) -> Self;
}

macro_rules! real {
    ($type:ident, $erfc:path) => {
        impl Real for $type {
            fn of(x: f64) -> Self {
                x as $type
            }
            fn to_f64(self) -> f64 {
                self.into()
            }
            fn sqrt(self) -> Self {
                $type::sqrt(self)
            }
            fn exp(self) -> Self {
                $type::exp(self)
            }
            fn ln(self) -> Self {
                $type::ln(self)
            }
            fn tanh(self) -> Self {
                $type::tanh(self)
            }
            fn erfc(self) -> Self {
                $erfc(self)
            }
        }
    };
}
real!(f32, libm::erfcf);
real!(f64, libm::erfc);

/// A dense matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Mat<T = f64> {
    pub rows: usize,
    pub cols: usize,
    pub data: Vec<T>,
}

impl<T: Real> Mat<T> {
    pub fn new(rows: usize, cols: usize, mut fill: impl FnMut(usize, usize) -> T) -> Self {
        let mut data = Vec::with_capacity(rows * cols);
        (0..rows).for_each(|i| data.extend((0..cols).map(|j| fill(i, j))));
        Self { rows, cols, data }
    }

    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self::new(rows, cols, |_, _| T::of(0.0))
    }

    pub fn of<E: Element>(view: &MatRef<'_, E>) -> Self {
        let data = view.iter_rows().flatten().map(|x| T::of(x.to_f32().into())).collect();
        Self { rows: view.rows(), cols: view.cols(), data }
    }

    pub fn of_row(x: &[f32]) -> Self {
        Self::new(1, x.len(), |_, j| T::of(x[j].into()))
    }

    pub fn row(&self, i: usize) -> &[T] {
        &self.data[i * self.cols..][..self.cols]
    }

    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.data[i * self.cols..][..self.cols]
    }

    /// Rows `start..start + count`.
    pub fn rows(&self, start: usize, count: usize) -> Self {
        Self::new(count, self.cols, |i, j| self[(start + i, j)])
    }

    /// Adds rows at the end.
    pub fn append(&mut self, more: Self) {
        assert_eq!(self.cols, more.cols);
        self.rows += more.rows;
        self.data.extend(more.data);
    }

    pub fn map<U>(&self, f: impl Fn(T) -> U) -> Mat<U> {
        Mat { rows: self.rows, cols: self.cols, data: self.data.iter().map(|&x| f(x)).collect() }
    }

    /// Each row put through a function that keeps its length.
    pub fn map_rows(&self, f: impl Fn(&[T]) -> Vec<T>) -> Self {
        Self { data: (0..self.rows).flat_map(|i| f(self.row(i))).collect(), ..*self }
    }

    pub fn widen(&self) -> Mat {
        self.map(T::to_f64)
    }
}

impl Mat {
    /// As f32 holds it.
    pub fn narrow(&self) -> Mat<f32> {
        self.map(|x| x as f32)
    }
}

impl<T> Index<(usize, usize)> for Mat<T> {
    type Output = T;
    fn index(&self, (i, j): (usize, usize)) -> &T {
        &self.data[i * self.cols + j]
    }
}

impl<T> IndexMut<(usize, usize)> for Mat<T> {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut T {
        &mut self.data[i * self.cols + j]
    }
}

pub fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

/// `sum |a_i b_i|`: what the error of a dot product is measured by.
pub fn dot_of_magnitudes(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum()
}

/// `A B^T`
pub fn matmul<T: Real>(a: &Mat<T>, b: &Mat<T>) -> Mat<T> {
    Mat::new(a.rows, b.rows, |i, j| dot(a.row(i), b.row(j)))
}

pub fn activate<T: Real>(activation: Activation, x: T) -> T {
    match activation {
        Activation::None => x,
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Relu if x < T::of(0.0) => T::of(0.0),
        Activation::Relu => x,
    }
}

/// `x Phi(x)`, by erfc, which keeps its digits where Phi is small.
pub fn gelu<T: Real>(x: T) -> T {
    x * T::of(0.5) * (-x * T::of(std::f64::consts::FRAC_1_SQRT_2)).erfc()
}

pub fn gelu_tanh<T: Real>(x: T) -> T {
    let inner = T::of((2.0 / std::f64::consts::PI).sqrt()) * (x + T::of(0.044715) * x * x * x);
    T::of(0.5) * x * (T::of(1.0) + inner.tanh())
}

/// Softmax of a row: -inf has no weight, a row without any weight gives zeros, +inf or NaN makes all of it NaN.
pub fn softmax<T: Real>(x: &[T]) -> Vec<T> {
    let infinity = T::of(f64::INFINITY);
    if !x.iter().all(|&x| x < infinity) {
        return vec![T::of(f64::NAN); x.len()];
    }
    let max = x.iter().fold(-infinity, |max, &x| if x > max { x } else { max });
    if max == -infinity {
        return vec![T::of(0.0); x.len()];
    }
    let weights: Vec<T> = x.iter().map(|&x| (x - max).exp()).collect();
    let sum: T = weights.iter().copied().sum();
    weights.into_iter().map(|p| p / sum).collect()
}

pub fn layer_norm<T: Real>(x: &[T], weight: &[T], bias: &[T], eps: f64) -> Vec<T> {
    let (mean, variance) = mean_and_variance(x);
    let deviation = (variance + T::of(eps)).sqrt();
    x.iter().zip(weight).zip(bias).map(|((&x, &w), &b)| (x - mean) / deviation * w + b).collect()
}

pub fn mean_and_variance<T: Real>(x: &[T]) -> (T, T) {
    let count = T::of(x.len() as f64);
    let mean = x.iter().copied().sum::<T>() / count;
    (mean, x.iter().map(|&x| (x - mean) * (x - mean)).sum::<T>() / count)
}

/// The mean of the rows, column by column.
pub fn mean_row<T: Real>(x: &Mat<T>) -> Vec<T> {
    let count = T::of(x.rows as f64);
    (0..x.cols).map(|j| (0..x.rows).map(|i| x[(i, j)]).sum::<T>() / count).collect()
}

/// The row divided by its Euclidean length; a row of zeros stays.
pub fn normalize<T: Real>(x: &[T]) -> Vec<T> {
    let length = dot(x, x).sqrt();
    if length > T::of(0.0) { x.iter().map(|&x| x / length).collect() } else { x.to_vec() }
}
