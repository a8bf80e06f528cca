//! The weights of attention: by definition, how far off they may be, and as the library shows them.

use std::ops::Range;

use selfattn::{Engine, Inspection, MatRef};

use super::super::bound::{self, SECOND_ORDER, TINY, U, gamma};
use super::super::memory::Strided;
use super::super::oracle::Mat;
use super::Problem;
use super::bound::weights_of_row;
use super::form::Form;
use super::oracle::softmax;

/// `n_q x n_k` for each head, all that is not seen being 0.
pub type Weights = Vec<Mat>;

/// The true weights, and how far from them one may be.
pub struct Truth {
    pub expected: Weights,
    pub bounds: Weights,
}

impl Problem {
    fn zeros(&self) -> Weights {
        vec![Mat::zeros(self.n_q(), self.n_k()); self.form.heads]
    }

    /// The true weights. If `given`, the logarithms of the sums have been rounded on their way.
    pub fn weights(&self, engine: Engine<'_>, given: bool) -> Truth {
        let arithmetic = self.arithmetic(engine);
        let x = &arithmetic.operands(&self.inputs());
        let mut truth = Truth { expected: self.zeros(), bounds: self.zeros() };
        for span in self.form.spans(self.n_q(), self.n_k()) {
            for at in self.form.places(&span) {
                let row = span.queries.start + at.query;
                let seen = self.form.seen(x, &span, at);
                let (weights, _) = softmax(seen.iter().map(|(_, x)| *x).chain(self.form.sink(at.head)).collect());
                let bounds = weights_of_row(&self.form, x, &span, at, arithmetic, given);
                for ((j, _), (weight, bound)) in seen.iter().zip(weights.into_iter().zip(bounds)) {
                    truth.expected[at.head][(row, span.keys.start + j)] = weight;
                    truth.bounds[at.head][(row, span.keys.start + j)] = bound;
                }
            }
        }
        truth
    }

    pub fn inspection<'a>(&'a self, options: &'a selfattn::Attention<'a>, lse: Option<MatRef<'a>>) -> Inspection<'a> {
        let inspection = Inspection::new(options, self.q.matrix(), self.k.matrix());
        if let Some(lse) = lse { inspection.lse(lse) } else { inspection }
    }
}

impl Form {
    /// Whether the place of a query lets it see a key, whatever a mask says.
    fn sees_by_place(&self, n: [usize; 2], head: usize, row: usize, key: usize) -> bool {
        let open = Self { mask: None, ..self.clone() };
        open.spans(n[0], n[1]).iter().any(|span| {
            let at = super::form::Place { head, query: row.wrapping_sub(span.queries.start) };
            span.queries.contains(&row) && span.keys.contains(&key) && open.sees(span, at, key - span.keys.start)
        })
    }
}

/// All that is shown, put together; fails if a weight is shown twice, out of turn, or though its place hides it.
pub fn shown(engine: Engine<'_>, problem: &Problem, inspection: &Inspection<'_>, scratch: &mut [u8]) -> Weights {
    let mut weights = problem.zeros();
    let mut next = Mat::<f64>::zeros(problem.n_q(), problem.form.heads);
    engine
        .attention_weights(inspection, scratch, &mut |piece| {
            assert_eq!(piece.keys.len(), piece.weights.len(), "{piece:?}");
            assert!(!piece.keys.is_empty(), "{piece:?}");
            let ends = &mut next[(piece.query, piece.head)];
            assert!(*ends == 0.0 || *ends == piece.keys.start as f64, "{piece:?} after {ends}");
            *ends = piece.keys.end as f64;
            for (key, &weight) in piece.keys.clone().zip(piece.weights) {
                weights[piece.head][(piece.query, key)] = weight.into();
            }
            let sees = |key| problem.form.sees_by_place([problem.n_q(), problem.n_k()], piece.head, piece.query, key);
            assert!(sees(piece.keys.start) && sees(piece.keys.end - 1), "{piece:?} is hidden by its place");
        })
        .unwrap();
    weights
}

impl Truth {
    /// Of these queries and heads; of the others, nothing is to be shown.
    #[track_caller]
    pub fn check(&self, what: &str, got: &Weights, queries: &Range<usize>, heads: &Range<usize>) {
        for (head, got) in got.iter().enumerate() {
            let of = |x: &Mat, i: usize, j: usize| {
                if heads.contains(&head) && queries.contains(&i) { x[(i, j)] } else { 0.0 }
            };
            let chosen = |x: &Mat| Mat::new(x.rows, x.cols, |i, j| of(x, i, j));
            let (expected, bounds) = (chosen(&self.expected[head]), chosen(&self.bounds[head]));
            bound::assert_within(&format!("weights of head {head} of {what}"), got, &expected, &bounds);
        }
    }

    /// The sums over these queries and over each of `rows` equal parts of these heads, added to `start`; each rounds once for
    /// each term.
    pub fn mass(&self, queries: &Range<usize>, heads: &Range<usize>, start: &Mat) -> [Mat; 2] {
        let per = heads.len() / start.rows.max(1);
        let sum = |x: &Weights, i: usize, j: usize| -> f64 {
            let heads = heads.start + i * per..heads.start + (i + 1) * per;
            heads.map(|head| queries.clone().map(|row| x[head][(row, j)]).sum::<f64>()).sum()
        };
        let expected = Mat::new(start.rows, start.cols, |i, j| start[(i, j)] + sum(&self.expected, i, j));
        let bounds = Mat::new(start.rows, start.cols, |i, j| {
            let bound = sum(&self.bounds, i, j);
            let magnitude = start[(i, j)].abs() + sum(&self.expected, i, j) + bound;
            // Every query of every head, those beside them in a register, and the blocks.
            bound * SECOND_ORDER + gamma(2 * queries.len() * per + 64) * magnitude + TINY + U * bound
        });
        [expected, bounds]
    }
}

/// Rows that are not empty at first: what is added must leave that in.
pub fn started(rows: usize, n_k: usize) -> Strided {
    Strided::new(rows, n_k, 2, 3, |i, j| (i + j % 7) as f32 * 0.25)
}
