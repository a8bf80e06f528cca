//! The options of attention, owned, and what they mean: the sequences, the keys that a query sees, its logits. Sums over keys
//! are in [`oracle`](super::oracle), rounding errors in [`bound`](super::bound).

use std::ops::Range;

use selfattn::{Attention, Bias, Mask, Sequences};

use super::super::oracle::{Real, dot};
use super::broadcast::Broadcast;

/// How the rows divide into sequences.
#[derive(Clone, Debug)]
pub enum Rows {
    One,
    Packed(Vec<usize>),
    Padded(Vec<usize>),
    Offsets { queries: Vec<usize>, keys: Vec<usize> },
}

/// The rows of one sequence: its queries, and its keys without padding.
#[derive(Clone, Debug)]
pub struct Span {
    pub sequence: usize,
    pub queries: Range<usize>,
    pub keys: Range<usize>,
}

/// A query of one head; `query` counts within the sequence.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub head: usize,
    pub query: usize,
}

/// The parts of a logit: their sum is the logit.
#[derive(Clone, Copy, Debug)]
pub struct Terms<T> {
    /// The scaled product, put through the softcap.
    pub product: T,
    pub bias: T,
    pub alibi: T,
}

#[derive(Clone, Debug)]
pub struct Form {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub value_dim: usize,
    pub scale: f64,
    pub softcap: Option<f32>,
    pub causal: bool,
    pub window: [Option<usize>; 2],
    pub query_offset: Option<usize>,
    pub rows: Rows,
    pub bias: Option<Broadcast<f32>>,
    pub mask: Option<Broadcast<bool>>,
    pub alibi: Option<Vec<f32>>,
    pub sinks: Option<Vec<f32>>,
    /// Keys at a time: no part of the meaning.
    pub key_block: Option<usize>,
}

impl Form {
    /// As `Attention::new`.
    pub fn new(heads: usize, head_dim: usize) -> Self {
        Self {
            heads,
            kv_heads: heads,
            head_dim,
            value_dim: head_dim,
            scale: 1.0 / (head_dim as f64).sqrt(),
            softcap: None,
            causal: false,
            window: [None; 2],
            query_offset: None,
            rows: Rows::One,
            bias: None,
            mask: None,
            alibi: None,
            sinks: None,
            key_block: None,
        }
    }

