//! What a product refuses, by name, without writing; and what its bits do not depend on: scratch, threads.

mod common;

use common::data::Rng;
use common::every_level;
use common::memory::{AsMatrix, Bytes, Strided};
use common::pools::{Vast, every_pool};
use half::{bf16, f16};
use selfattn::{Element, Engine, Epilogue, Error, Level, MatMut, MatRef, Matrix, Packed, Weights};

const M: usize = 37;
const K: usize = 600;
const N: usize = 301;

fn random<E: Element>(rows: usize, cols: usize, seed: u64) -> Strided<E> {
    let mut rng = Rng::new(seed);
    Strided::dense(rows, cols, |_, _| rng.unit())
}

/// The bits of a product with that much scratch.
fn product(engine: Engine<'_>, a: &Strided, weights: &Weights<'_>, scratch: &mut [u8]) -> Vec<u32> {
    let mut out = Strided::unwritten(a.rows, weights.n(), 1, 0);
    engine.matmul(a.view(), weights, &Epilogue::default(), out.view_mut(), scratch).unwrap();
    out.bits()
}

#[test]
fn the_state_of_the_scratch_has_no_influence() {
    let (a, weights) = (random(M, K, 1), random::<f32>(N, K, 2));
    let weights = Weights::from(weights.view());
    every_level(|engine| {
        let needed = engine.matmul_scratch(M, f32::DTYPE, &weights).unwrap();
        let mut clean = Bytes::new(needed, 0);
        clean.fill(0);
        let expected = product(engine, &a, &weights, &mut clean);
        for misalignment in [0, 1, 2, 4, 63] {
            let mut dirty = Bytes::new(needed, misalignment);
            assert_eq!(product(engine, &a, &weights, &mut dirty), expected, "{} +{misalignment}", engine.level());
        }
    });
}

#[test]
fn a_byte_of_scratch_too_few_is_refused() {
    let (a, weights) = (random::<f32>(3, K, 1), random::<f32>(N, K, 2));
    let plain = Weights::from(weights.view());
    every_level(|engine| {
        let needed = engine.matmul_scratch(3, f32::DTYPE, &plain).unwrap();
        let mut scratch = Bytes::new(needed - 1, 0);
        let mut out = Strided::unwritten(3, N, 0, 0);
        let result = engine.matmul(a.view(), &plain, &Epilogue::default(), out.view_mut(), &mut scratch);
        assert_eq!(result, Err(Error::Scratch { needed, got: needed - 1 }));
        out.assert_unwritten();

        let needed = Packed::bytes(engine.level(), &weights.matrix()).unwrap();
        let mut memory = Bytes::new(needed - 1, 0);
        let packed = Packed::new(engine.level(), &weights.matrix(), &mut memory);
        assert_eq!(packed.err(), Some(Error::Scratch { needed, got: needed - 1 }));

        let mut memory = Bytes::new(needed, 1);
        let packed = Packed::new(engine.level(), &weights.matrix(), &mut memory).unwrap();
        assert_eq!(engine.matmul_scratch(3, f32::DTYPE, &packed.into()), Ok(0));
    });
}

#[test]
fn threads_do_not_change_a_bit() {
    let a = random(M, K, 1);
    let (single, half, brain) = (random::<f32>(N, K, 2), random::<f16>(N, K, 3), random::<bf16>(N, K, 4));
    every_level(|engine| {
        for weights in [single.matrix(), half.matrix(), brain.matrix()] {
            let mut memory = Bytes::new(Packed::bytes(engine.level(), &weights).unwrap(), 0);
            let packed = Weights::from(Packed::new(engine.level(), &weights, &mut memory).unwrap());
            let plain = Weights::from(weights);
            let expected = product(engine, &a, &packed, &mut []);
            for (name, pool) in &every_pool() {
                let engine = engine.with_pool(&**pool);
                let mut scratch = Bytes::new(engine.matmul_scratch(M, f32::DTYPE, &plain).unwrap(), 0);
                assert_eq!(product(engine, &a, &plain, &mut scratch), expected, "{engine:?} {name}, plain");
                assert_eq!(product(engine, &a, &packed, &mut []), expected, "{engine:?} {name}, packed");
            }
        }
    });
}

#[test]
fn weights_packed_for_another_level_are_refused() {
    let (a, weights) = (random::<f32>(2, 5, 1), random::<f32>(7, 5, 2));
    for packed_for in Level::available() {
        let mut memory = Bytes::new(Packed::bytes(packed_for, &weights.matrix()).unwrap(), 0);
        let packed = Packed::new(packed_for, &weights.matrix(), &mut memory).unwrap();
        assert_eq!((packed.level(), packed.n(), packed.k(), packed.dtype()), (packed_for, 7, 5, f32::DTYPE));
        every_level(|engine| {
            let mut out = Strided::unwritten(2, 7, 0, 0);
            let result = engine.matmul(a.view(), &packed.into(), &Epilogue::default(), out.view_mut(), &mut []);
            if engine.level() == packed_for {
                assert_eq!(result, Ok(()));
            } else {
                assert_eq!(result, Err(Error::Packed { arg: "weights" }));
                out.assert_unwritten();
            }
        });
    }
}

