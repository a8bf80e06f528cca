//! Attention by definition: every logit, a softmax, a mean of values.

use super::super::oracle::{Mat, Real};
use super::form::{Form, Place, Span};

/// The result, and the logarithm of the sum of exponentials for each query and head.
#[derive(Clone, Debug)]
pub struct Outcome<T = f64> {
    pub out: Mat<T>,
    pub lse: Mat<T>,
}

impl<T: Real> Outcome<T> {
    pub fn zeros(form: &Form, n_q: usize) -> Self {
        Self { out: Mat::zeros(n_q, form.heads * form.value_dim), lse: Mat::zeros(n_q, form.heads) }
    }

    pub fn widen(&self) -> Outcome {
        Outcome { out: self.out.widen(), lse: self.lse.widen() }
    }
}

/// Queries, keys and values.
#[derive(Clone, Debug)]
pub struct Inputs<T = f64> {
    pub q: Mat<T>,
    pub k: Mat<T>,
    pub v: Mat<T>,
}

impl Inputs {
    /// As f32 holds them.
    pub fn narrow(&self) -> Inputs<f32> {
        Inputs { q: self.q.narrow(), k: self.k.narrow(), v: self.v.narrow() }
    }
}

impl Form {
    /// The keys of its sequence that a query sees, with their logits. A logit of -inf counts as not seen.
    pub fn seen<T: Real>(&self, x: &Inputs<T>, span: &Span, at: Place) -> Vec<(usize, T)> {
        let [q, k, _] = self.columns(at.head);
        let query = &x.q.row(span.queries.start + at.query)[q];
        let key = |j: usize| &x.k.row(span.keys.start + j)[k.clone()];
        let keys = (0..span.keys.len()).filter(|&j| self.sees(span, at, j));
        keys.map(|j| (j, self.terms(span, at, j, query, key(j)).logit()))
            .filter(|(_, x)| !is(*x, f64::NEG_INFINITY))
            .collect()
    }

    /// softmax(logits) V for each head of each sequence. `stored` is what becomes of a weight on its way to the values.
    pub fn attention<T: Real>(&self, x: &Inputs<T>, stored: impl Fn(T) -> T) -> Outcome<T> {
        let mut outcome = Outcome::zeros(self, x.q.rows);
        for span in self.spans(x.q.rows, x.k.rows) {
            for at in self.places(&span) {
                let seen = self.seen(x, &span, at);
                let (weights, lse) = softmax(seen.iter().map(|(_, x)| *x).chain(self.sink(at.head)).collect());
                let row = span.queries.start + at.query;
                outcome.lse[(row, at.head)] = lse;
                let [_, _, values] = self.columns(at.head);
                let out = &mut outcome.out.row_mut(row)[self.out_columns(at.head)];
                for ((j, _), p) in seen.iter().zip(weights) {
                    let (p, value) = (stored(p), &x.v.row(span.keys.start + j)[values.clone()]);
                    out.iter_mut().zip(value).for_each(|(sum, v)| *sum = *sum + p * *v);
                }
                if is_nan(lse) {
                    out.fill(lse);
                }
            }
        }
        outcome
    }

    /// In the arithmetic of `T`, no rounding added.
    pub fn exact<T: Real>(&self, x: &Inputs<T>) -> Outcome<T> {
        self.attention(x, |p| p)
    }
}

/// The weights, and the logarithm of the sum of exponentials. +inf or NaN makes all of it NaN.
pub fn softmax<T: Real>(logits: Vec<T>) -> (Vec<T>, T) {
    if logits.iter().any(|&x| is_nan(x) || is(x, f64::INFINITY)) {
        return (vec![T::of(f64::NAN); logits.len()], T::of(f64::NAN));
    }
    let max = logits.iter().fold(T::of(f64::NEG_INFINITY), |max, &x| if x > max { x } else { max });
    if is(max, f64::NEG_INFINITY) {
        return (vec![T::of(0.0); logits.len()], max);
    }
    let weights: Vec<T> = logits.into_iter().map(|x| (x - max).exp()).collect();
    let sum: T = weights.iter().copied().sum();
    (weights.into_iter().map(|p| p / sum).collect(), max + sum.ln())
}

fn is<T: Real>(x: T, y: f64) -> bool {
    x.to_f64() == y
}

fn is_nan<T: Real>(x: T) -> bool {
    x.to_f64().is_nan()
}
