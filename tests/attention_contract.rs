//! What attention refuses, by name, without writing; and what its bits do not depend on: scratch, threads.

mod common;

use common::attend::{Problem, Rows};
use common::data::Rng;
use common::every_level;
use common::memory::{Bytes, Strided};
use common::pools::{Vast, every_pool};
use selfattn::{Attention, Engine, Error, Sequences};

fn random(rows: usize, cols: usize, seed: u64) -> Strided {
    let mut rng = Rng::new(seed);
    Strided::dense(rows, cols, |_, _| 3.0 * rng.unit())
}

fn problem(rows: Rows, n: usize) -> Problem {
    let (q, k, v) = (random(n, 3 * 20, 1), random(n, 3 * 20, 2), random(n, 3 * 7, 3));
    Problem { heads: 3, head_dim: 20, value_dim: 7, rows, ..Problem::of(q, k, v) }
}

#[test]
fn the_state_of_the_scratch_has_no_influence() {
    let problem = Problem { causal: true, ..problem(Rows::One, 150) };
    every_level(|engine| {
        let needed = engine.attention_scratch(&problem.options()).unwrap();
        let mut clean = Bytes::new(needed, 0);
        clean.fill(0);
        let expected = problem.run_in(engine, &mut clean).bits();
        for misalignment in [0, 1, 2, 4, 63] {
            let mut dirty = Bytes::new(needed, misalignment);
            assert_eq!(problem.run_in(engine, &mut dirty).bits(), expected, "{} +{misalignment}", engine.level());
        }
    });
}

#[test]
fn threads_do_not_change_a_bit() {
    for rows in [Rows::One, Rows::Packed(vec![100, 0, 1, 60, 139]), Rows::Padded(vec![100, 0, 7])] {
        let problem = problem(rows, 300);
        every_level(|engine| {
            let expected = problem.run(engine).bits();
            for (name, pool) in &every_pool() {
                let engine = engine.with_pool(&**pool);
                assert_eq!(problem.run(engine).bits(), expected, "{engine:?} {name}");
            }
        });
    }
}

/// The outcome of attention over operands of these shapes, which must leave the output unwritten.
fn refusal(options: &Attention<'_>, q: [usize; 2], k: [usize; 2], v: [usize; 2], out: [usize; 2]) -> Error {
    let [q, k, v] = [q, k, v].map(|[rows, cols]| random(rows, cols, 1));
    let mut out = Strided::unwritten(out[0], out[1], 0, 0);
    let mut scratch = Bytes::new(1 << 16, 0);
    let result = Engine::new().attention(options, q.view(), k.view(), v.view(), out.view_mut(), &mut scratch);
    out.assert_unwritten();
    result.unwrap_err()
}

#[test]
fn a_shape_that_does_not_fit_is_named() {
    let shape = |arg, expected, got| Error::Shape { arg, expected, got };
    let options = Attention::new(2, 4).value_dim(3);
    assert_eq!(refusal(&options, [5, 7], [6, 8], [6, 6], [5, 6]), shape("q", 8, 7));
    assert_eq!(refusal(&options, [5, 8], [6, 9], [6, 6], [5, 6]), shape("k", 8, 9));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [6, 8], [5, 6]), shape("v", 6, 8));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [7, 6], [5, 6]), shape("v", 6, 7));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [6, 6], [5, 8]), shape("out", 6, 8));
    assert_eq!(refusal(&options, [5, 8], [6, 8], [6, 6], [4, 6]), shape("out", 5, 4));
}

#[test]
fn sequences_that_do_not_fit_are_named() {
    let shape = |arg, expected, got| Error::Shape { arg, expected, got };
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
    assert_eq!(refused(Sequences::Padded { key_lengths: &[] }, 6, 6), shape("q", 0, 6));
}

#[test]
fn values_out_of_their_domain_are_named_by_query_and_call_alike() {
    for (options, arg) in [
        (Attention::new(0, 4), "heads"),
        (Attention::new(1, 0), "head_dim"),
        (Attention::new(1, 4).value_dim(0), "value_dim"),
    ] {
        assert_eq!(Engine::new().attention_scratch(&options), Err(Error::Value { arg }));
        assert_eq!(refusal(&options, [2, 4], [2, 4], [2, 4], [2, 4]), Error::Value { arg });
    }
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
    let overflow = refusal(&Attention::new(usize::MAX, 4), [2, 4], [2, 4], [2, 4], [2, 4]);
    assert!(matches!(overflow, Error::Overflow { .. }), "{overflow:?}");

    let vast = Engine::new().with_pool(&Vast);
    let problem = problem(Rows::One, 4);
    let error = vast.attention_scratch(&problem.options()).unwrap_err();
    assert!(matches!(error, Error::Overflow { .. }), "{error:?}");
    let mut out = Strided::unwritten(4, 21, 0, 0);
    let (q, k, v) = (problem.q.view(), problem.k.view(), problem.v.view());
    assert_eq!(vast.attention(&problem.options(), q, k, v, out.view_mut(), &mut []), Err(error));
    out.assert_unwritten();
}

#[test]
fn a_byte_of_scratch_too_few_is_refused() {
    let problem = problem(Rows::One, 10);
    every_level(|engine| {
        let needed = engine.attention_scratch(&problem.options()).unwrap();
        let mut scratch = Bytes::new(needed - 1, 0);
        let mut out = Strided::unwritten(10, 21, 0, 0);
        let (q, k, v) = (problem.q.view(), problem.k.view(), problem.v.view());
        let result = engine.attention(&problem.options(), q, k, v, out.view_mut(), &mut scratch);
        assert_eq!(result, Err(Error::Scratch { needed, got: needed - 1 }));
        out.assert_unwritten();
    });
}

#[test]
fn weights_of_a_query_name_what_does_not_fit() {
    let k = random(6, 4, 1);
    let options = Attention::new(2, 4);
    let refused = |q: &[f32], columns: usize, len: usize| {
        let mut out = vec![f32::NAN; len];
        let k = k.view().cols_range(0..columns).unwrap();
        let error = Engine::new().attention_weights(&options, q, k, &mut out).unwrap_err();
        assert!(out.iter().all(|x| x.is_nan()));
        error
    };
    assert_eq!(refused(&[0.0; 3], 4, 6), Error::Shape { arg: "q", expected: 4, got: 3 });
    assert_eq!(refused(&[0.0; 4], 3, 6), Error::Shape { arg: "k", expected: 4, got: 3 });
    assert_eq!(refused(&[0.0; 4], 4, 5), Error::Shape { arg: "out", expected: 6, got: 5 });
}
