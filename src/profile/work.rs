//! What operations do: floating-point operations and bytes, by shape and type.
//!
//! A multiply-add is two operations; an addition, a comparison, a quotient, an exponential is one. Bytes are those of the
//! operands and the result, each once: the least that must move, whatever a cache keeps or a kernel reads again.

#![cfg_attr(not(feature = "profile"), expect(dead_code, reason = "without the feature nothing asks for it"))]

use core::ops::Range;

use crate::element::Dtype;

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Operation {
    /// An encoder's way over a group of sequences: tokens, hidden size, layers.
    Encoder,
    /// One of its layers: tokens, hidden size.
    Layer,
    /// Self-attention with its projections: tokens, hidden size.
    SelfAttention,
    /// The feed-forward network: tokens, hidden size, inner size.
    FeedForward,
    /// What one thread does of the operation that is its parent: the first item, the one after the last, all items.
    Task,
    /// A product by weights as files have them, which it packs: `m`, `k`, `n`.
    Matmul,
    /// A product by packed weights: `m`, `k`, `n`.
    MatmulPacked,
    /// A matrix by a vector: 1, `k`, `n`.
    Gemv,
    /// Attention: queries, keys, heads, dimensions of a head.
    Attention,
    /// Weights shown one by one: queries, keys, heads, dimensions of a head.
    AttentionWeights,
    /// What each key gets of them: queries, keys, heads, dimensions of a head.
    AttentionMass,
    /// Two partial results of attention made one: queries, columns.
    MergeAttention,
    /// Softmax of rows: rows, columns.
    Softmax,
    /// Layer norm: rows, columns.
    LayerNorm,
    /// An activation alone: rows, columns.
    Activate,
    /// Rows of a table: rows, columns.
    Gather,
    /// Word, position and type vectors added up: rows, columns, tables.
    Embed,
    /// Means of sequences: rows, columns, sequences.
    MeanPool,
    /// Rows scaled to length 1: rows, columns.
    Normalize,
}

impl Operation {
    /// Every one, in the order of their codes.
    pub const ALL: &[Self] = &[
        Self::Encoder,
        Self::Layer,
        Self::SelfAttention,
        Self::FeedForward,
        Self::Task,
        Self::Matmul,
        Self::MatmulPacked,
        Self::Gemv,
        Self::Attention,
        Self::AttentionWeights,
        Self::AttentionMass,
        Self::MergeAttention,
        Self::Softmax,
        Self::LayerNorm,
        Self::Activate,
        Self::Gather,
        Self::Embed,
        Self::MeanPool,
        Self::Normalize,
    ];

    /// A name in lower case, one or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Layer => "layer",
            Self::SelfAttention => "self-attention",
            Self::FeedForward => "feed-forward",
            Self::Task => "task",
            Self::Matmul => "matmul",
            Self::MatmulPacked => "matmul packed",
            Self::Gemv => "gemv",
            Self::Attention => "attention",
            Self::AttentionWeights => "attention weights",
            Self::AttentionMass => "attention mass",
            Self::MergeAttention => "merge attention",
            Self::Softmax => "softmax",
            Self::LayerNorm => "layer norm",
            Self::Activate => "activate",
            Self::Gather => "gather",
            Self::Embed => "embed",
            Self::MeanPool => "mean pool",
            Self::Normalize => "normalize",
        }
    }

    /// Whether it stands for what other spans do in it, and has no operations of its own.
    pub const fn is_block(self) -> bool {
        matches!(self, Self::Encoder | Self::Layer | Self::SelfAttention | Self::FeedForward)
    }
}

/// An operation, its operands, and what they cost.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub operation: Operation,
    pub shape: [usize; 4],
    pub types: [Option<Dtype>; 3],
    pub layer: Option<usize>,
    pub flops: u64,
    pub read: u64,
    pub written: u64,
}

const F32: u64 = 4;
/// Maximum, difference, exponential, sum, scale.
const SOFTMAX: u64 = 5;
/// Sum, deviation, its square added up (2), scale, weight and bias (2).
const LAYER_NORM: u64 = 7;

/// A product, or the largest number.
pub fn product<const N: usize>(factors: [usize; N]) -> u64 {
    factors.iter().fold(1, |product, &factor| product.saturating_mul(factor as u64))
}

impl Work {
    /// Without cost and types.
    fn of(operation: Operation, shape: [usize; 4]) -> Self {
        Self { operation, shape, types: [None; 3], layer: None, flops: 0, read: 0, written: 0 }
    }

    /// Of `rows x cols` floats that are read, so many operations each, and written.
    fn rows(operation: Operation, [rows, cols]: [usize; 2], flops: u64) -> Self {
        let elements = product([rows, cols]);
        let bytes = elements.saturating_mul(F32);
        let (read, written) = (bytes, bytes);
        let types = [Some(Dtype::F32), None, None];
        let flops = elements.saturating_mul(flops);
        Self { types, flops, read, written, ..Self::of(operation, [rows, cols, 0, 0]) }
    }

