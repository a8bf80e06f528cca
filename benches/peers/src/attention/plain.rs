//! The plain algorithm by our own operations: a product, softmax in place, a product. The scores of a head stand in memory,
//! queries by keys.

use std::cell::RefCell;

use selfattn::{Element, Engine, Epilogue, MatMut, MatRef, Matrix, Order, Plain, Result, Weights};

use super::problem::{KeysValues, Shape};
use crate::data::Buffer;

/// Memory for the scores of one head, which all contestants of a shape take turns in.
pub struct Scores(RefCell<Buffer<f32>>);

impl Scores {
    pub fn new(shape: &Shape) -> Self {
        Self(RefCell::new(Buffer::new(rows(shape) * shape.keys, 0.0, |_| 0.0)))
    }
}

/// Rows of a product: queries, or with one query the heads that share keys.
fn rows(shape: &Shape) -> usize {
    if shape.queries == 1 { shape.group() } else { shape.queries }
}

pub struct PlainAttention<'a, E> {
    engine: &'a Engine<'a>,
    shape: Shape,
    /// The queries, scaled beforehand: that costs nothing here.
    q: Buffer<E>,
    scores: &'a Scores,
    scratch: Vec<u8>,
}

impl<'a, E: Element> PlainAttention<'a, E>
where
    for<'b> Matrix<'b>: From<MatRef<'b, E>>,
{
    pub fn new(engine: &'a Engine<'a>, shape: Shape, q: &[E], scores: &'a Scores) -> Self {
        let scaled = |i: usize| E::from_f32(q[i].to_f32() * shape.scale());
        Self { engine, shape, q: Buffer::new(q.len(), E::ZERO, scaled), scores, scratch: Vec::new() }
    }

    pub fn run(&mut self, kv: &KeysValues<E>, out: &mut [f32]) -> Result<()> {
        (0..self.shape.kv_heads).try_for_each(|head| self.head(head, kv, out))
    }

    fn head(&mut self, head: usize, kv: &KeysValues<E>, out: &mut [f32]) -> Result<()> {
        let Shape { heads, kv_heads, queries, keys, d, causal, cold } = self.shape;
        let (columns, group) = (head * d..(head + 1) * d, head * self.shape.group()..(head + 1) * self.shape.group());
        let (q, out) = if queries == 1 {
            (MatRef::new(&self.q, heads, d)?.rows_range(group.clone())?, MatMut::new(out, heads, d)?.rows_range(group)?)
        } else {
            let (q, out) = (MatRef::new(&self.q, queries, heads * d)?, MatMut::new(out, queries, heads * d)?);
            (q.cols_range(columns.clone())?, out.cols_range(columns)?)
        };
        let stride = if cold.is_some() { d } else { kv_heads * d };
        let [k, v] = [&kv.k, &kv.v].map(|x| MatRef::with_stride(&x[self.shape.place(0, head)..], keys, d, stride));
        let mut memory = self.scores.0.borrow_mut();
        let mut scores = MatMut::new(&mut memory, rows(&self.shape), keys)?;
        product(self.engine, q.into(), Plain::from(Matrix::from(k?)), scores.reborrow(), &mut self.scratch)?;
        if causal {
            (0..queries).for_each(|i| scores.row_mut(i)[i + 1..].fill(f32::NEG_INFINITY));
        }
        self.engine.softmax(scores.reborrow());
        let values = Plain::new(v?.into(), Order::InOut);
        product(self.engine, scores.as_ref().into(), values, out, &mut self.scratch)
    }
}

fn product(engine: &Engine<'_>, a: Matrix<'_>, b: Plain<'_>, out: MatMut<'_>, scratch: &mut Vec<u8>) -> Result<()> {
    let weights = Weights::Plain(b);
    let bytes = engine.matmul_scratch(a.rows(), a.dtype(), &weights)?;
    if scratch.len() < bytes {
        scratch.resize(bytes, 0);
    }
    engine.matmul(a, &weights, &Epilogue::default(), out, scratch)
}
