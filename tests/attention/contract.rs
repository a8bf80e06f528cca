//! What attention refuses, by name, without writing.

use crate::common::attend::draw::Draw;
use crate::common::attend::form::Rows;
use crate::common::data::Rng;
use crate::common::memory::{Bytes, Strided};
use crate::common::pools::Vast;
use crate::common::{attend::Problem, every_level};
use selfattn::{Attention, Bias, Engine, Error, Mask, Sequences};

fn random(rows: usize, cols: usize, seed: u64) -> Strided {
    let mut rng = Rng::new(seed);
    Strided::dense(rows, cols, |_, _| 3.0 * rng.unit())
}

fn shape(arg: &'static str, expected: usize, got: usize) -> Error {
    Error::Shape { arg, expected, got }
}

/// Rows and columns of the operands, of the result, and of the sums if they are asked for.
#[derive(Clone, Copy)]
struct Sizes {
    q: [usize; 2],
    k: [usize; 2],
    v: [usize; 2],
    out: [usize; 2],
    lse: Option<[usize; 2]>,
}

/// The outcome of attention over operands of these shapes, which must leave the results unwritten.
fn refused(options: &Attention<'_>, sizes: Sizes) -> Error {
    let [q, k, v] = [sizes.q, sizes.k, sizes.v].map(|[rows, cols]| random(rows, cols, 1));
    let (q, k, v) = (q.view(), k.view(), v.view());
    let unwritten = |[rows, cols]: [usize; 2]| Strided::unwritten(rows, cols, 1, 0);
    let mut out = unwritten(sizes.out);
    let mut scratch = Bytes::new(1 << 17, 0);
    let result = match sizes.lse {
        Some(lse) => {
            let mut lse = unwritten(lse);
            let result = Engine::new().attention_lse(options, q, k, v, out.view_mut(), lse.view_mut(), &mut scratch);
            lse.assert_unwritten();
            result
        }
        None => Engine::new().attention(options, q, k, v, out.view_mut(), &mut scratch),
    };
    out.assert_unwritten();
    result.unwrap_err()
}

/// As [`refused`], without sums.
fn refusal(options: &Attention<'_>, q: [usize; 2], k: [usize; 2], v: [usize; 2], out: [usize; 2]) -> Error {
    refused(options, Sizes { q, k, v, out, lse: None })
}

#[test]
fn a_shape_that_does_not_fit_is_named() {
    let options = Attention::new(2, 4).value_dim(3);
    assert_eq!(refusal(&options, [5, 7], [6, 8], [6, 6], [5, 6]), shape("q", 8, 7));
    assert_eq!(refusal(&options, [5, 8], [6, 9], [6, 6], [5, 6]), shape("k", 8, 9));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [6, 8], [5, 6]), shape("v", 6, 8));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [7, 6], [5, 6]), shape("v", 6, 7));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [6, 6], [5, 8]), shape("out", 6, 8));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [6, 6], [4, 6]), shape("out", 5, 4));

    let grouped = Attention::new(6, 4).kv_heads(2).value_dim(3);
    assert_eq!(refusal(&grouped, [5, 8], [6, 8], [6, 6], [5, 18]), shape("q", 24, 8));
    assert_eq!(refusal(&grouped, [5, 24], [6, 24], [6, 6], [5, 18]), shape("k", 8, 24));
    assert_eq!(refusal(&grouped, [5, 24], [6, 8], [6, 18], [5, 18]), shape("v", 6, 18));
    assert_eq!(refusal(&grouped, [5, 24], [6, 8], [6, 6], [5, 6]), shape("out", 18, 6));
}

#[test]
fn sums_that_do_not_fit_are_named() {
    let options = Attention::new(2, 4);
    let refused = |lse| refused(&options, Sizes { q: [5, 8], k: [6, 8], v: [6, 8], out: [5, 8], lse: Some(lse) });
    assert_eq!(refused([4, 2]), shape("lse", 5, 4));
    assert_eq!(refused([6, 2]), shape("lse", 5, 6));
    assert_eq!(refused([5, 1]), shape("lse", 2, 1));
    assert_eq!(refused([5, 8]), shape("lse", 2, 8));
}

