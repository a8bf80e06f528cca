//! Caches of keys and values: attention over them is the plain call over the tokens that they should hold.

use crate::common::attend::cached::{Life, Step, cached, memory, new_cache};
use crate::common::attend::draw::{Draw, draws};
use crate::common::attend::form::Rows;
use crate::common::attend::{Problem, Truths};
use crate::common::bound::assert_within;
use crate::common::memory::Strided;
use crate::common::oracle::Mat;
use crate::common::pools::every_pool;
use crate::common::stored::Stored;
use crate::common::{cases, every_level};
use half::{bf16, f16};
use proptest::prelude::*;
use selfattn::{Attention, Engine, Error, KvCache, MatMut, MatRef, Sequences};

fn lives() -> impl Strategy<Value = Life> {
    let step = prop_oneof![
        8 => (0_usize..40).prop_map(Step::Append),
        2 => Just(Step::Append(1)),
        2 => (0_usize..60).prop_map(Step::Truncate),
        1 => Just(Step::Clear),
        1 => Just(Step::Attend),
    ];
    let steps = proptest::collection::vec(step, 1..12);
    (draws(40), 0_usize..20, 1_usize..100, any::<bool>(), steps)
        .prop_map(|(draw, queries, capacity, is_ring, steps)| Life { draw, queries, capacity, is_ring, steps })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn attention_over_a_cache_is_that_over_its_tokens(life in lives(), which in 0_usize..3) {
        [Life::check::<f32>, Life::check::<f16>, Life::check::<bf16>][which](&life);
    }

    /// Token by token, and some at a time: with its own keys behind those before it, each query has what it has among all. In a
    /// ring, if what was forgotten is outside of the window.
    #[test]
    fn tokens_in_turn_have_what_they_have_all_at_once(
        draw in draws(40), n in 1_usize..150, at_once in 1_usize..5, window in proptest::option::of(0_usize..70), spare in 0_usize..3,
    ) {
        let mut draw = draw;
        draw.types = [selfattn::Dtype::F32; 3];
        // What depends on the number of queries or keys at hand is not the same in turn.
        (draw.terms.bias, draw.sight.mask, draw.sight.query_offset) = (false, None, None);
        (draw.sight.causal, draw.sight.window) = (true, [window, None]);
        let all = draw.problem(Rows::One, [n, n]);
        let [q, k, v] = [&all.q, &all.k, &all.v].map(Stored::mat);
        let truths = Truths::of(&all);
        every_level(|engine| {
            let capacity = window.map_or(n, |left| left + at_once + spare);
            let len = KvCache::<f32>::len_of(draw.kv_heads, draw.head_dim, draw.value_dim, capacity).unwrap();
            let mut memory = memory::<f32>(len);
            let mut cache = new_cache(&mut memory, &draw, capacity, window.is_some());
            let truth = truths.at(engine);
            for start in (0..n).step_by(at_once) {
                let count = (n - start).min(at_once);
                let part = |mat: &Mat| mat.rows(start, count);
                let dense = |mat: &Mat| Strided::dense(count, mat.cols, |i, j| mat[(start + i, j)] as f32);
                cache.append(dense(&k).view(), dense(&v).view()).unwrap();
                let problem = Problem { q: Stored::of(all.q.dtype(), &part(&q)), ..all.clone() };
                let out = cached(engine, &problem, &cache).mat();
                let what = format!("{} tokens {start}.. of {all:?}", engine.level());
                assert_within(&what, &out, &part(&truth.expected.out), &part(&truth.bounds.out));
            }
        });
    }
}

/// Queries that meet few tokens of many dimensions, which lie one after the other or go on at the start of the memory.
#[test]
fn few_tokens_of_many_dimensions_are_those_that_the_cache_holds() {
    for (capacity, is_ring) in [(70, false), (50, true), (90, true)] {
        let steps = vec![Step::Append(40), Step::Attend, Step::Append(30), Step::Attend];
        let draw = Draw { group: 2, value_dim: 130, ..Draw::plain(2, 128, 3) };
        let life = Life { draw, queries: 40, capacity, is_ring, steps };
        life.check::<f32>();
        life.check::<f16>();
    }
}

