//! One attention: its shape, its inputs in every type, and what comes out.

use bumpalo::Bump;
use half::{bf16, f16};
use selfattn::{Attention, Dtype, Element, KvCache, MatRef};

use super::reference::{Expected, expected};
use crate::data::{Buffer, aligned, random, spread, unit};
use crate::error::Result;
use crate::report::sizes;

/// Sequences of random numbers; the Python side has the same.
const SEEDS: [u64; 3] = [4, 5, 6];
/// Queries are this much larger than keys, so that some keys count more than others.
const SHARPNESS: f32 = 4.0;
/// Elements of the result that are checked.
const CHECKED: usize = 100;

/// Heads, queries and keys of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub heads: usize,
    /// Heads of keys and values, each for `heads / kv_heads` heads of queries.
    pub kv_heads: usize,
    pub queries: usize,
    pub keys: usize,
    pub d: usize,
    pub causal: bool,
    /// Bytes of keys and values that are gone through before the same come again, if they are to come from memory.
    pub cold: Option<usize>,
}

impl Shape {
    /// `8x512x64` or `8x512x64 causal`: heads, queries and as many keys, dimensions.
    pub fn square(name: &str) -> Result<Self> {
        let (name, causal) = name.strip_suffix(" causal").map_or((name, false), |name| (name, true));
        let [heads, n, d] = sizes(name)?;
        Ok(Self { heads, kv_heads: heads, queries: n, keys: n, d, causal, cold: None })
    }

    /// `32x8x4096x128`: heads, heads of keys and values, keys, dimensions; one query.
    pub fn decode(name: &str, cold: usize) -> Result<Self> {
        let [heads, kv_heads, keys, d] = sizes(name)?;
        Ok(Self { heads, kv_heads, queries: 1, keys, d, causal: false, cold: Some(cold) })
    }

    /// As the Python side takes it.
    pub fn numbers(&self) -> [usize; 7] {
        let Self { heads, kv_heads, queries, keys, d, causal, cold } = *self;
        [heads, kv_heads, queries, keys, d, causal.into(), cold.unwrap_or(0)]
    }

    /// Floating-point operations, a multiply-add counted as two; half of them if causal, although a little more are needed.
    pub fn work(&self) -> f64 {
        let pairs = self.queries as f64 * self.keys as f64 / if self.causal { 2.0 } else { 1.0 };
        2.0 * pairs * (self.d + self.d) as f64 * self.heads as f64
    }

    /// Bytes of keys and values.
    pub fn bytes(&self, dtype: Dtype) -> usize {
        2 * self.keys * self.kv_heads * self.d * dtype.size()
    }

    pub fn scale(&self) -> f32 {
        1.0 / (self.d as f32).sqrt()
    }

    /// Where a head of a key or value starts: tokens stand one after the other, but in the memory of a decoder heads do.
    pub fn place(&self, key: usize, head: usize) -> usize {
        self.d * if self.cold.is_some() { head * self.keys + key } else { key * self.kv_heads + head }
    }

    /// Heads of queries that share a head of keys.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// Keys and values, by [`Shape::place`].
pub struct KeysValues<E> {
    pub k: Buffer<E>,
    pub v: Buffer<E>,
}

impl<E: Copy> KeysValues<E> {
    fn copied(&self) -> Self {
        Self { k: self.k.copied(), v: self.v.copied() }
    }
}

/// The inputs in one type.
pub struct Inputs<E> {
    /// `queries x (heads * d)`.
    pub q: Buffer<E>,
    /// The same many times over if they have to be cold.
    pub kv: Vec<KeysValues<E>>,
    /// The checked elements of the result for these inputs, as they are rounded to their type.
    expected: Vec<Expected>,
}

impl<E: Element> Inputs<E> {
    fn new(shape: &Shape, sampled: &[usize]) -> Self {
        let [q, k, v] = SEEDS;
        let q_len = shape.queries * shape.heads * shape.d;
        let q = Buffer::new(q_len, E::ZERO, |i| E::from_f32(SHARPNESS * unit(q, i)));
        let first = KeysValues { k: placed(shape, k), v: placed(shape, v) };
        let expected = sampled.iter().map(|&at| expected(shape, &q, &first, at)).collect();
        let mut kv: Vec<_> = (1..copies::<E>(shape)).map(|_| first.copied()).collect();
        kv.push(first);
        Self { q, kv, expected }
    }
}

/// Element `i` of the sequence `seed` where element `i` of `keys x (kv_heads * d)` stands.
fn placed<E: Element>(shape: &Shape, seed: u64) -> Buffer<E> {
    let mut out = Buffer::new(shape.keys * shape.kv_heads * shape.d, E::ZERO, |_| E::ZERO);
    for (i, (key, head)) in (0..shape.keys).flat_map(|key| (0..shape.kv_heads).map(move |head| (key, head))).enumerate()
    {
        let row = &mut out[shape.place(key, head)..][..shape.d];
        row.iter_mut().enumerate().for_each(|(c, x)| *x = E::from_f32(unit(seed, i * shape.d + c)));
    }
    out
}

/// So many that a run finds none of them in a cache, if they have to be cold.
fn copies<E: Element>(shape: &Shape) -> usize {
    shape.cold.map_or(1, |bytes| bytes.div_ceil(shape.bytes(E::DTYPE)))
}

/// A shape with everything that its contestants read.
pub struct Problem {
    pub shape: Shape,
    pub f32: Inputs<f32>,
    pub f16: Inputs<f16>,
    pub bf16: Inputs<bf16>,
    /// Memory for what contestants prepare: caches of keys and values.
    memory: Bump,
    /// The places of the result, `queries x (heads * d)`, that are checked.
    pub sampled: Vec<usize>,
}

impl Problem {
    pub fn new(shape: Shape) -> Self {
        let sampled = spread(shape.queries * shape.heads * shape.d, CHECKED);
        let (f32, f16, bf16) =
            (Inputs::new(&shape, &sampled), Inputs::new(&shape, &sampled), Inputs::new(&shape, &sampled));
        Self { shape, f32, f16, bf16, memory: Bump::new(), sampled }
    }

    /// The values at the checked places for inputs of a type, and how far each may be off.
    pub fn expected(&self, dtype: &str) -> (Vec<f64>, Vec<f64>) {
        let expected = match dtype {
            "f16" => &self.f16.expected,
            "bf16" => &self.bf16.expected,
            _ => &self.f32.expected,
        };
        expected.iter().map(|one| (one.value, one.tolerance(dtype, &self.shape))).unzip()
    }

    /// The same keys and values in caches of ours.
    pub fn caches<E: Element>(&self) -> Result<Vec<KvCache<'_, E>>> {
        let Shape { kv_heads, keys, d, .. } = self.shape;
        let [_, k, v] = SEEDS.map(|seed| random::<f32>(seed, keys * kv_heads * d));
        let cache = |_| {
            let memory = aligned(&self.memory, KvCache::<E>::len_of(kv_heads, d, d, keys)?);
            let mut cache = KvCache::new(memory, kv_heads, d, d, keys)?;
            let [k, v] = [&k, &v].map(|x| MatRef::new(x, keys, kv_heads * d));
            cache.append(k?, v?)?;
            Ok(cache)
        };
        (0..copies::<E>(&self.shape)).map(cache).collect()
    }

    pub fn attention(&self) -> Attention<'static> {
        let Shape { heads, kv_heads, d, causal, .. } = self.shape;
        Attention::new(heads, d).kv_heads(kv_heads).causal(causal)
    }
}