    pub fn encoder([tokens, hidden, layers]: [usize; 3]) -> Self {
        Self::of(Operation::Encoder, [tokens, hidden, layers, 0])
    }

    pub fn layer(layer: usize, [tokens, hidden]: [usize; 2]) -> Self {
        Self { layer: Some(layer), ..Self::of(Operation::Layer, [tokens, hidden, 0, 0]) }
    }

    pub fn self_attention([tokens, hidden]: [usize; 2]) -> Self {
        Self::of(Operation::SelfAttention, [tokens, hidden, 0, 0])
    }

    pub fn feed_forward([tokens, hidden, inner]: [usize; 3]) -> Self {
        Self::of(Operation::FeedForward, [tokens, hidden, inner, 0])
    }

    pub fn task(items: &Range<usize>, all: usize) -> Self {
        Self::of(Operation::Task, [items.start, items.end, all, 0])
    }

    /// `m x k` by `k x n`, and so many floats of bias and residual.
    pub fn matmul(operation: Operation, [m, k, n]: [usize; 3], [a, b]: [Dtype; 2], epilogue: usize) -> Self {
        let sides = product([m, k, a.size()]).saturating_add(product([k, n, b.size()]));
        Self {
            types: [Some(a), Some(b), None],
            flops: product([2, m, k, n]),
            read: sides.saturating_add(product([epilogue]).saturating_mul(F32)),
            written: product([m, n]).saturating_mul(F32),
            ..Self::of(operation, [m, k, n, 0])
        }
    }

    /// `pairs` is how many keys all queries of one head see together; `read` and `written` are bytes of the operands.
    pub fn attention(
        [queries, keys, heads]: [usize; 3],
        [d, dv]: [usize; 2],
        pairs: u64,
        types: [Dtype; 3],
        [read, written]: [u64; 2],
    ) -> Self {
        let flops = product([2, heads, d.saturating_add(dv)]).saturating_mul(pairs);
        Self {
            types: types.map(Some),
            flops,
            read,
            written,
            ..Self::of(Operation::Attention, [queries, keys, heads, d])
        }
    }

    /// The logits of so many `pairs` of a query and a key in each head; what is read are queries and keys.
    pub fn inspection(operation: Operation, shape: [usize; 4], pairs: u64, types: [Dtype; 2]) -> Self {
        let [queries, keys, heads, d] = shape;
        let [q, k] = types;
        let flops = product([2, heads, d]).saturating_mul(pairs);
        let read = product([queries, heads, d, q.size()]).saturating_add(product([keys, heads, d, k.size()]));
        Self { types: [Some(q), Some(k), None], flops, read, ..Self::of(operation, shape) }
    }

    pub fn merge_attention([queries, columns, heads]: [usize; 3]) -> Self {
        let (values, sums) = (product([queries, columns]), product([queries, heads]));
        let bytes = values.saturating_add(sums).saturating_mul(F32);
        let (flops, read, written) = (values.saturating_mul(3), bytes.saturating_mul(2), bytes);
        Self { flops, read, written, ..Self::of(Operation::MergeAttention, [queries, columns, 0, 0]) }
    }

    pub fn softmax(shape: [usize; 2]) -> Self {
        Self::rows(Operation::Softmax, shape, SOFTMAX)
    }

    pub fn layer_norm([rows, cols]: [usize; 2]) -> Self {
        let work = Self::rows(Operation::LayerNorm, [rows, cols], LAYER_NORM);
        Self { read: work.read.saturating_add(product([2, cols, 4])), ..work }
    }

    /// One operation an element, whatever the function.
    pub fn activate(shape: [usize; 2]) -> Self {
        Self::rows(Operation::Activate, shape, 1)
    }

    /// Rows of a table.
    pub fn gather([rows, cols]: [usize; 2], table: Dtype) -> Self {
        let read = product([rows, cols, table.size()]);
        Self { types: [Some(table), None, None], read, ..Self::rows(Operation::Gather, [rows, cols], 0) }
    }

    /// The sum of rows of some tables of the same type.
    pub fn embed([rows, cols, tables]: [usize; 3], table: Dtype) -> Self {
        let flops = product([rows, cols, tables.saturating_sub(1)]);
        let (read, types) = (product([rows, cols, tables, table.size()]), [Some(table), None, None]);
        let shape = [rows, cols, tables, 0];
        Self { shape, flops, types, read, ..Self::rows(Operation::Embed, [rows, cols], 0) }
    }

    pub fn mean_pool([rows, cols, sequences]: [usize; 3]) -> Self {
        let (flops, written) = (product([rows.saturating_add(sequences), cols]), product([sequences, cols, 4]));
        let shape = [rows, cols, sequences, 0];
        Self { shape, flops, written, ..Self::rows(Operation::MeanPool, [rows, cols], 0) }
    }

    /// A square added up, and a product.
    pub fn normalize(shape: [usize; 2]) -> Self {
        Self::rows(Operation::Normalize, shape, 3)
    }
}