/// The outcome of a product of `a` and `weights` into an `out` of that shape, which must stay unwritten.
fn refusal(a: [usize; 2], weights: [usize; 2], out: [usize; 2], epilogue: &Epilogue<'_>) -> Error {
    let (a, weights) = (random::<f32>(a[0], a[1], 1), random::<f32>(weights[0], weights[1], 2));
    let mut out = Strided::unwritten(out[0], out[1], 0, 0);
    let mut scratch = Bytes::new(1 << 16, 0);
    let result = Engine::new().matmul(a.view(), &weights.view().into(), epilogue, out.view_mut(), &mut scratch);
    out.assert_unwritten();
    result.unwrap_err()
}

#[test]
fn a_shape_that_does_not_fit_is_named() {
    let shape = |arg, expected, got| Error::Shape { arg, expected, got };
    let plain = Epilogue::default();
    assert_eq!(refusal([2, 3], [4, 5], [2, 4], &plain), shape("weights", 3, 5));
    assert_eq!(refusal([2, 3], [4, 3], [1, 4], &plain), shape("out", 2, 1));
    assert_eq!(refusal([2, 3], [4, 3], [2, 5], &plain), shape("out", 4, 5));

    let bias = Epilogue { bias: Some(&[0.0; 3]), ..plain };
    assert_eq!(refusal([2, 3], [4, 3], [2, 4], &bias), shape("bias", 4, 3));
    let bias = Epilogue { bias: Some(&[]), ..plain };
    assert_eq!(refusal([2, 3], [4, 3], [2, 4], &bias), shape("bias", 4, 0));

    let numbers = [0.0; 10];
    let residual = Epilogue { residual: Some(MatRef::new(&numbers, 1, 4).unwrap()), ..plain };
    assert_eq!(refusal([2, 3], [4, 3], [2, 4], &residual), shape("residual", 2, 1));
    let residual = Epilogue { residual: Some(MatRef::new(&numbers, 2, 5).unwrap()), ..plain };
    assert_eq!(refusal([2, 3], [4, 3], [2, 4], &residual), shape("residual", 4, 5));

    let weights = random::<f32>(4, 3, 2);
    let engine = Engine::new();
    assert_eq!(engine.gemv(&weights.matrix(), &[0.0; 4], &mut [0.0; 4]), Err(shape("x", 3, 4)));
    let mut y = [f32::NAN; 5];
    assert_eq!(engine.gemv(&weights.matrix(), &[0.0; 3], &mut y), Err(shape("y", 4, 5)));
    assert!(y.iter().all(|y| y.is_nan()));
}

/// No rows, no columns: nothing to write, nothing refused, however large the other sizes claim to be.
#[test]
fn products_without_elements_are_done_at_once() {
    const HUGE: usize = usize::MAX;
    let empty = |rows, cols| MatRef::new(&[], rows, cols).unwrap();
    for (m, k, n) in [(0, 3, 5), (0, 0, 0), (4, 0, 0), (HUGE, 0, 0), (0, HUGE, 0), (0, 0, HUGE)] {
        every_level(|engine| {
            let weights = Weights::from(if n * k == 0 { empty(n, k) } else { MatRef::new(&[1.0; 15], n, k).unwrap() });
            let mut scratch = Bytes::new(engine.matmul_scratch(m, f32::DTYPE, &weights).unwrap(), 0);
            let out = MatMut::new(&mut [], m, n).unwrap();
            let result = engine.matmul(empty(m, k), &weights, &Epilogue::default(), out, &mut scratch);
            assert_eq!(result, Ok(()), "{} {m} x {k} x {n}", engine.level());
        });
    }
}

/// One row may claim any stride: there is no second one.
#[test]
fn the_stride_of_a_single_row_is_never_used() {
    let (a, w) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
    every_level(|engine| {
        let mut out = [f32::NAN];
        let weights = Weights::from(MatRef::with_stride(&w, 1, 3, usize::MAX).unwrap());
        let mut scratch = Bytes::new(engine.matmul_scratch(1, f32::DTYPE, &weights).unwrap(), 0);
        let a = MatRef::with_stride(&a, 1, 3, usize::MAX).unwrap();
        let view = MatMut::with_stride(&mut out, 1, 1, usize::MAX).unwrap();
        engine.matmul(a, &weights, &Epilogue::default(), view, &mut scratch).unwrap();
        assert_eq!(out, [32.0]);
    });
}

#[test]
fn sizes_that_overflow_are_refused_by_query_and_call_alike() {
    let (a, weights) = (random::<f32>(2, 5, 1), random::<f32>(7, 5, 2));
    let plain = Weights::from(weights.view());
    every_level(|engine| {
        let engine = engine.with_pool(&Vast);
        let overflow = Error::Overflow { arg: "scratch" };
        assert_eq!(engine.matmul_scratch(2, f32::DTYPE, &plain), Err(overflow));
        let mut out = Strided::unwritten(2, 7, 0, 0);
        let result = engine.matmul(a.view(), &plain, &Epilogue::default(), out.view_mut(), &mut [0; 4096]);
        assert_eq!(result, Err(overflow));
        out.assert_unwritten();

        // Rounding the rows up to whole panels overflows, although there is nothing to store.
        let tall = Matrix::F32(MatRef::new(&[], usize::MAX, 0).unwrap());
        let overflow = Error::Overflow { arg: "weights" };
        assert_eq!(Packed::bytes(engine.level(), &tall), Err(overflow));
        assert_eq!(Packed::new(engine.level(), &tall, &mut []).err(), Some(overflow));
    });
}
