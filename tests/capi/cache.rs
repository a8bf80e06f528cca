//! Keys and values of the tokens so far, token by token.

use std::ptr::{null, null_mut};

use half::{bf16, f16};
use selfattn::capi::{self, Kv, Status};
use selfattn::{Attention, Dtype, Element, Engine, KvCache, MatRef, Matrix};

use super::support::{code, fails, mat, mat_mut, of_view, options, size, start, works};
use crate::common::data::Rng;
use crate::common::memory::{Bytes, Strided};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const D: usize = 8;
const CAPACITY: usize = 6;
const TOKENS: usize = 16;

/// A cache without memory yet.
fn kv(dtype: Dtype, is_ring: bool) -> Kv {
    Kv {
        memory: null_mut(),
        memory_bytes: 0,
        kv_heads: KV_HEADS,
        head_dim: D,
        value_dim: 0,
        capacity: CAPACITY,
        first: 0,
        len: 0,
        dtype: code(dtype),
        is_ring: i32::from(is_ring),
    }
}

/// With memory.
fn with_memory(mut cache: Kv) -> (Kv, Bytes) {
    // SAFETY: what the header asks for.
    cache.memory_bytes = size(|bytes, error| unsafe { capi::kv_bytes(&raw const cache, bytes, error) });
    let mut memory = Bytes::new(cache.memory_bytes, 0);
    cache.memory = start(&mut memory);
    (cache, memory)
}

fn append(cache: &mut Kv, k: &Strided, v: &Strided) {
    let (k, v) = (mat(k), mat(v));
    // SAFETY: what the header asks for.
    works(|error| unsafe { capi::kv_append(cache, &raw const k, &raw const v, error) });
}

/// What attention over the cache gives, and the logarithms of its sums; without these it gives the same.
fn attend(cache: &Kv, q: &Strided) -> [Vec<u32>; 2] {
    let options = capi::AttentionOptions { kv_heads: KV_HEADS, flags: 1, ..options(HEADS, D) };
    // SAFETY: what the header asks for.
    let needed = size(|bytes, error| unsafe { capi::attention_scratch(null(), &raw const options, bytes, error) });
    let mut scratch = Bytes::new(needed, 5);
    let unwritten = |cols| Strided::unwritten(q.rows, cols, 1, 0);
    let (mut out, mut alone, mut lse) = (unwritten(HEADS * D), unwritten(HEADS * D), unwritten(HEADS));
    let logarithms = mat_mut(&mut lse);
    for (out, lse) in [(&mut out, &raw const logarithms), (&mut alone, null())] {
        let (q, to) = (mat(q), mat_mut(out));
        // SAFETY: what the header asks for.
        works(|error| unsafe {
            let room = start(&mut scratch);
            capi::attention_cached(
                null(),
                &raw const options,
                &raw const q,
                cache,
                &raw const to,
                lse,
                room,
                needed,
                error,
            )
        });
    }
    out.assert_guards();
    lse.assert_guards();
    assert_eq!(out.bits(), alone.bits());
    [out.bits(), lse.bits()]
}

/// A decoder's way through tokens, one or two at a time, beside the Rust API's.
fn decode<E: Element>(is_ring: bool, tokens: usize)
where
    for<'m> Matrix<'m>: From<MatRef<'m, E>>,
{
    let rust = Engine::new();
    let attention = Attention::new(HEADS, D).kv_heads(KV_HEADS).causal(true);
    let mut scratch = vec![0; rust.attention_scratch(&attention).unwrap()];
    let mut memory = vec![E::ZERO; KvCache::<E>::len_of(KV_HEADS, D, D, CAPACITY).unwrap()];
    let new = if is_ring { KvCache::ring } else { KvCache::new };
    let mut expected = new(&mut memory, KV_HEADS, D, D, CAPACITY).unwrap();
    let (mut cache, _memory) = with_memory(kv(E::DTYPE, is_ring));
    let mut rng = Rng::new(3);
    let mut random = |rows, cols| Strided::new(rows, cols, 2, 0, |_, _| rng.unit());
    let mut done = 0;
    while done < tokens {
        let step = 1 + done % 2;
        let (q, k, v) = (random(step, HEADS * D), random(step, KV_HEADS * D), random(step, KV_HEADS * D));
        append(&mut cache, &k, &v);
        expected.append(k.view(), v.view()).unwrap();
        assert_eq!(cache.len, expected.len());
        let unwritten = |cols| Strided::unwritten(step, cols, 0, 0);
        let (mut out, mut lse) = (unwritten(HEADS * D), unwritten(HEADS));
        let (to, logarithms) = (out.view_mut(), lse.view_mut());
        rust.attention_cached_lse(&attention, q.view(), &expected, to, logarithms, &mut scratch).unwrap();
        assert_eq!(attend(&cache, &q), [out.bits(), lse.bits()], "{} after {done} tokens", E::DTYPE.name());
        done += step;
    }
}