    /// The same for the library. What is as it is by default is left unsaid.
    pub fn options(&self) -> Attention<'_> {
        let mut options = Attention::new(self.heads, self.head_dim).sequences(self.sequences()).causal(self.causal);
        if self.kv_heads != self.heads {
            options = options.kv_heads(self.kv_heads);
        }
        if self.value_dim != self.head_dim {
            options = options.value_dim(self.value_dim);
        }
        if self.scale != 1.0 / (self.head_dim as f64).sqrt() {
            options = options.scale(self.scale as f32);
        }
        if self.window != [None; 2] {
            options = options.window(self.window[0], self.window[1]);
        }
        if let Some(offset) = self.query_offset {
            options = options.query_offset(offset);
        }
        if let Some(cap) = self.softcap {
            options = options.softcap(cap);
        }
        if let Some(bias) = &self.bias {
            options = options.bias(Bias::new(&bias.data, bias.strides));
        }
        if let Some(mask) = &self.mask {
            options = options.mask(Mask::new(&mask.data, mask.strides));
        }
        if let Some(slopes) = &self.alibi {
            options = options.alibi(slopes);
        }
        if let Some(sinks) = &self.sinks {
            options = options.sinks(sinks);
        }
        if let Some(keys) = self.key_block {
            options = options.key_block(keys);
        }
        options
    }

    fn sequences(&self) -> Sequences<'_> {
        match &self.rows {
            Rows::One => Sequences::One,
            Rows::Packed(lengths) => Sequences::Packed(lengths),
            Rows::Padded(key_lengths) => Sequences::Padded { key_lengths },
            Rows::Offsets { queries, keys } => Sequences::Offsets { queries, keys },
        }
    }

    /// The sequences of that many queries and keys in all.
    pub fn spans(&self, n_q: usize, n_k: usize) -> Vec<Span> {
        let rows: Vec<[Range<usize>; 2]> = match &self.rows {
            Rows::One => vec![[0..n_q, 0..n_k]],
            Rows::Packed(lengths) => {
                let end = |i: usize| lengths[..i].iter().sum::<usize>();
                (0..lengths.len()).map(|i| [end(i)..end(i + 1), end(i)..end(i + 1)]).collect()
            }
            Rows::Padded(lengths) => {
                let count = lengths.len().max(1);
                let (q, k) = (n_q / count, n_k / count);
                let block = |(i, len): (usize, &usize)| [i * q..(i + 1) * q, i * k..i * k + len];
                lengths.iter().enumerate().map(block).collect()
            }
            Rows::Offsets { queries, keys } => {
                queries.windows(2).zip(keys.windows(2)).map(|(q, k)| [q[0]..q[1], k[0]..k[1]]).collect()
            }
        };
        let span = |(sequence, [queries, keys]): (usize, [Range<usize>; 2])| Span { sequence, queries, keys };
        rows.into_iter().enumerate().map(span).collect()
    }

    /// Every query of every head.
    pub fn places(&self, span: &Span) -> impl Iterator<Item = Place> + use<> {
        let (heads, queries) = (self.heads, span.queries.len());
        (0..queries).flat_map(move |query| (0..heads).map(move |head| Place { head, query }))
    }

    /// Where the query stands among the keys of its sequence: before the first if there are more queries than keys.
    fn position(&self, span: &Span, query: usize) -> i128 {
        match self.query_offset {
            Some(offset) => query as i128 + offset as i128,
            None => query as i128 + span.keys.len() as i128 - span.queries.len() as i128,
        }
    }

    /// Whether a query sees key `j` of its sequence.
    pub fn sees(&self, span: &Span, at: Place, j: usize) -> bool {
        let ahead = j as i128 - self.position(span, at.query);
        let [left, right] = self.window.map(|limit| limit.map(|limit| limit as i128));
        (!self.causal || ahead <= 0)
            && left.is_none_or(|left| -ahead <= left)
            && right.is_none_or(|right| ahead <= right)
            && self.mask.as_ref().is_none_or(|mask| mask.at(span.sequence, at, j))
    }

    /// The columns of q, of k and of v and out that a head has.
    pub fn columns(&self, head: usize) -> [Range<usize>; 3] {
        let kv = head / (self.heads / self.kv_heads);
        let columns = |head: usize, dim: usize| head * dim..(head + 1) * dim;
        [columns(head, self.head_dim), columns(kv, self.head_dim), columns(kv, self.value_dim)]
    }

    /// The columns of the result that a head has.
    pub fn out_columns(&self, head: usize) -> Range<usize> {
        head * self.value_dim..(head + 1) * self.value_dim
    }

    /// The logit of a query and key `j` of its sequence, in parts.
    pub fn terms<T: Real>(&self, span: &Span, at: Place, j: usize, q: &[T], k: &[T]) -> Terms<T> {
        let product = T::of(self.scale) * dot(q, k);
        let product = self.softcap.map_or(product, |cap| {
            let cap = T::of(cap.into());
            cap * (product / cap).tanh()
        });
        let bias = self.bias.as_ref().map_or(0.0, |bias| bias.at(span.sequence, at, j));
        let distance = (self.position(span, at.query) - j as i128).abs();
        let alibi =
            self.alibi.as_ref().map_or(T::of(0.0), |slopes| -(T::of(slopes[at.head].into()) * T::of(distance as f64)));
        Terms { product, bias: T::of(bias.into()), alibi }
    }

    pub fn sink<T: Real>(&self, head: usize) -> Option<T> {
        self.sinks.as_ref().map(|sinks| T::of(sinks[head].into()))
    }
}

impl<T: Real> Terms<T> {
    pub fn logit(self) -> T {
        self.product + self.bias + self.alibi
    }
}
