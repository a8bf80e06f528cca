//! Attention with every option that reads memory, and over a cache.

use half::{bf16, f16};
use selfattn::{Attention, Bias, Dtype, Element, Engine, Inspection, KvCache, Mask, MatMut, MatRef, Matrix};

use crate::common::stored::DTYPES;
use crate::memory::{Edge, Floats, Guarded, SOME, Table, at_every_length, scratch};

#[derive(Clone, Copy)]
struct Sizes {
    queries: usize,
    keys: usize,
    dim: usize,
    value_dim: usize,
}

/// Query heads and heads of keys: heads that share their keys are computed together.
const HEADS: [usize; 2] = [4, 2];
/// Each with keys of its own: tables of options are read whole registers at a time then.
const ALONE: [usize; 2] = [2, 2];

fn options(sizes: Sizes, [heads, kv_heads]: [usize; 2]) -> Attention<'static> {
    Attention::new(heads, sizes.dim).kv_heads(kv_heads).value_dim(sizes.value_dim)
}

/// Without options; and with a bias, a mask, slopes and sinks, all of them just as long as they must be.
fn attend(engine: Engine<'_>, edge: Edge, types: [Dtype; 3], sizes: Sizes, [heads, kv_heads]: [usize; 2]) -> Vec<u32> {
    let Sizes { queries, keys, dim, value_dim } = sizes;
    let q = Table::random(edge, types[0], [queries, heads * dim], 1, 1);
    let k = Table::random(edge, types[1], [keys, kv_heads * dim], 2, 2);
    let v = Table::random(edge, types[2], [keys, kv_heads * value_dim], 3, 3);
    let bias = Floats::random(edge, [heads * queries, keys], 0, 4);
    let mask: Vec<u8> = (0..queries * keys).map(|i| u8::from(i % 3 != 1)).collect();
    let mask = Guarded::new(edge, &mask);
    let [slopes, sinks] = [5, 6].map(|seed| Floats::random(edge, [1, heads], 0, seed));
    let plain = options(sizes, [heads, kv_heads]);
    let full = plain
        .causal(true)
        .softcap(3.0)
        .bias(Bias::new(&bias.data, [0, queries * keys, keys, 1]))
        .mask(Mask::from_bytes(&mask, [0, 0, keys, 1]))
        .alibi(&slopes.data)
        .sinks(&sinks.data);
    let results = [plain, full].map(|options| {
        let mut out = Floats::unwritten(edge, [queries, heads * value_dim], 4);
        let mut lse = Floats::unwritten(edge, [queries, heads], 1);
        let mut scratch = scratch(edge, engine.attention_scratch(&options).unwrap());
        let (q, k, v) = (q.matrix(), k.matrix(), v.matrix());
        engine.attention_lse(&options, q, k, v, out.view_mut(), lse.view_mut(), &mut scratch).unwrap();
        [out.bits(), lse.bits()].concat()
    });
    results.concat()
}

/// Few queries have a way of their own, and so have blocks that fill the lanes.
const QUERIES: [usize; 2] = [2, 21];

fn in_all_types(engine: Engine<'_>, edge: Edge, sizes: Sizes) -> Vec<u32> {
    let mixed = [[Dtype::F32, Dtype::F16, Dtype::Bf16], [Dtype::Bf16, Dtype::F32, Dtype::F16]];
    DTYPES
        .map(|dtype| [dtype; 3])
        .into_iter()
        .chain(mixed)
        .flat_map(|types| [HEADS, ALONE].map(|heads| attend(engine, edge, types, sizes, heads)).concat())
        .collect()
}

#[test]
fn attention_stays_inside_at_every_dimension_of_keys() {
    at_every_length(SOME, |engine, edge, dim| {
        QUERIES.map(|queries| in_all_types(engine, edge, Sizes { queries, keys: 19, dim, value_dim: 3 })).concat()
    });
}

#[test]
fn attention_stays_inside_at_every_dimension_of_values() {
    at_every_length(SOME, |engine, edge, value_dim| {
        QUERIES.map(|queries| in_all_types(engine, edge, Sizes { queries, keys: 19, dim: 3, value_dim })).concat()
    });
}

/// As the plain algorithm takes them: of more queries than one block of it has, by few keys.
#[test]
fn attention_stays_inside_of_many_dimensions_and_few_keys() {
    at_every_length(SOME, |engine, edge, more| {
        let sizes = Sizes { queries: 130, keys: 15 + more, dim: 128 + more, value_dim: 131 };
        [[Dtype::F32; 3], [Dtype::F16; 3]].map(|types| attend(engine, edge, types, sizes, HEADS)).concat()
    });
}

