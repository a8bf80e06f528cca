//! What products refuse: each wrong argument by its name, and nothing is written.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use selfattn::capi::{self, Engine, Epilogue, ErrorDetail, Mat, MatMut, Status, Weights};

use super::support::{engine_at, epilogue, fails, mat, mat_mut, start, weights, works};
use crate::common::data::Rng;
use crate::common::memory::{Bytes, Strided};

const M: usize = 3;
const N: usize = 5;
const K: usize = 4;

/// A product that is in order; the tests break one thing each.
struct Product {
    a: Strided,
    b: Strided,
    out: Strided,
    scratch: Bytes,
}

/// What the function is given.
#[derive(Clone, Copy)]
struct Given {
    engine: *const Engine,
    a: Mat,
    weights: Weights,
    epilogue: Epilogue,
    out: MatMut,
    scratch: (*mut c_void, usize),
}

impl Product {
    fn new() -> Self {
        let mut rng = Rng::new(1);
        let mut random = |rows, cols| Strided::new(rows, cols, 2, 0, |_, _| rng.unit());
        let (a, b) = (random(M, K), random(N, K));
        Self { a, b, out: Strided::unwritten(M, N, 1, 1), scratch: Bytes::new(1 << 16, 0) }
    }

    fn given(&mut self) -> Given {
        Given {
            engine: null(),
            a: mat(&self.a),
            weights: weights(&self.b),
            epilogue: epilogue(),
            out: mat_mut(&mut self.out),
            scratch: (start(&mut self.scratch), self.scratch.len()),
        }
    }
}

fn call(given: &Given, error: *mut ErrorDetail) -> i32 {
    let Given { engine, a, weights, epilogue, out, scratch } = given;
    // SAFETY: what the header asks for, but for what is refused.
    unsafe { capi::matmul(*engine, a, weights, epilogue, out, scratch.0, scratch.1, error) }
}

/// One change to a product that is in order, and what is said about it.
#[track_caller]
fn refused(status: Status, argument: &str, change: impl FnOnce(&mut Given)) -> ErrorDetail {
    let mut product = Product::new();
    let mut given = product.given();
    change(&mut given);
    let error = fails(status, argument, |error| call(&given, error));
    product.out.assert_unwritten();
    assert!(product.scratch.iter().all(|byte| *byte == 0xFF), "scratch written by a call that failed");
    error
}

#[test]
fn what_they_are_made_from_is_in_order() {
    let mut product = Product::new();
    works(|error| call(&product.given(), error));
    product.out.assert_guards();
}

#[test]
fn null_is_refused_where_there_is_something() {
    refused(Status::Null, "a", |given| given.a.data = null());
    refused(Status::Null, "weights", |given| given.weights.data = null());
    refused(Status::Null, "out", |given| given.out.data = null_mut());
    refused(Status::Null, "scratch", |given| given.scratch.0 = null_mut());
    refused(Status::Null, "bias", |given| given.epilogue.bias_len = N);
    let residual = Mat { data: null(), rows: M, cols: N, stride: 0, dtype: 0, reserved: 0 };
    refused(Status::Null, "residual", |given| given.epilogue.residual = &raw const residual);
}

#[test]
fn structs_that_are_not_there_are_refused() {
    let mut product = Product::new();
    let Given { engine, a, weights, epilogue, out, scratch } = product.given();
    let (a, weights, out) = (&raw const a, &raw const weights, &raw const out);
    let call = |a, weights, out, error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::matmul(engine, a, weights, &raw const epilogue, out, scratch.0, scratch.1, error) }
    };
    fails(Status::Null, "a", |error| call(null(), weights, out, error));
    fails(Status::Null, "weights", |error| call(a, null(), out, error));
    fails(Status::Null, "out", |error| call(a, weights, null(), error));
    fails(Status::Misaligned, "a", |error| call(a.wrapping_byte_add(1), weights, out, error));
    product.out.assert_unwritten();
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let error = refused(Status::Shape, "weights", |given| given.a.cols = K - 1);
    assert_eq!((error.expected[0], error.got[0]), (K as u64 - 1, K as u64));
    refused(Status::Shape, "weights", |given| given.weights.k = K - 1);
    refused(Status::Shape, "out", |given| given.out.rows = M - 1);
    refused(Status::Shape, "out", |given| given.out.cols = N - 1);
    refused(Status::Shape, "a", |given| given.a.stride = K - 1);
    refused(Status::Shape, "weights", |given| given.weights.stride = 1);
    refused(Status::Shape, "out", |given| given.out.stride = 1);
    let bias = [0.0; N];
    refused(Status::Shape, "bias", |given| {
        (given.epilogue.bias, given.epilogue.bias_len) = (bias.as_ptr(), N - 1);
    });
    let residual = Strided::<f32>::dense(M, N - 1, |_, _| 0.0);
    let residual = mat(&residual);
    refused(Status::Shape, "residual", |given| given.epilogue.residual = &raw const residual);
}