/// Keys that go on at the start of the memory, in parts for threads: the same bits for any number of these.
#[test]
fn threads_do_not_change_a_bit_of_a_ring() {
    for (capacity, appended) in [(3000, 4000), (5000, 5001), (1500, 1499)] {
        for n_q in [1, 40] {
            let draw = Draw { group: 4, ..Draw::plain(2, 16, 3) };
            let mut memory = memory::<bf16>(KvCache::<bf16>::len_of(2, 16, 16, capacity).unwrap());
            let mut cache = new_cache(&mut memory, &draw, capacity, true);
            let tokens = draw.problem(Rows::One, [n_q, appended]);
            let [k, v] = [&tokens.k, &tokens.v].map(|x| x.mat());
            let dense = |mat: &Mat| Strided::dense(appended, mat.cols, |i, j| mat[(i, j)] as f32);
            cache.append(dense(&k).view(), dense(&v).view()).unwrap();
            every_level(|engine| {
                let expected = cached(engine, &tokens, &cache).bits();
                for (name, pool) in &every_pool() {
                    let out = cached(engine.with_pool(&**pool), &tokens, &cache);
                    assert_eq!(out.bits(), expected, "{} {name} {capacity} {n_q}", engine.level());
                }
            });
        }
    }
}

#[test]
fn what_is_appended_is_rounded_to_the_type() {
    let x = 1.0 + f32::EPSILON;
    let mut memory = memory::<f16>(2);
    let mut cache = KvCache::new(&mut memory, 1, 1, 1, 1).unwrap();
    cache.append(MatRef::from_row(&[1.0]), MatRef::from_row(&[x])).unwrap();
    let problem = Draw::plain(1, 1, 1).problem(Rows::One, [1, 0]);
    every_level(|engine| assert_eq!(cached(engine, &problem, &cache).view().row(0), [1.0], "{}", engine.level()));
}

#[test]
fn a_cache_that_cannot_be_is_refused() {
    let new = |len: usize, heads, d, dv, capacity| {
        let (mut memory, mut other) = (vec![0.0_f32; len], vec![0.0_f32; len]);
        let [plain, ring] = [
            KvCache::new(&mut memory, heads, d, dv, capacity).err(),
            KvCache::ring(&mut other, heads, d, dv, capacity).err(),
        ];
        assert!(capacity == 0 || plain == ring);
        [plain, ring]
    };
    for (sizes, arg) in [([0, 4, 4], "kv_heads"), ([2, 0, 4], "head_dim"), ([2, 4, 0], "value_dim")] {
        assert_eq!(new(1000, sizes[0], sizes[1], sizes[2], 5), [Some(Error::Value { arg }); 2]);
    }
    assert_eq!(new(0, 2, 4, 3, 0), [None, Some(Error::Value { arg: "capacity" })]);
    assert_eq!(KvCache::<f32>::len_of(2, 4, 3, 5), Ok(70));
    assert_eq!(new(70, 2, 4, 3, 5), [None; 2]);
    assert_eq!(new(69, 2, 4, 3, 5), [Some(Error::Shape { arg: "memory", expected: 70, got: 69 }); 2]);
    for [heads, d, dv, capacity] in [
        [usize::MAX, 4, 4, 5],
        [2, usize::MAX, 4, 5],
        [2, 4, usize::MAX, 5],
        [2, 4, 4, usize::MAX],
        [1, usize::MAX, 1, 1],
        [usize::MAX / 2, usize::MAX / 2, 1, 1],
    ] {
        let overflow = Error::Overflow { arg: "capacity" };
        assert_eq!(KvCache::<f32>::len_of(heads, d, dv, capacity), Err(overflow));
        assert_eq!(new(8, heads, d, dv, capacity), [Some(overflow); 2]);
    }
}