#[test]
fn a_decoder_sees_what_the_rust_apis_does() {
    for is_ring in [false, true] {
        let tokens = if is_ring { TOKENS } else { CAPACITY - 1 };
        decode::<f32>(is_ring, tokens);
        decode::<f16>(is_ring, tokens);
        decode::<bf16>(is_ring, tokens);
    }
}

#[test]
fn the_newest_tokens_are_forgotten_by_a_shorter_length() {
    let (mut cache, _memory) = with_memory(kv(Dtype::F32, false));
    let row = |x: f32| Strided::dense(1, KV_HEADS * D, |_, j| x + j as f32);
    let q = Strided::<f32>::dense(1, HEADS * D, |_, j| j as f32 / 16.0);
    append(&mut cache, &row(0.1), &row(1.0));
    let one = attend(&cache, &q);
    append(&mut cache, &row(0.2), &row(2.0));
    assert_ne!(attend(&cache, &q), one);
    cache.len = 1;
    assert_eq!(attend(&cache, &q), one);
    (cache.first, cache.len) = (0, 0);
    assert!(attend(&cache, &q)[0].iter().all(|x| *x == 0), "an empty cache gives zeros");
}

#[test]
fn a_cache_that_cannot_be_is_refused() {
    let bytes = |cache: Kv, error| {
        let mut bytes = 77;
        // SAFETY: what the header asks for, but for what is refused.
        let status = unsafe { capi::kv_bytes(&raw const cache, &raw mut bytes, error) };
        assert_eq!(bytes, 77);
        status
    };
    let good = kv(Dtype::F32, true);
    fails(Status::Value, "kv_heads", |error| bytes(Kv { kv_heads: 0, ..good }, error));
    fails(Status::Value, "head_dim", |error| bytes(Kv { head_dim: 0, ..good }, error));
    fails(Status::Value, "capacity", |error| bytes(Kv { capacity: 0, ..good }, error));
    fails(Status::Overflow, "capacity", |error| bytes(Kv { capacity: usize::MAX / 8, ..good }, error));
    fails(Status::Overflow, "capacity", |error| bytes(Kv { capacity: usize::MAX / 64, ..good }, error));
    fails(Status::Enum, "dtype", |error| bytes(Kv { dtype: 3, ..good }, error));
    fails(Status::Enum, "is_ring", |error| bytes(Kv { is_ring: 2, ..good }, error));
    fails(Status::Value, "len", |error| bytes(Kv { len: CAPACITY + 1, ..good }, error));
    fails(Status::Value, "first", |error| bytes(Kv { first: CAPACITY, ..good }, error));
    fails(Status::Value, "first", |error| bytes(Kv { first: 1, is_ring: 0, ..good }, error));
    // SAFETY: null is refused.
    fails(Status::Null, "cache", |error| unsafe { capi::kv_bytes(null(), &mut 0, error) });
}