#[test]
fn sizes_that_no_memory_has_are_refused() {
    refused(Status::Overflow, "a", |given| (given.a.rows, given.a.stride) = (usize::MAX, 8));
    refused(Status::Overflow, "a", |given| (given.a.rows, given.a.stride) = (usize::MAX / 16, 8));
    refused(Status::Overflow, "weights", |given| given.weights.n = usize::MAX / 2);
    refused(Status::Overflow, "out", |given| given.out.rows = usize::MAX / 8);
    refused(Status::Overflow, "scratch", |given| given.scratch.1 = usize::MAX);
}

#[test]
fn short_scratch_is_refused_with_what_is_needed() {
    let error = refused(Status::Scratch, "scratch", |given| given.scratch.1 = 1);
    assert!(error.expected[0] > 1 && error.got[0] == 1);
    let needed = error.expected[0] as usize;
    refused(Status::Scratch, "scratch", |given| given.scratch.1 = needed - 1);
    refused(Status::Scratch, "scratch", |given| given.scratch = (null_mut(), 0));
    let mut product = Product::new();
    let mut given = product.given();
    given.scratch.1 = needed;
    works(|error| call(&given, error));
}

#[test]
fn misaligned_numbers_are_refused() {
    let error = refused(Status::Misaligned, "a", |given| given.a.data = given.a.data.wrapping_byte_add(2));
    assert_eq!(error.expected[0], 4);
    refused(Status::Misaligned, "weights", |given| given.weights.data = given.weights.data.wrapping_byte_add(1));
    refused(Status::Misaligned, "out", |given| given.out.data = given.out.data.wrapping_byte_add(1));
    let error = refused(Status::Misaligned, "weights", |given| {
        (given.weights.dtype, given.weights.data) = (1, given.weights.data.wrapping_byte_add(1));
    });
    assert_eq!(error.expected[0], 2);
    let bias = [0.0_f32; N + 1];
    refused(Status::Misaligned, "bias", |given| {
        (given.epilogue.bias, given.epilogue.bias_len) = (bias.as_ptr().wrapping_byte_add(1), N);
    });
}

#[test]
fn numbers_of_no_enum_are_refused() {
    let error = refused(Status::Enum, "a", |given| given.a.dtype = 3);
    assert_eq!(error.got[0], 3);
    refused(Status::Enum, "dtype", |given| given.weights.dtype = -1);
    refused(Status::Enum, "order", |given| given.weights.order = 3);
    refused(Status::Enum, "activation", |given| given.epilogue.activation = 4);
    refused(Status::Enum, "level", |given| (given.weights.order, given.weights.level) = (2, 9));
    let half = Mat { data: null(), rows: 0, cols: 0, stride: 0, dtype: 1, reserved: 0 };
    refused(Status::Enum, "residual", |given| given.epilogue.residual = &raw const half);
    refused(Status::Value, "reserved", |given| given.a.reserved = 1);
    refused(Status::Value, "reserved", |given| given.weights.reserved = 1);
    refused(Status::Value, "reserved", |given| given.epilogue.reserved = 1);
    refused(Status::Value, "level", |given| given.weights.level = 1);
}

#[test]
fn a_struct_of_another_size_is_refused() {
    refused(Status::StructSize, "epilogue", |given| given.epilogue.size = 0);
    refused(Status::StructSize, "epilogue", |given| given.epilogue.size = size_of::<Epilogue>() - 1);
    // A later version, of which something is used, and of which nothing is.
    let longer = |unknown: usize| {
        let mut product = Product::new();
        let given = product.given();
        let known = Epilogue { size: size_of::<Epilogue>() + size_of::<usize>(), ..given.epilogue };
        let longer = (known, unknown);
        let epilogue = (&raw const longer).cast();
        let call = |error| {
            let Given { engine, a, weights, out, scratch, .. } = &given;
            // SAFETY: what the header asks for; the epilogue is as long as it says.
            unsafe { capi::matmul(*engine, a, weights, epilogue, out, scratch.0, scratch.1, error) }
        };
        assert_eq!(size_of_val(&longer), known.size, "no padding between them");
        if unknown == 0 {
            works(call);
        } else {
            fails(Status::StructSize, "epilogue", call);
        }
    };
    longer(0);
    longer(1);
}

