//! What a product refuses, by name, without writing; and what its bits do not depend on: scratch, threads.

mod common;

use common::data::Rng;
use common::memory::{AsMatrix, Bytes, Strided};
use common::pools::{Vast, every_pool};
use common::product::{every_form, in_pairs};
use common::stored::{BothOrders, DTYPES, Stored, type_pairs};
use common::{every_level, has_pairs};
use half::{bf16, f16};
use selfattn::{Dtype, Element, Engine, Epilogue, Error, Level, MatMut, MatRef, Matrix, Order, Packed, Plain, Weights};

const M: usize = 37;
const K: usize = 601;
const N: usize = 301;

fn random<E: Element>(rows: usize, cols: usize, seed: u64) -> Strided<E> {
    let mut rng = Rng::new(seed);
    Strided::dense(rows, cols, |_, _| rng.unit())
}

/// Operands of these types.
fn operands([a, w]: [Dtype; 2], [m, k, n]: [usize; 3]) -> (Stored, BothOrders) {
    (Stored::unit(a, [m, k], 1), BothOrders::new(Stored::unit(w, [n, k], 2), 1, 1))
}

/// The bits of a product with that much scratch.
fn product(engine: Engine<'_>, a: &Stored, weights: &Weights<'_>, scratch: &mut [u8]) -> Vec<u32> {
    let mut out = Strided::unwritten(a.matrix().rows(), weights.n(), 1, 0);
    engine.matmul(a.matrix(), weights, &Epilogue::default(), out.view_mut(), scratch).unwrap();
    out.assert_guards();
    out.bits()
}

/// For few rows and for more than one block of them.
#[test]
fn the_state_of_the_scratch_has_no_influence() {
    for (types, m) in type_pairs().flat_map(|types| [2, M, 146].map(|m| (types, m))) {
        let (a, weights) = operands(types, [m, K, 101]);
        every_level(|engine| {
            every_form(engine, &weights, |form, weights| {
                let needed = engine.matmul_scratch(m, types[0], weights).unwrap();
                let mut clean = Bytes::new(needed, 0);
                clean.fill(0);
                let expected = product(engine, &a, weights, &mut clean);
                for misalignment in [0, 1, 2, 4, 63] {
                    let mut dirty = Bytes::new(needed, misalignment);
                    let what = format!("{} {types:?} {form} {m} rows +{misalignment}", engine.level());
                    assert!(product(engine, &a, weights, &mut dirty) == expected, "{what}");
                }
            });
        });
    }
}

#[test]
fn a_byte_of_scratch_too_few_is_refused() {
    for types in type_pairs() {
        let (a, weights) = operands(types, [3, K, N]);
        every_level(|engine| {
            every_form(engine, &weights, |form, weights| {
                let what = format!("{} {types:?} {form}", engine.level());
                let needed = engine.matmul_scratch(3, types[0], weights).unwrap();
                // Nothing is widened or packed: nothing is needed.
                let in_place = types[0] == Dtype::F32 || in_pairs(engine, types);
                assert_eq!(needed == 0, in_place && matches!(weights, Weights::Packed(_)), "{what}");
                let Some(got) = needed.checked_sub(1) else { return };
                let mut scratch = Bytes::new(got, 0);
                let mut out = Strided::unwritten(3, N, 0, 0);
                let result = engine.matmul(a.matrix(), weights, &Epilogue::default(), out.view_mut(), &mut scratch);
                assert_eq!(result, Err(Error::Scratch { needed, got }), "{what}");
                out.assert_unwritten();
            });
            for order in [Order::OutIn, Order::InOut] {
                let needed = Packed::bytes(engine.level(), weights.plain(order)).unwrap();
                let mut memory = Bytes::new(needed - 1, 0);
                let packed = Packed::new(engine.level(), weights.plain(order), &mut memory);
                assert_eq!(packed.err(), Some(Error::Scratch { needed, got: needed - 1 }));
            }
        });
    }
}

