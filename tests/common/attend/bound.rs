//! How far from the truth rounding may lead attention: derived from the method, term by term (Higham 2002, as in
//! [`bound`](super::super::bound)).

use super::super::bound::{self, ERF_OR_TANH, EXP, NARROWEST, SECOND_ORDER, TINY, U, gamma, softmax_sum};
use super::super::oracle::{Mat, dot, dot_of_magnitudes};
use super::form::{Form, Place, Span};
use super::oracle::{Inputs, Outcome, softmax};

/// The true result, and how far from it one may be.
pub struct Truth {
    pub expected: Outcome,
    pub bounds: Outcome,
}

/// How numbers are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Each in f32.
    Widened,
    /// bf16 in pairs, by the CPU's own instruction: subnormal operands count as 0, and weights are rounded to bf16.
    Pairs,
}

/// Unit roundoff of bf16, which has 8 significant bits. A weight keeps its relative error whatever the maximum it is relative
/// to when it is rounded, so this bounds the rounding of all of them, however often the maximum moves.
const U_BF16: f64 = 1.0 / 256.0;

/// The maximum that is subtracted may lag behind by 8 powers of two: that much in the exponent of e.
const LAG: f64 = 5.6;

/// Where errors of logits are larger, all that remains of the bound is that the result is a mean of the values.
const SMALL: f64 = 0.01;

impl Arithmetic {
    /// What becomes of an operand before it is multiplied.
    pub fn operands(self, x: &Inputs) -> Inputs {
        match self {
            Self::Widened => x.clone(),
            Self::Pairs => {
                Inputs { q: x.q.map(bound::flushed), k: x.k.map(bound::flushed), v: x.v.map(bound::flushed) }
            }
        }
    }

    fn dot(self, k: usize, magnitudes: f64) -> f64 {
        match self {
            Self::Widened => bound::dot(k, magnitudes),
            Self::Pairs => bound::dot_of_pairs(k, magnitudes),
        }
    }

    /// Relative rounding of a weight on its way to the values.
    fn weight(self) -> f64 {
        if self == Self::Pairs { U_BF16 } else { 0.0 }
    }

    /// What an operation that underflows costs at most.
    fn tiny(self) -> f64 {
        if self == Self::Pairs { f32::MIN_POSITIVE.into() } else { TINY }
    }
}

/// One query of one head, with what its bounds are made of; the sink, if there is one, is the last.
struct Row {
    keys: Vec<usize>,
    weights: Vec<f64>,
    /// How far each logit may be off.
    logits_off: Vec<f64>,
    /// How far each exponential may be off relatively.
    weights_off: Vec<f64>,
    max: f64,
    lse: f64,
}

impl Row {
    fn new(form: &Form, x: &Inputs, span: &Span, at: Place, arithmetic: Arithmetic) -> Self {
        let seen = form.seen(x, span, at);
        let off = |&(j, _): &(usize, f64)| logit(form, x, span, at, j, arithmetic);
        let mut logits_off: Vec<f64> = seen.iter().map(off).collect();
        let sink = form.sink::<f64>(at.head);
        logits_off.extend(sink.map(|sink| gamma(6) * sink.abs()));
        let logits: Vec<f64> = seen.iter().map(|(_, x)| *x).chain(sink).collect();
        let (weights, lse) = softmax(logits.clone());
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The difference to the maximum rounds too, then the exponential.
        let relative =
            |(i, off): (usize, &f64)| if weights[i] > 0.0 { off + U * (max - logits[i] + LAG) + EXP } else { 0.0 };
        let weights_off = logits_off.iter().enumerate().map(relative).collect();
        Self { keys: seen.iter().map(|(j, _)| *j).collect(), weights, logits_off, weights_off, max, lse }
    }

    fn is_known(&self) -> bool {
        self.weights_off.iter().all(|off| *off < SMALL)
    }

    /// What the sum adds, relatively: over all the terms, of the exponentials as of their products with the values.
    fn sum_off(&self) -> f64 {
        softmax_sum(self.weights.len() + 1, NARROWEST)
    }