#[test]
fn sequences_that_do_not_fit_are_named() {
    let refused = |sequences, n_q, n_k| {
        refusal(&Attention::new(1, 2).sequences(sequences), [n_q, 2], [n_k, 2], [n_k, 2], [n_q, 2])
    };
    assert_eq!(refused(Sequences::Packed(&[2, 3]), 5, 6), shape("k", 5, 6));
    assert_eq!(refused(Sequences::Packed(&[2, 2]), 5, 5), shape("sequences", 5, 4));
    assert_eq!(refused(Sequences::Packed(&[]), 5, 5), shape("sequences", 5, 0));
    assert_eq!(refused(Sequences::Packed(&[usize::MAX, 6]), 5, 5), Error::Overflow { arg: "sequences" });
    assert_eq!(refused(Sequences::Padded { key_lengths: &[1, 1] }, 5, 6), shape("q", 2, 5));
    assert_eq!(refused(Sequences::Padded { key_lengths: &[1, 1] }, 6, 5), shape("k", 2, 5));
    assert_eq!(refused(Sequences::Padded { key_lengths: &[3, 4] }, 6, 6), shape("key_lengths", 3, 4));
    assert_eq!(refused(Sequences::Padded { key_lengths: &[3, usize::MAX] }, 6, 6), shape("key_lengths", 3, usize::MAX));
    assert_eq!(refused(Sequences::Padded { key_lengths: &[] }, 6, 6), shape("q", 0, 6));
    assert_eq!(refused(Sequences::Padded { key_lengths: &[] }, 0, 6), shape("k", 0, 6));
}

#[test]
fn offsets_that_do_not_fit_are_named() {
    let refused = |queries: &[usize], keys: &[usize]| {
        let options = Attention::new(1, 2).sequences(Sequences::Offsets { queries, keys });
        let error = refusal(&options, [5, 2], [8, 2], [8, 2], [5, 2]);
        assert!(matches!(error, Error::Shape { arg: "offsets", .. }), "{queries:?} {keys:?} {error:?}");
    };
    let (queries, keys) = ([0, 2, 5], [0, 8, 8]);
    for wrong in [
        &[][..],
        &[0],
        &[0, 5],
        &[0, 2, 4],
        &[0, 2, 6],
        &[1, 2, 5],
        &[0, 6, 5],
        &[0, 2, 1, 5],
        &[0, 2, 2, 5],
        &[0, usize::MAX, 5],
        &[5, 2, 0],
    ] {
        refused(wrong, &keys);
    }
    for wrong in [&[][..], &[0], &[0, 8], &[0, 8, 9], &[0, 3, 7], &[2, 3, 8], &[0, 9, 8], &[0, 3, 3, 8]] {
        refused(&queries, wrong);
    }
    // As many as each other, but not as there are rows.
    refused(&[], &[]);
    refused(&[0], &[0]);
}

/// A table must reach as far as its strides do, and not an element farther.
#[test]
fn a_table_that_is_too_short_is_named() {
    let (numbers, flags) = ([0.0; 64], [true; 64]);
    let sequences = Sequences::Offsets { queries: &[0, 3, 5], keys: &[0, 2, 6] };
    let options = Attention::new(2, 4).sequences(sequences);
    // Sequences of 3 x 2 and 2 x 4; two heads.
    for (strides, needed) in [
        ([0, 0, 0, 0], 1),
        ([0, 0, 0, 1], 4),
        ([0, 0, 4, 1], 10),
        ([0, 0, 1, 3], 11),
        ([0, 12, 4, 1], 22),
        ([24, 12, 4, 1], 46),
        ([0, 9, 0, 0], 10),
        ([7, 0, 0, 0], 8),
    ] {
        let sizes = Sizes { q: [5, 8], k: [6, 8], v: [6, 8], out: [5, 8], lse: None };
        let short = needed - 1;
        let bias = options.bias(Bias::new(&numbers[..short], strides));
        assert_eq!(refused(&bias, sizes), shape("bias", needed, short), "{strides:?}");
        let mask = options.mask(Mask::new(&flags[..short], strides));
        assert_eq!(refused(&mask, sizes), shape("mask", needed, short), "{strides:?}");
        let both = options.bias(Bias::new(&numbers[..needed], strides)).mask(Mask::new(&flags[..needed], strides));
        let [q, k, v] = [random(5, 8, 1), random(6, 8, 2), random(6, 8, 3)];
        let mut out = Strided::unwritten(5, 8, 0, 0);
        let mut scratch = Bytes::new(1 << 17, 0);
        Engine::new().attention(&both, q.view(), k.view(), v.view(), out.view_mut(), &mut scratch).unwrap();
    }
}