#[test]
fn attention_stays_inside_at_every_number_of_keys() {
    at_every_length(SOME, |engine, edge, keys| {
        // Whole registers of values have ways of their own.
        let value_dim = engine.level().lanes() + 1;
        QUERIES.map(|queries| in_all_types(engine, edge, Sizes { queries, keys, dim: 5, value_dim })).concat()
    });
}

#[test]
fn attention_stays_inside_at_every_number_of_queries() {
    at_every_length(SOME, |engine, edge, queries| {
        in_all_types(engine, edge, Sizes { queries, keys: 70, dim: 5, value_dim: 7 })
    });
}

/// A ring in which the oldest tokens have been forgotten, its memory just as long as it must be.
fn cached<E: Element>(engine: Engine<'_>, edge: Edge, sizes: Sizes) -> Vec<u32>
where
    for<'m> Matrix<'m>: From<MatRef<'m, E>>,
{
    let Sizes { queries, keys, dim, value_dim } = sizes;
    let len = KvCache::<E>::len_of(HEADS[1], dim, value_dim, keys).unwrap();
    let mut memory = Guarded::new(edge, &vec![E::from_f32(f32::NAN); len]);
    let mut cache = KvCache::ring(&mut memory, HEADS[1], dim, value_dim, keys).unwrap();
    let appended = keys + keys / 2;
    let k = Floats::random(edge, [appended, HEADS[1] * dim], 1, 1);
    let v = Floats::random(edge, [appended, HEADS[1] * value_dim], 2, 2);
    cache.append(k.view(), v.view()).unwrap();
    let q = Floats::random(edge, [queries, HEADS[0] * dim], 3, 3);
    let mut out = Floats::unwritten(edge, [queries, HEADS[0] * value_dim], 4);
    let mut scratch = scratch(edge, engine.attention_scratch(&options(sizes, HEADS)).unwrap());
    engine.attention_cached(&options(sizes, HEADS), q.view(), &cache, out.view_mut(), &mut scratch).unwrap();
    out.bits()
}

#[test]
fn attention_over_a_cache_stays_inside() {
    at_every_length(SOME, |engine, edge, len| {
        let sizes = [[len, 5, 3], [9, len, 3], [9, 5, len]];
        let all = sizes.into_iter().flat_map(|size| QUERIES.map(|queries| (queries, size)));
        all.flat_map(|(queries, [keys, dim, value_dim])| {
            let sizes = Sizes { queries, keys, dim, value_dim };
            [cached::<f32>, cached::<f16>, cached::<bf16>].map(|cached| cached(engine, edge, sizes)).concat()
        })
        .collect()
    });
}

/// What is shown, piece by piece, and the mass of each key.
fn inspected(engine: Engine<'_>, edge: Edge, sizes: Sizes) -> Vec<u32> {
    let Sizes { queries, keys, dim, .. } = sizes;
    let q = Table::random(edge, Dtype::F32, [queries, HEADS[0] * dim], 1, 1);
    let k = Table::random(edge, Dtype::F16, [keys, HEADS[1] * dim], 2, 2);
    let options = options(sizes, HEADS);
    let inspection = Inspection::new(&options, q.matrix(), k.matrix());
    let mut scratch = scratch(edge, engine.inspection_scratch(&options).unwrap());
    let mut shown = Vec::new();
    engine
        .attention_weights(&inspection, &mut scratch, &mut |piece| shown.extend(crate::common::bits(piece.weights)))
        .unwrap();
    let mut mass = Guarded::new(edge, &vec![0.0; HEADS[1] * keys]);
    engine.attention_mass(&inspection, MatMut::new(&mut mass, HEADS[1], keys).unwrap(), &mut scratch).unwrap();
    shown.extend(crate::common::bits(&mass));
    shown
}

#[test]
fn inspection_stays_inside() {
    at_every_length(SOME, |engine, edge, len| {
        let sizes = [[len, 5], [9, len]].into_iter().flat_map(|size| QUERIES.map(|queries| (queries, size)));
        sizes
            .flat_map(|(queries, [keys, dim])| inspected(engine, edge, Sizes { queries, keys, dim, value_dim: dim }))
            .collect()
    });
}