#[test]
fn tokens_that_do_not_fit_leave_the_cache_as_it_was() {
    let mut memory = memory::<f32>(70);
    let mut cache = KvCache::new(&mut memory, 2, 4, 3, 5).unwrap();
    let of = |rows, cols| Strided::dense(rows, cols, |i, j| (i + j) as f32);
    cache.append(of(3, 8).view(), of(3, 6).view()).unwrap();
    let problem = two_heads();
    let bits = |cache: &KvCache<'_, f32>| cached(Engine::new(), &problem, cache).bits();
    let before = bits(&cache);
    let shape = |arg, expected, got| Error::Shape { arg, expected, got };
    for (k, v, error) in [
        (of(1, 7), of(1, 6), shape("k", 8, 7)),
        (of(1, 8), of(1, 8), shape("v", 6, 8)),
        (of(2, 8), of(1, 6), shape("v", 2, 1)),
        (of(3, 8), of(3, 6), Error::Capacity { arg: "k", needed: 3, got: 2 }),
        (of(1000, 8), of(1000, 6), Error::Capacity { arg: "k", needed: 1000, got: 2 }),
    ] {
        assert_eq!(cache.append(k.view(), v.view()), Err(error));
        assert_eq!((cache.len(), bits(&cache)), (3, before.clone()), "{error:?}");
    }
    cache.append(of(2, 8).view(), of(2, 6).view()).unwrap();
    let full = Error::Capacity { arg: "k", needed: 1, got: 0 };
    assert_eq!(cache.append(of(1, 8).view(), of(1, 6).view()), Err(full));
    cache.append(of(0, 8).view(), of(0, 6).view()).unwrap();
    cache.truncate(3);
    assert_eq!(bits(&cache), before);
}

/// Two heads of 4 and 3 dimensions, one query.
fn two_heads() -> Problem {
    Draw { value_dim: 3, ..Draw::plain(2, 4, 1) }.problem(Rows::One, [1, 0])
}

#[test]
fn options_that_do_not_fit_the_cache_are_named() {
    let mut memory = memory::<f32>(70);
    let mut cache = KvCache::new(&mut memory, 2, 4, 3, 5).unwrap();
    let ones = |cols| Strided::dense(2, cols, |_, _| 1.0);
    cache.append(ones(8).view(), ones(6).view()).unwrap();
    let refused = |options: &Attention<'_>, cols: [usize; 2]| {
        let mut out = Strided::unwritten(1, cols[1], 0, 0);
        let q = vec![0.0; cols[0]];
        let q = MatRef::from_row(&q);
        let view: MatMut<'_> = out.view_mut();
        let error = Engine::new().attention_cached(options, q, &cache, view, &mut vec![0; 1 << 17]).unwrap_err();
        out.assert_unwritten();
        error
    };
    let options = Attention::new(2, 4).value_dim(3);
    let shape = |arg, expected, got| Error::Shape { arg, expected, got };
    assert_eq!(refused(&Attention::new(3, 4).value_dim(3), [12, 9]), shape("cache", 3, 2));
    assert_eq!(refused(&options.kv_heads(1), [8, 6]), shape("cache", 1, 2));
    assert_eq!(refused(&Attention::new(2, 5).value_dim(3), [10, 6]), shape("k", 5, 4));
    assert_eq!(refused(&options.value_dim(4), [8, 8]), shape("v", 4, 3));
    assert_eq!(refused(&options, [9, 6]), shape("q", 8, 9));
    assert_eq!(refused(&options, [8, 8]), shape("out", 6, 8));
    for sequences in [
        Sequences::Packed(&[1]),
        Sequences::Padded { key_lengths: &[2] },
        Sequences::Offsets { queries: &[0, 1], keys: &[0, 2] },
    ] {
        assert_eq!(refused(&options.sequences(sequences), [8, 6]), Error::Value { arg: "sequences" });
    }
}