#[test]
fn strides_that_overflow_are_refused() {
    let (numbers, flags) = ([0.0; 64], [true; 64]);
    let options = Attention::new(2, 4);
    for axis in 1..4 {
        let mut strides = [0, 1, 1, 1];
        strides[axis] = usize::MAX;
        let sizes = Sizes { q: [5, 8], k: [6, 8], v: [6, 8], out: [5, 8], lse: None };
        let refused = [
            ("bias", refused(&options.bias(Bias::new(&numbers, strides)), sizes)),
            ("mask", refused(&options.mask(Mask::new(&flags, strides)), sizes)),
        ];
        for (arg, error) in refused {
            assert_eq!(error, Error::Overflow { arg }, "{strides:?}");
        }
    }
}

/// Strides along an axis of one element are never stepped over.
#[test]
fn strides_that_are_not_used_may_be_anything() {
    let problem = Draw::plain(1, 4, 1).problem(Rows::One, [1, 5]);
    let (numbers, flags) = ([0.25; 5], [true; 5]);
    let strides = [usize::MAX, usize::MAX - 1, usize::MAX / 2, 1];
    every_level(|engine| {
        let options = problem.form.options().bias(Bias::new(&numbers, strides)).mask(Mask::new(&flags, strides));
        let [q, k, v] = [&problem.q, &problem.k, &problem.v].map(|x| x.matrix());
        let mut answer = problem.unwritten();
        engine.attention(&options, q, k, v, answer.out.view_mut(), &mut problem.scratch(engine)).unwrap();
        answer.out.assert_guards();
        assert!(answer.out.mat().data.iter().all(|x| x.is_finite()));
    });
}

#[test]
fn options_for_another_number_of_heads_are_named() {
    for len in [0, 1, 3, 4] {
        let row = vec![0.5; len];
        let of = |options| refusal(&options, [2, 8], [3, 4], [3, 4], [2, 8]);
        let options = Attention::new(2, 4).kv_heads(1);
        assert_eq!(of(options.alibi(&row)), shape("alibi", 2, len));
        assert_eq!(of(options.sinks(&row)), shape("sinks", 2, len));
    }
}

#[test]
fn values_out_of_their_domain_are_named_by_query_and_call_alike() {
    let options = Attention::new(6, 4);
    for (options, arg) in [
        (Attention::new(0, 4), "heads"),
        (Attention::new(1, 0), "head_dim"),
        (Attention::new(1, 4).value_dim(0), "value_dim"),
        (options.kv_heads(0), "kv_heads"),
        (options.kv_heads(4), "kv_heads"),
        (options.kv_heads(7), "kv_heads"),
        (options.kv_heads(12), "kv_heads"),
        (options.kv_heads(usize::MAX), "kv_heads"),
        (options.softcap(0.0), "softcap"),
        (options.softcap(-1.0), "softcap"),
        (options.softcap(-0.0), "softcap"),
        (options.softcap(f32::NAN), "softcap"),
        (options.softcap(f32::INFINITY), "softcap"),
        (options.key_block(0), "key_block"),
        (options.key_block(1025), "key_block"),
        (options.key_block(usize::MAX), "key_block"),
    ] {
        assert_eq!(Engine::new().attention_scratch(&options), Err(Error::Value { arg }), "{options:?}");
        assert_eq!(refusal(&options, [2, 24], [2, 24], [2, 24], [2, 24]), Error::Value { arg });
    }
    assert!(Engine::new().attention_scratch(&options.key_block(1024)).is_ok());
}

