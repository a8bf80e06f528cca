//! Products: the bits of the Rust API, from plain and packed weights of every type, with every epilogue.

use std::ptr::null;

use half::{bf16, f16};
use selfattn::capi::{self, Epilogue, Weights};
use selfattn::{Activation, Element, Engine, Order, Plain};

use super::support::{code, engine_at, epilogue, mat, mat_mut, size, start, weights, works};
use crate::common::data::Rng;
use crate::common::every_level;
use crate::common::memory::{AsMatrix, Bytes, Strided};

const M: usize = 5;
const N: usize = 37;
const K: usize = 19;

fn random<E: Element>(rows: usize, cols: usize, gap: usize) -> Strided<E> {
    let mut rng = Rng::new((rows * cols + gap) as u64);
    Strided::new(rows, cols, gap, 1, |_, _| rng.unit())
}

/// The product from C, without and with packing.
fn products<A: Element>(rust: Engine<'_>, a: &Strided<A>, weights: &Weights, epilogue: &Epilogue) -> [Strided; 2] {
    let engine = engine_at(rust.level().name());
    // SAFETY: what the header asks for.
    let needed = size(|bytes, error| unsafe { capi::packed_bytes(&raw const engine, weights, bytes, error) });
    let mut memory = Bytes::new(needed, 3);
    let mut packed = *weights;
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        capi::pack(&raw const engine, weights, start(&mut memory), needed, &raw mut packed, error)
    });
    [*weights, packed].map(|weights| {
        // SAFETY: what the header asks for.
        let needed = size(|bytes, error| unsafe {
            capi::matmul_scratch(&raw const engine, M, code(A::DTYPE), &raw const weights, bytes, error)
        });
        let mut scratch = Bytes::new(needed, 1);
        let mut out = Strided::unwritten(M, N, 2, 3);
        let (a, to) = (mat(a), mat_mut(&mut out));
        // SAFETY: what the header asks for.
        works(|error| unsafe {
            capi::matmul(
                &raw const engine,
                &raw const a,
                &raw const weights,
                epilogue,
                &raw const to,
                start(&mut scratch),
                needed,
                error,
            )
        });
        out.assert_guards();
        out
    })
}

fn check<A: Element, E: Element>(rust: Engine<'_>, epilogue: Option<(&Epilogue, selfattn::Epilogue<'_>)>)
where
    Strided<A>: AsMatrix,
    Strided<E>: AsMatrix,
{
    let a = random::<A>(M, K, 4);
    for order in [Order::OutIn, Order::InOut] {
        let (rows, cols) = if order == Order::OutIn { (N, K) } else { (K, N) };
        let b = random::<E>(rows, cols, 3);
        let given = Weights { n: N, k: K, order: i32::from(order == Order::InOut), ..weights(&b) };
        let (c, of_rust) = epilogue.unwrap_or_else(|| (&EMPTY, selfattn::Epilogue::default()));
        let plain = Plain::new(b.matrix(), order).into();
        let mut scratch = vec![0; rust.matmul_scratch(M, A::DTYPE, &plain).unwrap()];
        let mut expected = Strided::unwritten(M, N, 0, 0);
        rust.matmul(a.matrix(), &plain, &of_rust, expected.view_mut(), &mut scratch).unwrap();
        for out in products(rust, &a, &given, c) {
            assert_eq!(out.bits(), expected.bits(), "{} {order:?}", rust.level());
        }
    }
}

const EMPTY: Epilogue =
    Epilogue { size: size_of::<Epilogue>(), bias: null(), bias_len: 0, residual: null(), activation: 0, reserved: 0 };

#[test]
fn products_of_every_type_are_the_rust_apis() {
    every_level(|rust| {
        check::<f32, f32>(rust, None);
        check::<f32, f16>(rust, None);
        check::<f32, bf16>(rust, None);
        check::<f16, f16>(rust, None);
        check::<bf16, bf16>(rust, None);
    });
}

#[test]
fn epilogues_are_the_rust_apis() {
    let (bias, residual) = (random::<f32>(1, N, 0), random::<f32>(M, N, 5));
    let bias = bias.view().row(0);
    let given = mat(&residual);
    for (number, activation) in
        [Activation::None, Activation::Gelu, Activation::GeluTanh, Activation::Relu].into_iter().enumerate()
    {
        for with_bias in [false, true] {
            for with_residual in [false, true] {
                let mut c = Epilogue { activation: number as i32, ..epilogue() };
                if with_bias {
                    (c.bias, c.bias_len) = (bias.as_ptr(), bias.len());
                }
                if with_residual {
                    c.residual = &raw const given;
                }
                let of_rust = selfattn::Epilogue {
                    bias: with_bias.then_some(bias),
                    activation,
                    residual: with_residual.then(|| residual.view()),
                };
                every_level(|rust| check::<f32, f32>(rust, Some((&c, of_rust))));
            }
        }
    }
}

fn check_gemv<E: Element>(rust: Engine<'_>)
where
    Strided<E>: AsMatrix,
{
    let engine = engine_at(rust.level().name());
    let x = random::<f32>(1, K, 0);
    let x = x.view().row(0);
    for order in [Order::OutIn, Order::InOut] {
        let (rows, cols) = if order == Order::OutIn { (N, K) } else { (K, N) };
        let w = random::<E>(rows, cols, 2);
        let given = Weights { n: N, k: K, order: i32::from(order == Order::InOut), ..weights(&w) };
        let (mut y, mut expected) = ([f32::NAN; N], [0.0; N]);
        rust.gemv(Plain::new(w.matrix(), order), x, &mut expected).unwrap();
        // SAFETY: what the header asks for.
        works(|error| unsafe {
            capi::gemv(&raw const engine, &raw const given, x.as_ptr(), K, y.as_mut_ptr(), N, error)
        });
        assert_eq!(y.map(f32::to_bits), expected.map(f32::to_bits), "{} {order:?}", rust.level());
    }
}

#[test]
fn gemv_of_every_type_is_the_rust_apis() {
    every_level(|rust| {
        check_gemv::<f32>(rust);
        check_gemv::<f16>(rust);
        check_gemv::<bf16>(rust);
    });
}

#[test]
fn nothing_by_nothing_is_no_error() {
    // m, n, k, one of them 0; no array is there but the one that is needed.
    for (m, n, k) in [(0, 4, 3), (2, 0, 3), (2, 4, 0), (0, 0, 0)] {
        let data = [1.0_f32; 12];
        let at = |len: usize| if len == 0 { null() } else { data.as_ptr().cast() };
        let a = capi::Mat { data: at(m * k), rows: m, cols: k, stride: 0, dtype: 0, reserved: 0 };
        let b = Weights { data: at(n * k), n, k, stride: 0, dtype: 0, order: 0, level: 0, reserved: 0 };
        let mut out = [f32::NAN; 8];
        let to = capi::MatMut { data: out.as_mut_ptr(), rows: m, cols: n, stride: 0 };
        let mut scratch = vec![0; 1 << 16];
        // SAFETY: what the header asks for.
        works(|error| unsafe {
            let scratch = scratch.as_mut_ptr().cast();
            capi::matmul(null(), &raw const a, &raw const b, null(), &raw const to, scratch, 1 << 16, error)
        });
        assert!(out[..m * n].iter().all(|x| *x == 0.0) && out[m * n..].iter().all(|x| x.is_nan()));
    }
}
