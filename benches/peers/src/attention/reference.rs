//! Attention in f64, by its definition, an element of the result at a time.

use selfattn::Element;

use super::problem::{KeysValues, Shape};
use crate::data::rounding;

/// An element of the result, with what its error is measured by.
pub struct Expected {
    pub value: f64,
    /// Sum of `|p v|`, and root of the sum of `(p v)^2`, over the keys, `p` the weights.
    sums: f64,
    root: f64,
    /// The largest `|logit|`.
    logit: f64,
}

/// The element at `at` of the result, `queries x (heads * d)`.
pub fn expected<E: Element>(shape: &Shape, q: &[E], kv: &KeysValues<E>, at: usize) -> Expected {
    let Shape { heads, queries, keys, d, causal, .. } = *shape;
    let (query, head, column) = (at / (heads * d), at / d % heads, at % d);
    let q = &q[(query * heads + head) * d..][..d];
    let row = |j: usize| shape.place(j, head / shape.group());
    let seen = if causal { query + 1 + keys - queries } else { keys };
    let logits: Vec<f64> = (0..seen).map(|j| f64::from(shape.scale()) * dot(q, &kv.k[row(j)..][..d])).collect();
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - max).exp()).sum();
    let mut out = Expected { value: 0.0, sums: 0.0, root: 0.0, logit: 0.0 };
    for (j, logit) in logits.iter().enumerate() {
        let product = (logit - max).exp() / sum * f64::from(kv.v[row(j) + column].to_f32());
        out.value += product;
        out.sums += product.abs();
        out.root += product * product;
        out.logit = out.logit.max(logit.abs());
    }
    Expected { root: out.root.sqrt(), ..out }
}

impl Expected {
    /// How far a result may be off: sums in f32 in any order, and inputs, logits, weights and result rounded to the type.
    pub fn tolerance(&self, dtype: &str, shape: &Shape) -> f64 {
        let sum = f64::from(f32::EPSILON) * ((shape.keys + shape.d) as f64).sqrt() * (1.0 + self.logit);
        let weights = 2.0 * rounding(dtype) * self.root * (1.0 + self.logit);
        sum * self.sums + weights + 2.0 * rounding(dtype) * self.value.abs()
    }
}

fn dot<E: Element>(a: &[E], b: &[E]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a.to_f32()) * f64::from(b.to_f32())).sum()
}