/// However many rows there are: only halves are widened.
#[test]
fn packed_weights_of_f32_need_no_scratch() {
    let (_, weights) = operands([Dtype::F32; 2], [1, K, N]);
    every_level(|engine| {
        every_form(engine, &weights, |form, weights| {
            for m in [1, 300, usize::MAX] {
                let needed = engine.matmul_scratch(m, Dtype::F32, weights).unwrap();
                let packed = matches!(weights, Weights::Packed(_));
                assert_eq!(needed == 0, packed, "{} {form} {m}", engine.level());
            }
        });
    });
}

/// However large the sizes, a task needs two blocks at most.
#[test]
fn scratch_does_not_grow_with_the_sizes() {
    const BLOCKS: usize = 4 << 20;
    const HUGE: usize = 1 << 20;
    for [a, w] in type_pairs() {
        let weights = |n, k| Stored::unit(w, [n, k], 1);
        let (wide, long) = (weights(HUGE, 1), weights(1, HUGE));
        every_level(|engine| {
            for matrix in [wide.matrix(), long.matrix()] {
                let weights = Weights::from(matrix);
                let needed = |m| engine.matmul_scratch(m, a, &weights).unwrap();
                for m in [1, 257, usize::MAX] {
                    assert!(needed(m) <= BLOCKS, "{} {a:?} {w:?}", engine.level());
                }
                assert_eq!(needed(usize::MAX), needed(257), "{} {a:?} {w:?}", engine.level());
            }
        });
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for (types, m) in type_pairs().flat_map(|types| [1, 2, M].map(|m| (types, m))) {
        let (a, weights) = operands(types, [m, K, N]);
        every_level(|engine| {
            every_form(engine, &weights, |form, weights| {
                let scratch = |engine: Engine<'_>| Bytes::new(engine.matmul_scratch(m, types[0], weights).unwrap(), 0);
                let expected = product(engine, &a, weights, &mut scratch(engine));
                for (name, pool) in &every_pool() {
                    let engine = engine.with_pool(&**pool);
                    let got = product(engine, &a, weights, &mut scratch(engine));
                    assert!(got == expected, "{engine:?} {name} {types:?} {form} {m} rows");
                }
            });
        });
    }
}

/// Either order of the same weights makes the same panels, byte for byte.
#[test]
fn packed_weights_forget_their_order() {
    for (dtype, [n, k]) in
        DTYPES.into_iter().flat_map(|dtype| [[1, 1], [7, 5], [64, 18], [97, 33], [145, 2]].map(|size| (dtype, size)))
    {
        let weights = BothOrders::new(Stored::unit(dtype, [n, k], 3), 2, 1);
        for level in Level::available() {
            let panels = [Order::OutIn, Order::InOut].map(|order| {
                let mut memory = Bytes::new(Packed::bytes(level, weights.plain(order)).unwrap(), 1);
                let packed = Packed::new(level, weights.plain(order), &mut memory).unwrap();
                let facts = (packed.n(), packed.k(), packed.dtype(), packed.level());
                assert_eq!(facts, (n, k, dtype, level));
                memory.to_vec()
            });
            assert_eq!(panels[0].len(), panels[1].len());
            assert!(panels[0] == panels[1], "{level} {dtype:?} {n} x {k}");
        }
    }
}

#[test]
fn weights_packed_for_another_level_are_refused() {
    let (a, weights) = (random::<f32>(2, 5, 1), random::<f32>(7, 5, 2));
    for packed_for in Level::available() {
        let mut memory = Bytes::new(Packed::bytes(packed_for, weights.matrix()).unwrap(), 0);
        let packed = Packed::new(packed_for, weights.matrix(), &mut memory).unwrap();
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
    assert_eq!(engine.gemv(weights.matrix(), &[0.0; 4], &mut [0.0; 4]), Err(shape("x", 3, 4)));
    let mut y = [f32::NAN; 5];
    assert_eq!(engine.gemv(weights.matrix(), &[0.0; 3], &mut y), Err(shape("y", 4, 5)));
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

#[test]
fn packing_without_inputs_is_done_at_once() {
    for level in Level::available() {
        let weights = Weights::from(MatRef::<f32>::new(&[], usize::MAX / 4 + 1, 0).unwrap());
        let Weights::Plain(plain) = weights else { unreachable!("a view is plain") };
        let mut memory = Bytes::new(Packed::bytes(level, plain).unwrap(), 0);
        assert!(Packed::new(level, plain, &mut memory).is_ok(), "{level}");
    }
}

/// One row may claim any stride: there is no second one.
#[test]
fn the_stride_of_a_single_row_is_never_used() {
    check_single_row::<f32>();
    check_single_row::<f16>();
    check_single_row::<bf16>();
}

fn check_single_row<E: Element>()
where
    for<'a> Matrix<'a>: From<MatRef<'a, E>>,
{
    let numbers = |row: &[f32]| row.iter().map(|&x| E::from_f32(x)).collect::<Vec<_>>();
    // One output of three inputs, and three outputs of one input.
    for (a, order, expected) in
        [(&[1.0, 2.0, 3.0][..], Order::OutIn, &[32.0][..]), (&[2.0], Order::InOut, &[8.0, 10.0, 12.0])]
    {
        let (a, w) = (numbers(a), numbers(&[4.0, 5.0, 6.0]));
        let [a, w] = [&a, &w].map(|row| Matrix::from(MatRef::with_stride(row, 1, row.len(), usize::MAX).unwrap()));
        let plain = Plain::new(w, order);
        every_level(|engine| {
            let mut memory = Bytes::new(Packed::bytes(engine.level(), plain).unwrap(), 0);
            let packed = Packed::new(engine.level(), plain, &mut memory).unwrap();
            for weights in [Weights::from(plain), packed.into()] {
                let mut out = vec![f32::NAN; expected.len()];
                let mut scratch = Bytes::new(engine.matmul_scratch(1, a.dtype(), &weights).unwrap(), 0);
                let view = MatMut::with_stride(&mut out, 1, expected.len(), usize::MAX).unwrap();
                engine.matmul(a, &weights, &Epilogue::default(), view, &mut scratch).unwrap();
                assert_eq!(out, expected, "{} {} {order:?}", engine.level(), E::DTYPE.name());
            }
        });
    }
}

#[test]
fn sizes_that_overflow_are_refused_by_query_and_call_alike() {
    let overflow = Error::Overflow { arg: "scratch" };
    for types in type_pairs() {
        let (a, weights) = operands(types, [2, 5, 7]);
        every_level(|engine| {
            every_form(engine, &weights, |form, weights| {
                let needs_none = engine.matmul_scratch(2, types[0], weights) == Ok(0);
                let engine = engine.with_pool(&Vast);
                let query = engine.matmul_scratch(2, types[0], weights);
                if needs_none {
                    assert_eq!(query, Ok(0), "{engine:?} {types:?} {form}");
                    return;
                }
                assert_eq!(query, Err(overflow), "{engine:?} {types:?} {form}");
                let mut out = Strided::unwritten(2, 7, 0, 0);
                let out_view = out.view_mut();
                let result = engine.matmul(a.matrix(), weights, &Epilogue::default(), out_view, &mut [0; 4096]);
                assert_eq!(result, Err(overflow));
                out.assert_unwritten();
            });
        });
    }
}

/// Rounding up to whole panels, or to pairs of steps, overflows, although there is nothing to store.
#[test]
fn panels_that_overflow_are_refused() {
    let overflow = Error::Overflow { arg: "weights" };
    let refused = |level, plain: Plain<'_>| {
        assert_eq!(Packed::bytes(level, plain), Err(overflow));
        assert_eq!(Packed::new(level, plain, &mut []).err(), Some(overflow));
    };
    for level in Level::available() {
        let tall = Matrix::F32(MatRef::new(&[], usize::MAX, 0).unwrap());
        refused(level, tall.into());
        let wide = Matrix::F16(MatRef::new(&[], 0, usize::MAX).unwrap());
        refused(level, Plain::new(wide, Order::InOut));
        // No outputs of an odd number of inputs, where the inputs go in pairs.
        let long = Matrix::Bf16(MatRef::new(&[], 0, usize::MAX).unwrap());
        if has_pairs(level) {
            refused(level, long.into());
        } else {
            assert_eq!(Packed::bytes(level, long), Ok(0));
        }
    }
}