#[test]
fn sizes_that_overflow_are_refused_by_query_and_call_alike() {
    for huge in [usize::MAX, usize::MAX / 16, isize::MAX as usize / 4] {
        for options in [Attention::new(1, huge), Attention::new(1, 4).value_dim(huge)] {
            let error = Engine::new().attention_scratch(&options).unwrap_err();
            assert!(matches!(error, Error::Overflow { .. }), "{huge}: {error:?}");
            assert_eq!(refusal(&options, [2, 4], [2, 4], [2, 4], [2, 4]), error);
        }
    }
    for options in [Attention::new(usize::MAX, 4), Attention::new(usize::MAX - 1, 4).kv_heads(2)] {
        let overflow = refusal(&options, [2, 4], [2, 8], [2, 8], [2, 4]);
        assert!(matches!(overflow, Error::Overflow { .. }), "{overflow:?}");
    }

    let vast = Engine::new().with_pool(&Vast);
    let problem = Draw::plain(3, 7, 1).problem(Rows::One, [4, 4]);
    let error = vast.attention_scratch(&problem.form.options()).unwrap_err();
    assert!(matches!(error, Error::Overflow { .. }), "{error:?}");
    let mut answer = problem.unwritten();
    let [q, k, v] = [&problem.q, &problem.k, &problem.v].map(|x| x.matrix());
    let result = vast.attention(&problem.form.options(), q, k, v, answer.out.view_mut(), &mut []);
    assert_eq!(result, Err(error));
    answer.out.assert_unwritten();
}

#[test]
fn a_byte_of_scratch_too_few_is_refused() {
    let problem: Problem = Draw::plain(3, 7, 1).problem(Rows::One, [10, 10]);
    every_level(|engine| {
        let needed = problem.scratch(engine).len();
        let mut scratch = Bytes::new(needed - 1, 0);
        let mut answer = problem.unwritten();
        let (options, [q, k, v]) = (problem.form.options(), [&problem.q, &problem.k, &problem.v].map(|x| x.matrix()));
        let error = Err(Error::Scratch { needed, got: needed - 1 });
        assert_eq!(engine.attention(&options, q, k, v, answer.out.view_mut(), &mut scratch), error);
        let lse = answer.lse.view_mut();
        assert_eq!(engine.attention_lse(&options, q, k, v, answer.out.view_mut(), lse, &mut scratch), error);
        answer.out.assert_unwritten();
        answer.lse.assert_unwritten();
    });
}

#[test]
fn partial_results_that_do_not_fit_are_named() {
    let refused = |sizes: [[usize; 2]; 4]| {
        let [mut out, mut lse] = [sizes[0], sizes[1]].map(|[rows, cols]| Strided::unwritten(rows, cols, 1, 0));
        let [other_out, other_lse] = [sizes[2], sizes[3]].map(|[rows, cols]| random(rows, cols, 1));
        let (other_out, other_lse) = (other_out.view(), other_lse.view());
        let result = Engine::new().merge_attention(out.view_mut(), lse.view_mut(), other_out, other_lse);
        out.assert_unwritten();
        lse.assert_unwritten();
        result.unwrap_err()
    };
    assert_eq!(refused([[5, 6], [4, 2], [5, 6], [5, 2]]), shape("lse", 5, 4));
    assert_eq!(refused([[5, 6], [5, 2], [4, 6], [5, 2]]), shape("other_out", 5, 4));
    assert_eq!(refused([[5, 6], [5, 2], [5, 4], [5, 2]]), shape("other_out", 6, 4));
    assert_eq!(refused([[5, 6], [5, 2], [5, 6], [6, 2]]), shape("other_lse", 5, 6));
    assert_eq!(refused([[5, 6], [5, 2], [5, 6], [5, 3]]), shape("other_lse", 2, 3));
    // Six columns are not of four heads.
    assert!(matches!(refused([[5, 6], [5, 4], [5, 6], [5, 4]]), Error::Shape { arg: "lse", .. }));
    assert!(matches!(refused([[5, 6], [5, 0], [5, 6], [5, 0]]), Error::Shape { arg: "lse", .. }));
}