    /// With weights p_j off by a relative e_j, the quotient sum p v / sum p is off by sum p_j |v_j| e_j and by |o| sum p_j e_j: of
    /// each column, given the rows of the values that it sees.
    fn out<'a>(&self, arithmetic: Arithmetic, values: impl Iterator<Item = &'a [f64]>, out: &[f64]) -> Vec<f64> {
        let common = self.sum_off() + arithmetic.weight();
        let mut columns = vec![[0.0_f64; 2]; out.len()];
        for (values, (p, e)) in values.zip(self.weights.iter().zip(&self.weights_off)) {
            let off = p * (e + common);
            for ([largest, sum], v) in columns.iter_mut().zip(values) {
                *largest = largest.max(v.abs());
                *sum += off * v.abs();
            }
        }
        let (is_known, weights_off) = (self.is_known(), dot(&self.weights, &self.weights_off));
        let bound = |([largest, sum], out): ([f64; 2], &f64)| {
            // Every exponential, every product and the last two operations may underflow.
            let underflow = (2 * self.weights.len() + 2) as f64 * arithmetic.tiny() * (1.0 + largest);
            if is_known {
                (sum + out.abs() * (common + weights_off + 3.0 * U)) * SECOND_ORDER + underflow
            } else {
                out.abs() + largest * (1.0 + 2.0 * common) + underflow
            }
        };
        columns.into_iter().zip(out).map(bound).collect()
    }

    /// The logarithm of the sum is off as the sum is relatively; then it is taken, and the maximum added: of either base, so
    /// that both may be multiplied too.
    fn lse(&self) -> f64 {
        let terms = self.weights.len() as f64;
        let rounding = gamma(8) * (self.max.abs() + self.lse.abs() + terms.ln().max(0.0) + LAG + 1.0);
        let logits = if self.is_known() {
            dot(&self.weights, &self.weights_off)
        } else {
            self.logits_off.iter().copied().fold(0.0, f64::max) + EXP + U * LAG
        };
        (logits + self.sum_off()) * SECOND_ORDER + rounding
    }
}

/// How far a logit may be off: a dot product whose factors (the scale, log2(e), their product) round and may be applied to the
/// query beforehand, the softcap, whose slope is at most 1, and the terms that are added, each multiplied by log2(e) perhaps.
fn logit(form: &Form, x: &Inputs, span: &Span, at: Place, j: usize, arithmetic: Arithmetic) -> f64 {
    let [q, k, _] = form.columns(at.head);
    let (q, k) = (&x.q.row(span.queries.start + at.query)[q], &x.k.row(span.keys.start + j)[k]);
    let terms = form.terms(span, at, j, q, k);
    let (scale, magnitudes) = (form.scale.abs(), dot_of_magnitudes(q, k));
    let of_keys: f64 = k.iter().map(|k| k.abs()).sum();
    let product = scale * (arithmetic.dot(q.len(), magnitudes) + gamma(4) * magnitudes) + TINY * (1.0 + of_keys);
    // Its quotient may underflow.
    let cap = form.softcap.map_or(0.0, |cap| ERF_OR_TANH * terms.product.abs() + f64::from(cap) * TINY);
    product + cap + gamma(6) * (terms.product.abs() + terms.bias.abs() + terms.alibi.abs())
}

/// The true result in that arithmetic, and how far from it one may be.
pub fn truth(form: &Form, x: &Inputs, arithmetic: Arithmetic) -> Truth {
    let x = &arithmetic.operands(x);
    let expected = form.exact(x);
    let mut bounds = Outcome::zeros(form, x.q.rows);
    for span in form.spans(x.q.rows, x.k.rows) {
        for at in form.places(&span) {
            let (row, at_row) = (Row::new(form, x, &span, at, arithmetic), span.queries.start + at.query);
            let ([_, _, columns], out) = (form.columns(at.head), form.out_columns(at.head));
            let values = row.keys.iter().map(|j| &x.v.row(span.keys.start + j)[columns.clone()]);
            let of_row = row.out(arithmetic, values, &expected.out.row(at_row)[out.clone()]);
            bounds.out.row_mut(at_row)[out].copy_from_slice(&of_row);
            bounds.lse[(at_row, at.head)] = row.lse();
        }
    }
    Truth { expected, bounds }
}

/// How far each weight that a query gives to the keys that it sees may be off, the sink's behind them; from the logarithm of
/// the sum, if that is `given`: then what that is off comes on top.
pub fn weights_of_row(
    form: &Form,
    x: &Inputs,
    span: &Span,
    at: Place,
    arithmetic: Arithmetic,
    given: bool,
) -> Vec<f64> {
    let row = Row::new(form, x, span, at, arithmetic);
    let lse = if given { row.lse() } else { 0.0 };
    if !row.is_known() || lse > SMALL {
        // All that remains is that it is a weight.
        return vec![1.0; row.weights.len()];
    }
    let common = dot(&row.weights, &row.weights_off) + row.sum_off() + lse + 3.0 * U;
    row.weights.iter().zip(&row.weights_off).map(|(p, e)| p * (e + common) * SECOND_ORDER + 2.0 * TINY).collect()
}

impl Truth {
    /// Fails where a result is farther off than it may be.
    #[track_caller]
    pub fn check(&self, what: &str, out: &Mat, lse: &Mat) {
        bound::assert_within(&format!("out of {what}"), out, &self.expected.out, &self.bounds.out);
        bound::assert_within(&format!("lse of {what}"), lse, &self.expected.lse, &self.bounds.lse);
    }
}