#[test]
fn what_is_written_must_lie_apart() {
    refused(Status::Overlap, "out", |given| given.out.data = given.a.data.cast_mut().cast());
    refused(Status::Overlap, "out", |given| given.out.data = given.weights.data.cast_mut().cast());
    // The last element of the one is the first of the other.
    refused(Status::Overlap, "out", |given| {
        given.a.data = given.out.data.wrapping_add(2 * given.out.stride + N - 1).cast_const().cast();
        given.a.rows = M;
    });
    refused(Status::Overlap, "scratch", |given| {
        // No longer than what it lies in: what stands behind that is not the test's.
        given.scratch = (given.a.data.cast_mut().wrapping_byte_add(4), 16);
    });
    refused(Status::Overlap, "out", |given| given.scratch = (given.out.data.cast(), 16));
    refused(Status::Overlap, "out", |given| {
        (given.epilogue.bias, given.epilogue.bias_len) = (given.out.data.cast_const(), N);
    });
    // In place is not to be had: the residual is read when the product is written.
    let mut product = Product::new();
    let mut given = product.given();
    let MatMut { data, rows, cols, stride } = given.out;
    let residual = Mat { data: data.cast_const().cast(), rows, cols, stride, dtype: 0, reserved: 0 };
    given.epilogue.residual = &raw const residual;
    fails(Status::Overlap, "out", |error| call(&given, error));
    product.out.assert_unwritten();
    // What is read may overlap as it likes.
    let mut product = Product::new();
    let mut given = product.given();
    given.weights.data = given.a.data;
    (given.weights.n, given.out.cols) = (M, M);
    works(|error| call(&given, error));
}

#[test]
fn gemv_refuses_what_it_cannot_do() {
    let b = Strided::<f32>::dense(N, K, |_, _| 1.0);
    let (given, x, mut y) = (weights(&b), [1.0_f32; K], [7.0_f32; N]);
    let to = y.as_mut_ptr();
    let call = |weights: Weights, x: (*const f32, usize), y: (*mut f32, usize), error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::gemv(null(), &raw const weights, x.0, x.1, y.0, y.1, error) }
    };
    let (from, to) = ((x.as_ptr(), K), (to, N));
    fails(Status::Shape, "x", |error| call(given, (from.0, K - 1), to, error));
    fails(Status::Shape, "y", |error| call(given, from, (to.0, N - 1), error));
    fails(Status::Null, "x", |error| call(given, (null(), K), to, error));
    fails(Status::Shape, "x", |error| call(given, (null(), 0), to, error));
    fails(Status::Null, "y", |error| call(given, from, (null_mut(), N), error));
    fails(Status::Misaligned, "y", |error| call(given, from, (to.0.wrapping_byte_add(1), N), error));
    fails(Status::Overlap, "y", |error| call(given, (to.0.cast_const(), K), to, error));
    fails(Status::Value, "order", |error| call(Weights { order: 2, stride: N * K, ..given }, from, to, error));
    assert_eq!(y, [7.0; N]);
}

#[test]
fn packing_refuses_what_it_cannot_do() {
    let b = Strided::<f32>::dense(N, K, |_, _| 1.0);
    let (given, scalar) = (weights(&b), engine_at("scalar"));
    let mut memory = Bytes::new(4096, 0);
    let room = start(&mut memory);
    let mut packed = Weights { n: 77, ..given };
    let mut call = |weights: Weights, memory: (*mut c_void, usize), error| {
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::pack(&raw const scalar, &raw const weights, memory.0, memory.1, &raw mut packed, error) }
    };
    let error = fails(Status::Scratch, "memory", |error| call(given, (room, 1), error));
    assert!(error.expected[0] > 1);
    fails(Status::Null, "memory", |error| call(given, (null_mut(), 4096), error));
    fails(Status::Value, "order", |error| call(Weights { order: 2, ..given }, (room, 4096), error));
    fails(Status::Overlap, "memory", |error| call(given, (given.data.cast_mut(), 64), error));
    let huge = Weights { n: usize::MAX / 2, data: null(), ..given };
    // SAFETY: what the header asks for; the weights need not be there.
    fails(Status::Overflow, "weights", |error| unsafe {
        capi::packed_bytes(&raw const scalar, &raw const huge, &mut 0, error)
    });
    assert!(packed.n == 77 && memory.iter().all(|byte| *byte == 0xFF), "written by a call that failed");
}

#[test]
fn packed_weights_run_as_they_were_packed_or_not_at_all() {
    let mut product = Product::new();
    let mut given = product.given();
    let scalar = engine_at("scalar");
    let mut memory = Bytes::new(4096, 0);
    let mut packed = given.weights;
    // SAFETY: what the header asks for.
    works(|error| unsafe {
        capi::pack(&raw const scalar, &raw const given.weights, start(&mut memory), 4096, &raw mut packed, error)
    });
    (given.engine, given.weights) = (&raw const scalar, packed);
    for wrong in [Weights { stride: packed.stride - 1, ..packed }, Weights { n: N + 4, ..packed }] {
        given.weights = wrong;
        fails(Status::Value, "stride", |error| call(&given, error));
    }
    given.weights = packed;
    if selfattn::Level::detect() != selfattn::Level::SCALAR {
        let best = engine_at(selfattn::Level::detect().name());
        given.engine = &raw const best;
        fails(Status::Packed, "weights", |error| call(&given, error));
        given.engine = &raw const scalar;
    }
    product.out.assert_unwritten();
    works(|error| call(&given, error));
}
