//! Attention with all its options: the bits of the Rust API.

use std::ptr::null;

use half::{bf16, f16};
use selfattn::capi::{self, AttentionOptions};
use selfattn::{Attention, Bias, Element, Engine, Mask, Sequences};

use super::support::{engine_at, mat, mat_mut, options, size, start, works};
use crate::common::data::Rng;
use crate::common::every_level;
use crate::common::memory::{AsMatrix, Bytes, Strided};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
/// So many that few keys to each query have a way of their own.
const D: usize = 128;
const DV: usize = 132;
const ROWS: usize = 36;

fn random<E: Element>(rows: usize, cols: usize, seed: u64) -> Strided<E> {
    let mut rng = Rng::new(seed);
    Strided::new(rows, cols, 3, 1, |_, _| rng.unit())
}

fn base() -> AttentionOptions {
    AttentionOptions { kv_heads: KV_HEADS, value_dim: DV, ..options(HEADS, D) }
}

fn of_rust<'a>() -> Attention<'a> {
    Attention::new(HEADS, D).kv_heads(KV_HEADS).value_dim(DV)
}

/// Result and sums from C, the latter asked for or not.
fn from_c<K: Element>(
    rust: Engine<'_>,
    options: &AttentionOptions,
    [q, k, v]: [&Strided<K>; 3],
    with_lse: bool,
) -> (Strided, Strided) {
    let engine = engine_at(rust.level().name());
    // SAFETY: what the header asks for.
    let needed = size(|bytes, error| unsafe { capi::attention_scratch(&raw const engine, options, bytes, error) });
    let mut scratch = Bytes::new(needed, 1);
    let mut out = Strided::unwritten(q.rows, HEADS * DV, 2, 0);
    let mut lse = Strided::unwritten(q.rows, HEADS, 1, 0);
    let ([q, k, v], to, sums) = ([q, k, v].map(mat), mat_mut(&mut out), mat_mut(&mut lse));
    let sums = if with_lse { &raw const sums } else { null() };
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        let scratch = start(&mut scratch);
        let (q, k, v) = (&raw const q, &raw const k, &raw const v);
        capi::attention(&raw const engine, options, q, k, v, &raw const to, sums, scratch, needed, error)
    });
    out.assert_guards();
    (out, lse)
}

fn check_as<E: Element>(rust: Engine<'_>, options: &AttentionOptions, attention: &Attention<'_>)
where
    Strided<E>: AsMatrix,
{
    let (q, k) = (random::<E>(ROWS, HEADS * D, 1), random::<E>(ROWS, KV_HEADS * D, 2));
    let v = random::<E>(ROWS, KV_HEADS * DV, 3);
    let mut scratch = vec![0; rust.attention_scratch(attention).unwrap()];
    let mut expected = Strided::unwritten(ROWS, HEADS * DV, 0, 0);
    let mut sums = Strided::unwritten(ROWS, HEADS, 0, 0);
    let (to, lse) = (expected.view_mut(), sums.view_mut());
    rust.attention_lse(attention, q.matrix(), k.matrix(), v.matrix(), to, lse, &mut scratch).unwrap();
    for with_lse in [false, true] {
        let (out, lse) = from_c(rust, options, [&q, &k, &v], with_lse);
        assert_eq!(out.bits(), expected.bits(), "{} {attention:?}", rust.level());
        if with_lse {
            assert_eq!(lse.bits(), sums.bits(), "{} {attention:?}", rust.level());
        } else {
            lse.assert_unwritten();
        }
    }
}

/// The same options to both sides, at every level.
fn check(options: &AttentionOptions, attention: &Attention<'_>) {
    every_level(|rust| check_as::<f32>(rust, options, attention));
}

#[test]
fn plain_attention_of_every_type() {
    every_level(|rust| {
        check_as::<f32>(rust, &base(), &of_rust());
        check_as::<f16>(rust, &base(), &of_rust());
        check_as::<bf16>(rust, &base(), &of_rust());
    });
}

#[test]
fn every_number_has_its_field() {
    check(&AttentionOptions { flags: 1, ..base() }, &of_rust().causal(true));
    check(&AttentionOptions { flags: 2, scale: 3.0, ..base() }, &of_rust().scale(3.0));
    check(&AttentionOptions { flags: 2, scale: 0.0, ..base() }, &of_rust().scale(0.0));
    check(&AttentionOptions { flags: 4, window_left: 2, ..base() }, &of_rust().window(Some(2), None));
    check(&AttentionOptions { flags: 8, window_right: 3, ..base() }, &of_rust().window(None, Some(3)));
    check(&AttentionOptions { flags: 4 | 8, ..base() }, &of_rust().window(Some(0), Some(0)));
    check(&AttentionOptions { flags: 1 | 16, query_offset: 5, ..base() }, &of_rust().causal(true).query_offset(5));
    check(&AttentionOptions { softcap: 0.5, ..base() }, &of_rust().softcap(0.5));
    check(&AttentionOptions { key_block: 8, ..base() }, &of_rust().key_block(8));
}

