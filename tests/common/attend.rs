//! One attention problem as the tests vary it: operands, options, and what must come out.

use selfattn::{Attention, Engine, Sequences};

use super::bound;
use super::memory::{Bytes, Strided};
use super::oracle::{Heads, Mat};

/// How the rows divide into sequences, with owned lengths.
#[derive(Clone, Debug)]
pub enum Rows {
    One,
    Packed(Vec<usize>),
    Padded(Vec<usize>),
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub heads: usize,
    pub head_dim: usize,
    pub value_dim: usize,
    pub scale: f32,
    pub causal: bool,
    pub rows: Rows,
    pub q: Strided,
    pub k: Strided,
    pub v: Strided,
}

impl Problem {
    /// A head of as many dimensions as q has columns, the default scale, no mask, one sequence.
    pub fn of(q: Strided, k: Strided, v: Strided) -> Self {
        let (head_dim, value_dim) = (q.cols, v.cols);
        let scale = 1.0 / (head_dim as f32).sqrt();
        Self { heads: 1, head_dim, value_dim, scale, causal: false, rows: Rows::One, q, k, v }
    }

    pub fn options(&self) -> Attention<'_> {
        let sequences = match &self.rows {
            Rows::One => Sequences::One,
            Rows::Packed(lengths) => Sequences::Packed(lengths),
            Rows::Padded(key_lengths) => Sequences::Padded { key_lengths },
        };
        Attention::new(self.heads, self.head_dim)
            .value_dim(self.value_dim)
            .scale(self.scale)
            .causal(self.causal)
            .sequences(sequences)
    }

    /// The result, in scratch of exactly the size asked for, dirty and misaligned.
    pub fn run(&self, engine: Engine<'_>) -> Strided {
        let mut scratch = Bytes::new(engine.attention_scratch(&self.options()).unwrap(), 1);
        self.run_in(engine, &mut scratch)
    }

    pub fn run_in(&self, engine: Engine<'_>, scratch: &mut [u8]) -> Strided {
        let mut out = Strided::unwritten(self.q.rows, self.heads * self.value_dim, 3, 1);
        let (q, k, v) = (self.q.view(), self.k.view(), self.v.view());
        engine.attention(&self.options(), q, k, v, out.view_mut(), scratch).unwrap();
        out.assert_guards();
        out
    }

    fn oracle(&self) -> Heads {
        let Self { heads, head_dim, value_dim, causal, .. } = *self;
        Heads { heads, head_dim, value_dim, scale: self.scale.into(), causal }
    }

    /// First query, queries, first key and keys of each sequence.
    fn spans(&self) -> Vec<[usize; 4]> {
        match &self.rows {
            Rows::One => vec![[0, self.q.rows, 0, self.k.rows]],
            Rows::Packed(lengths) => {
                let starts = lengths.iter().scan(0, |end, len| {
                    *end += len;
                    Some(*end - len)
                });
                starts.zip(lengths).map(|(start, &len)| [start, len, start, len]).collect()
            }
            Rows::Padded(key_lengths) => {
                let count = key_lengths.len();
                let (q, k) = (self.q.rows / count, self.k.rows / count);
                key_lengths.iter().enumerate().map(|(i, &len)| [i * q, q, i * k, len]).collect()
            }
        }
    }

    /// The true result, and how far from it rounding may lead.
    pub fn expected(&self) -> (Mat, Mat) {
        let (heads, [q, k, v]) = (self.oracle(), [&self.q, &self.k, &self.v].map(Strided::mat));
        let cols = self.heads * self.value_dim;
        let (mut out, mut bounds) = (Mat::zeros(0, cols), Mat::zeros(0, cols));
        for [first_q, n_q, first_k, n_k] in self.spans() {
            let (q, k, v) = (q.rows(first_q, n_q), k.rows(first_k, n_k), v.rows(first_k, n_k));
            out.append(heads.attention(&q, &k, &v));
            bounds.append(bound::attention(&heads, &q, &k, &v));
        }
        (out, bounds)
    }

    /// Runs it at every level and compares.
    #[track_caller]
    pub fn check(&self) {
        let (expected, bounds) = self.expected();
        super::every_level(|engine| {
            let what = format!("{} {:?} n_q {} n_k {}", engine.level(), self.options(), self.q.rows, self.k.rows);
            bound::assert_within(&what, &self.run(engine).mat(), &expected, &bounds);
        });
    }
}
