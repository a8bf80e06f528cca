//! What the inspection of attention refuses, by name, without showing or writing anything.

use crate::common::attend::draw::Draw;
use crate::common::attend::form::Rows;
use crate::common::every_level;
use crate::common::memory::{Bytes, Strided};
use crate::common::pools::Vast;
use selfattn::{Attention, Engine, Error, Inspection, KvCache, MatRef, Sequences};

fn shape(arg: &'static str, expected: usize, got: usize) -> Error {
    Error::Shape { arg, expected, got }
}

fn zeros([rows, cols]: [usize; 2]) -> Strided {
    Strided::dense(rows, cols, |_, _| 0.0)
}

/// The error of both calls, which is the same; `out` is for the mass.
fn refused(inspection: &Inspection<'_>, out: [usize; 2]) -> Error {
    let (engine, mut scratch) = (Engine::new(), Bytes::new(1 << 17, 0));
    let mut pieces = 0;
    let shown = engine.attention_weights(inspection, &mut scratch, &mut |_| pieces += 1).unwrap_err();
    assert_eq!(pieces, 0, "shown by a call that failed");
    assert_eq!(refused_mass(engine, inspection, out, &mut scratch), shown);
    shown
}

fn refused_mass(engine: Engine<'_>, inspection: &Inspection<'_>, out: [usize; 2], scratch: &mut [u8]) -> Error {
    let mut out = Strided::unwritten(out[0], out[1], 1, 0);
    let error = engine.attention_mass(inspection, out.view_mut(), scratch).unwrap_err();
    out.assert_unwritten();
    error
}

#[test]
fn operands_that_do_not_fit_are_named() {
    let options = Attention::new(6, 4).kv_heads(2);
    let of = |q, k, lse: Option<[usize; 2]>| {
        let (q, k, lse) = (zeros(q), zeros(k), lse.map(zeros));
        let inspection = Inspection::new(&options, q.view(), k.view());
        let inspection = if let Some(lse) = &lse { inspection.lse(lse.view()) } else { inspection };
        refused(&inspection, [6, k.rows])
    };
    assert_eq!(of([5, 8], [7, 8], None), shape("q", 24, 8));
    assert_eq!(of([5, 24], [7, 24], None), shape("k", 8, 24));
    assert_eq!(of([5, 24], [7, 8], Some([4, 6])), shape("lse", 5, 4));
    assert_eq!(of([5, 24], [7, 8], Some([5, 2])), shape("lse", 6, 2));
}

#[test]
fn choices_that_are_not_there_are_named() {
    let options = Attention::new(6, 4).kv_heads(2);
    let (q, k) = (zeros([5, 24]), zeros([7, 8]));
    let all = Inspection::new(&options, q.view(), k.view());
    let reversed = core::ops::Range { start: 3, end: 2 };
    assert_eq!(refused(&all.clone().queries(2..6), [6, 7]), shape("queries", 5, 6));
    assert_eq!(refused(&all.clone().queries(0..usize::MAX), [6, 7]), shape("queries", 5, usize::MAX));
    assert_eq!(refused(&all.clone().queries(reversed.clone()), [6, 7]), shape("queries", 5, 2));
    assert_eq!(refused(&all.clone().heads(6..7), [1, 7]), shape("heads", 6, 7));
    assert_eq!(refused(&all.heads(reversed), [1, 7]), shape("heads", 6, 2));
}

#[test]
fn a_sum_that_does_not_fit_is_named() {
    let options = Attention::new(6, 4).kv_heads(2);
    let (q, k) = (zeros([5, 24]), zeros([7, 8]));
    let all = Inspection::new(&options, q.view(), k.view());
    let mut scratch = Bytes::new(1 << 17, 0);
    let mut of = |inspection: &Inspection<'_>, out| refused_mass(Engine::new(), inspection, out, &mut scratch);
    assert_eq!(of(&all, [6, 6]), shape("out", 7, 6));
    assert_eq!(of(&all, [6, 8]), shape("out", 7, 8));
    for rows in [0, 4, 5, 7, 12] {
        assert_eq!(of(&all, [rows, 7]), shape("out", 6, rows));
    }
    assert_eq!(of(&all.heads(1..6), [2, 7]), shape("out", 5, 2));
}

#[test]
fn options_and_sequences_that_do_not_fit_are_named() {
    let (q, k) = (zeros([5, 8]), zeros([6, 8]));
    let options = Attention::new(2, 4);
    for (options, error) in [
        (options.kv_heads(3), Error::Value { arg: "kv_heads" }),
        (options.softcap(0.0), Error::Value { arg: "softcap" }),
        (options.key_block(0), Error::Value { arg: "key_block" }),
        (options.alibi(&[1.0]), shape("alibi", 2, 1)),
        (options.sequences(Sequences::Packed(&[5])), shape("k", 5, 6)),
        (options.sequences(Sequences::Padded { key_lengths: &[7] }), shape("key_lengths", 6, 7)),
    ] {
        assert_eq!(refused(&Inspection::new(&options, q.view(), k.view()), [2, 6]), error);
    }
    let vast = Engine::new().with_pool(&Vast);
    let error = vast.inspection_scratch(&options).unwrap_err();
    assert!(matches!(error, Error::Overflow { .. }), "{error:?}");
    assert_eq!(refused_mass(vast, &Inspection::new(&options, q.view(), k.view()), [2, 6], &mut []), error);
}

#[test]
fn a_byte_of_scratch_too_few_is_refused() {
    let problem = Draw::plain(3, 7, 1).problem(Rows::One, [10, 10]);
    every_level(|engine| {
        let options = problem.form.options();
        let inspection = problem.inspection(&options, None);
        let needed = engine.inspection_scratch(&options).unwrap();
        let mut scratch = Bytes::new(needed - 1, 0);
        let error = Error::Scratch { needed, got: needed - 1 };
        assert_eq!(refused_mass(engine, &inspection, [3, 10], &mut scratch), error);
        let mut each = |_: selfattn::AttentionWeights<'_>| panic!("shown by a call that failed");
        assert_eq!(engine.attention_weights(&inspection, &mut scratch, &mut each), Err(error));
    });
}

#[test]
fn a_cache_that_does_not_fit_is_named() {
    let mut memory = [0.0_f32; 70];
    let cache = KvCache::new(&mut memory, 2, 4, 3, 5).unwrap();
    let q = [0.0; 12];
    let of = |options: &Attention<'_>, cols: usize| {
        let inspection = Inspection::cached(options, MatRef::from_row(&q[..cols]), &cache)?;
        Err::<(), _>(refused(&inspection, [2, 0]))
    };
    let options = Attention::new(2, 4).value_dim(3);
    assert_eq!(of(&options.kv_heads(1), 8), Err(shape("cache", 1, 2)));
    assert_eq!(of(&options.kv_heads(0), 8), Err(Error::Value { arg: "kv_heads" }));
    assert_eq!(of(&options.sequences(Sequences::Packed(&[1])), 8), Err(Error::Value { arg: "sequences" }));
    assert_eq!(of(&Attention::new(2, 5), 10), Err(shape("k", 5, 4)));
    assert_eq!(of(&options, 9), Err(shape("q", 8, 9)));
}