#[test]
fn every_kind_of_sequences_has_its_lists() {
    let with = |sequences, lengths: &[usize], offsets: &[usize]| {
        let key_offsets = if offsets.is_empty() { null() } else { offsets.as_ptr() };
        let lists = AttentionOptions { lengths: lengths.as_ptr(), lengths_len: lengths.len(), ..base() };
        AttentionOptions { sequences, key_offsets, key_offsets_len: offsets.len(), ..lists }
    };
    let lengths = [5, 0, 31];
    check(&with(1, &lengths, &[]), &of_rust().sequences(Sequences::Packed(&lengths)));
    let key_lengths = [4, 0, 1];
    let padded = Sequences::Padded { key_lengths: &key_lengths };
    check(&with(2, &key_lengths, &[]), &of_rust().sequences(padded));
    let (queries, keys) = ([0, 3, 36], [0, 10, 36]);
    let offsets = Sequences::Offsets { queries: &queries, keys: &keys };
    check(&with(3, &queries, &keys), &of_rust().sequences(offsets));
}

#[test]
fn every_table_has_its_fields() {
    let mut rng = Rng::new(9);
    let bias: Vec<f32> = (0..HEADS * ROWS * ROWS).map(|_| rng.unit()).collect();
    let strides = [0, ROWS * ROWS, ROWS, 1];
    check(
        &AttentionOptions { bias: bias.as_ptr(), bias_len: bias.len(), bias_strides: strides, ..base() },
        &of_rust().bias(Bias::new(&bias, strides)),
    );
    let mask: Vec<u8> = (0..ROWS * ROWS).map(|_| u8::from(rng.below(3) > 0)).collect();
    let strides = [0, 0, ROWS, 1];
    check(
        &AttentionOptions { mask: mask.as_ptr(), mask_len: mask.len(), mask_strides: strides, ..base() },
        &of_rust().mask(Mask::from_bytes(&mask, strides)),
    );
    let (alibi, sinks) = ([0.5, 0.25, 0.125, 0.0], [1.0, -1.0, 0.0, 2.0]);
    check(&AttentionOptions { alibi: alibi.as_ptr(), alibi_len: HEADS, ..base() }, &of_rust().alibi(&alibi));
    check(&AttentionOptions { sinks: sinks.as_ptr(), sinks_len: HEADS, ..base() }, &of_rust().sinks(&sinks));
}

#[test]
fn results_over_parts_of_the_keys_merge() {
    every_level(|rust| {
        let (q, k) = (random::<f32>(ROWS, HEADS * D, 1), random::<f32>(ROWS, KV_HEADS * D, 2));
        let v = random::<f32>(ROWS, KV_HEADS * DV, 3);
        let part = |x: &Strided, rows: std::ops::Range<usize>| {
            let start = rows.start;
            Strided::dense(rows.len(), x.cols, |i, j| x.view().row(start + i)[j])
        };
        let over =
            |rows: std::ops::Range<usize>| from_c(rust, &base(), [&q, &part(&k, rows.clone()), &part(&v, rows)], true);
        let [(mut out, mut lse), (other_out, other_lse)] = [over(0..5), over(5..ROWS)];
        let [mut expected, mut sums] = [out.clone(), lse.clone()];
        rust.merge_attention(expected.view_mut(), sums.view_mut(), other_out.view(), other_lse.view()).unwrap();
        let engine = engine_at(rust.level().name());
        let (to, to_lse) = (mat_mut(&mut out), mat_mut(&mut lse));
        let (other_out, other_lse) = (mat(&other_out), mat(&other_lse));
        // SAFETY: what the header asks for.
        works(|error| unsafe {
            let (other_out, other_lse) = (&raw const other_out, &raw const other_lse);
            capi::attention_merge(&raw const engine, &raw const to, &raw const to_lse, other_out, other_lse, error)
        });
        assert_eq!((out.bits(), lse.bits()), (expected.bits(), sums.bits()));
        // And that is what all keys give at once.
        let (whole, _) = from_c(rust, &base(), [&q, &k, &v], false);
        for (a, b) in out.mat().data.iter().zip(&whole.mat().data) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    });
}

#[test]
fn the_operands_may_differ_in_type() {
    let (q, k) = (random::<f32>(ROWS, HEADS * D, 1), random::<f16>(ROWS, KV_HEADS * D, 2));
    let v = random::<bf16>(ROWS, KV_HEADS * DV, 3);
    let rust = Engine::new();
    let attention = of_rust();
    let mut scratch = vec![0; rust.attention_scratch(&attention).unwrap()];
    let mut expected = Strided::unwritten(ROWS, HEADS * DV, 0, 0);

    rust.attention(&attention, q.matrix(), k.matrix(), v.matrix(), expected.view_mut(), &mut scratch).unwrap();
    let mut out = Strided::unwritten(ROWS, HEADS * DV, 0, 0);
    let (q, k, v, to) = (mat(&q), mat(&k), mat(&v), mat_mut(&mut out));
    let options = base();
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        let (q, k, v, len) = (&raw const q, &raw const k, &raw const v, scratch.len());
        let memory = scratch.as_mut_ptr().cast();
        capi::attention(null(), &raw const options, q, k, v, &raw const to, null(), memory, len, error)
    });
    assert_eq!(out.bits(), expected.bits());
}