#[test]
fn tokens_that_do_not_fit_are_refused() {
    let (good, memory) = with_memory(kv(Dtype::F32, false));
    let row = Strided::<f32>::dense(2, KV_HEADS * D, |_, _| 1.0);
    let given = mat(&row);
    let append = |mut cache: Kv, k: capi::Mat, v: capi::Mat, error| {
        let (first, len) = (cache.first, cache.len);
        // SAFETY: what the header asks for, but for what is refused.
        let status = unsafe { capi::kv_append(&raw mut cache, &raw const k, &raw const v, error) };
        assert_eq!((cache.first, cache.len), (first, len));
        status
    };
    use capi::Mat;
    fails(Status::Shape, "k", |error| append(good, Mat { cols: 15, ..given }, given, error));
    fails(Status::Shape, "v", |error| append(good, given, Mat { cols: 15, ..given }, error));
    fails(Status::Shape, "v", |error| append(good, given, Mat { rows: 1, ..given }, error));
    fails(Status::Enum, "k", |error| append(good, Mat { dtype: 2, ..given }, given, error));
    fails(Status::Null, "memory", |error| append(Kv { memory: null_mut(), ..good }, given, given, error));
    fails(Status::Misaligned, "memory", |error| {
        append(Kv { memory: good.memory.wrapping_byte_add(1), ..good }, given, given, error)
    });
    let error = fails(Status::Scratch, "memory", |error| {
        append(Kv { memory_bytes: good.memory_bytes - 1, ..good }, given, given, error)
    });
    assert_eq!(error.expected[0], good.memory_bytes as u64);
    let error = fails(Status::Capacity, "k", |error| append(Kv { len: CAPACITY - 1, ..good }, given, given, error));
    assert_eq!((error.expected[0], error.got[0]), (2, 1));
    fails(Status::Overlap, "memory", |error| append(good, Mat { data: good.memory, ..given }, given, error));
    // SAFETY: null is refused.
    fails(Status::Null, "cache", |error| unsafe {
        capi::kv_append(null_mut(), &raw const given, &raw const given, error)
    });
    assert!(memory.iter().all(|byte| *byte == 0xFF), "written by a call that failed");
}

#[test]
fn queries_that_do_not_fit_the_cache_are_refused() {
    let (mut cache, _memory) = with_memory(kv(Dtype::F32, false));
    append(&mut cache, &Strided::dense(1, KV_HEADS * D, |_, _| 1.0), &Strided::dense(1, KV_HEADS * D, |_, _| 1.0));
    let q = [1.0_f32; HEADS * D];
    let q = of_view(&MatRef::from_row(&q));
    let mut out = Strided::unwritten(1, HEADS * D, 0, 0);
    let to = mat_mut(&mut out);
    let mut scratch = Bytes::new(1 << 18, 0);
    let room = start(&mut scratch);
    let good = capi::AttentionOptions { kv_heads: KV_HEADS, ..options(HEADS, D) };
    let call = |options: capi::AttentionOptions, cache: Kv, to: capi::MatMut, len, error| {
        let (q, to) = (&raw const q, &raw const to);
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::attention_cached(null(), &raw const options, q, &raw const cache, to, null(), room, len, error) }
    };
    use capi::AttentionOptions;
    fails(Status::Shape, "cache", |error| call(AttentionOptions { kv_heads: 1, ..good }, cache, to, 1 << 18, error));
    fails(Status::Shape, "cache", |error| call(good, Kv { head_dim: 4, ..cache }, to, 1 << 18, error));
    fails(Status::Shape, "cache", |error| call(good, Kv { value_dim: 4, ..cache }, to, 1 << 18, error));
    fails(Status::Value, "sequences", |error| {
        let lengths = [1_usize];
        let packed = AttentionOptions { sequences: 1, lengths: lengths.as_ptr(), lengths_len: 1, ..good };
        call(packed, cache, to, 1 << 18, error)
    });
    fails(Status::Scratch, "scratch", |error| call(good, cache, to, 1, error));
    fails(Status::Overlap, "out", |error| {
        call(good, cache, capi::MatMut { data: cache.memory.cast(), ..to }, 1 << 18, error)
    });
    out.assert_unwritten();
}
