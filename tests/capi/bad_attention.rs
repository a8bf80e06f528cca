//! What attention refuses: each wrong argument by its name, and nothing is written.

use std::ffi::c_void;
use std::ptr::{null, null_mut};

use selfattn::capi::{self, AttentionOptions, ErrorDetail, Mat, MatMut, Status};

use super::support::{engine_at, fails, mat, mat_mut, options, start, works};
use crate::common::memory::{Bytes, Strided};

const HEADS: usize = 2;
const D: usize = 4;
const ROWS: usize = 6;

/// Attention that is in order; the tests break one thing each.
struct Problem {
    operands: [Strided; 3],
    out: Strided,
    lse: Strided,
    scratch: Bytes,
}

/// What the function is given.
struct Given {
    options: AttentionOptions,
    q: Mat,
    k: Mat,
    v: Mat,
    out: MatMut,
    lse: MatMut,
    scratch: (*mut c_void, usize),
}

impl Problem {
    fn new() -> Self {
        let operands = [0, 1, 2].map(|_| Strided::new(ROWS, HEADS * D, 1, 0, |i, j| (i + j) as f32 / 8.0));
        let [out, lse] = [HEADS * D, HEADS].map(|cols| Strided::unwritten(ROWS, cols, 1, 0));
        Self { operands, out, lse, scratch: Bytes::new(1 << 16, 0) }
    }

    fn given(&mut self) -> Given {
        let [q, k, v] = self.operands.each_ref().map(mat);
        let scratch = (start(&mut self.scratch), self.scratch.len());
        let (out, lse) = (mat_mut(&mut self.out), mat_mut(&mut self.lse));
        Given { options: options(HEADS, D), q, k, v, out, lse, scratch }
    }
}

fn call(given: &Given, error: *mut ErrorDetail) -> i32 {
    let Given { options, q, k, v, out, lse, scratch } = given;
    let engine = engine_at("scalar");
    // SAFETY: what the header asks for, but for what is refused.
    unsafe { capi::attention(&raw const engine, options, q, k, v, out, lse, scratch.0, scratch.1, error) }
}

#[track_caller]
fn refused(status: Status, argument: &str, change: impl FnOnce(&mut Given)) -> ErrorDetail {
    let mut problem = Problem::new();
    let mut given = problem.given();
    change(&mut given);
    let error = fails(status, argument, |error| call(&given, error));
    problem.out.assert_unwritten();
    problem.lse.assert_unwritten();
    error
}

#[test]
fn what_they_are_made_from_is_in_order() {
    let mut problem = Problem::new();
    works(|error| call(&problem.given(), error));
}

#[test]
fn options_out_of_their_domain_are_refused() {
    let value = |argument, change: fn(&mut AttentionOptions)| {
        refused(Status::Value, argument, |given| change(&mut given.options));
    };
    value("heads", |options| options.heads = 0);
    value("head_dim", |options| options.head_dim = 0);
    value("kv_heads", |options| options.kv_heads = 3);
    value("softcap", |options| options.softcap = -1.0);
    value("softcap", |options| options.softcap = f32::NAN);
    value("key_block", |options| options.key_block = 1025);
    // What its flag has not switched on was meant to be.
    value("scale", |options| options.scale = 0.5);
    value("scale", |options| options.scale = f32::NAN);
    value("window_left", |options| options.window_left = 1);
    value("window_right", |options| options.window_right = 1);
    value("query_offset", |options| options.query_offset = 1);
    let error = refused(Status::Enum, "flags", |given| given.options.flags = 32);
    assert_eq!(error.got[0], 32);
    refused(Status::Enum, "sequences", |given| given.options.sequences = 4);
    refused(Status::StructSize, "options", |given| given.options.size -= 1);
    refused(Status::StructSize, "options", |given| given.options.size = 0);
    refused(Status::Overflow, "heads", |given| {
        (given.options.heads, given.options.kv_heads) = (usize::MAX, usize::MAX);
    });
    refused(Status::Overflow, "options", |given| given.options.head_dim = usize::MAX / 2);
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    refused(Status::Shape, "q", |given| given.q.cols -= 1);
    refused(Status::Shape, "k", |given| given.k.cols -= 1);
    refused(Status::Shape, "v", |given| given.v.cols -= 1);
    refused(Status::Shape, "v", |given| given.v.rows -= 1);
    refused(Status::Shape, "out", |given| given.out.cols -= 1);
    refused(Status::Shape, "out", |given| given.out.rows -= 1);
    refused(Status::Shape, "lse", |given| given.lse.rows -= 1);
    refused(Status::Shape, "lse", |given| given.lse.cols -= 1);
    refused(Status::Null, "q", |given| given.q.data = null());
    refused(Status::Null, "lse", |given| given.lse.data = null_mut());
    refused(Status::Misaligned, "k", |given| given.k.data = given.k.data.wrapping_byte_add(1));
    refused(Status::Enum, "v", |given| given.v.dtype = 7);
    let error = refused(Status::Scratch, "scratch", |given| given.scratch.1 = 7);
    assert_eq!(error.got[0], 7);
}

#[test]
fn what_is_written_must_lie_apart() {
    refused(Status::Overlap, "out", |given| given.out.data = given.q.data.cast_mut().cast());
    refused(Status::Overlap, "out", |given| given.lse.data = given.out.data);
    refused(Status::Overlap, "lse", |given| given.lse.data = given.v.data.cast_mut().cast());
    // No longer than what it lies in: what stands behind that is not the test's.
    refused(Status::Overlap, "scratch", |given| given.scratch = (given.k.data.cast_mut(), 16));
    // An array of the options counts as well.
    let slopes = [0.5_f32; 64];
    refused(Status::Overlap, "scratch", |given| {
        (given.options.alibi, given.options.alibi_len) = (slopes.as_ptr(), HEADS);
        given.scratch = (slopes.as_ptr().cast_mut().cast(), size_of_val(&slopes));
    });
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let list = |list: &'static [usize]| (list.as_ptr(), list.len());
    let lists = |status, argument, sequences, lengths: &'static [usize], offsets: &'static [usize]| {
        refused(status, argument, |given| {
            given.options.sequences = sequences;
            (given.options.lengths, given.options.lengths_len) = list(lengths);
            if !offsets.is_empty() {
                (given.options.key_offsets, given.options.key_offsets_len) = list(offsets);
            }
        });
    };
    lists(Status::Value, "lengths", 0, &[6], &[]);
    lists(Status::Shape, "lengths", 1, &[5], &[]);
    lists(Status::Overflow, "lengths", 1, &[usize::MAX, 2], &[]);
    lists(Status::Value, "key_offsets", 1, &[6], &[0, 6]);
    lists(Status::Shape, "lengths", 2, &[4, 1], &[]);
    lists(Status::Shape, "lengths, key_offsets", 3, &[0, 6], &[0, 3, 6]);
    lists(Status::Shape, "lengths, key_offsets", 3, &[0, 7], &[0, 6]);
    lists(Status::Shape, "lengths, key_offsets", 3, &[0, 4, 2, 6], &[0, 2, 4, 6]);
    refused(Status::Null, "lengths", |given| (given.options.sequences, given.options.lengths_len) = (1, 1));
    refused(Status::Shape, "lengths", |given| given.options.sequences = 1);
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    const FLOATS: [f32; 64] = [0.0; 64];
    const BYTES: [u8; 64] = [1; 64];
    refused(Status::Shape, "bias", |given| {
        (given.options.bias, given.options.bias_len) = (FLOATS.as_ptr(), 35);
        given.options.bias_strides = [0, 0, ROWS, 1];
    });
    refused(Status::Overflow, "bias", |given| {
        (given.options.bias, given.options.bias_len) = (FLOATS.as_ptr(), 36);
        given.options.bias_strides = [0, usize::MAX, ROWS, 1];
    });
    refused(Status::Shape, "mask", |given| {
        (given.options.mask, given.options.mask_len) = (BYTES.as_ptr(), 35);
        given.options.mask_strides = [0, 0, ROWS, 1];
    });
    refused(Status::Shape, "alibi", |given| {
        (given.options.alibi, given.options.alibi_len) = (FLOATS.as_ptr(), HEADS - 1);
    });
    refused(Status::Shape, "sinks", |given| {
        (given.options.sinks, given.options.sinks_len) = (FLOATS.as_ptr(), HEADS + 1);
    });
    refused(Status::Null, "sinks", |given| given.options.sinks_len = HEADS);
    refused(Status::Null, "bias", |given| given.options.bias_len = 1);
    refused(Status::Null, "mask", |given| given.options.mask_len = 1);
    // There, and empty: not absent.
    refused(Status::Shape, "alibi", |given| given.options.alibi = FLOATS.as_ptr());
}

#[test]
fn results_that_do_not_fit_do_not_merge() {
    let [mut out, mut lse] = [HEADS * D, HEADS].map(|cols| Strided::unwritten(ROWS, cols, 1, 0));
    let [other_out, other_lse] = [HEADS * D, HEADS].map(|cols| Strided::<f32>::dense(ROWS, cols, |_, _| 0.0));
    let (to, to_lse, from, from_lse) = (mat_mut(&mut out), mat_mut(&mut lse), mat(&other_out), mat(&other_lse));
    let call = |to: MatMut, to_lse: MatMut, from: Mat, from_lse: Mat, error| {
        let (from, from_lse) = (&raw const from, &raw const from_lse);
        // SAFETY: what the header asks for, but for what is refused.
        unsafe { capi::attention_merge(null(), &raw const to, &raw const to_lse, from, from_lse, error) }
    };
    let half = |mat: Mat| Mat { dtype: 1, ..mat };
    fails(Status::Shape, "lse", |error| call(to, MatMut { rows: 2, ..to_lse }, from, from_lse, error));
    fails(Status::Shape, "lse", |error| {
        call(MatMut { cols: 7, ..to }, to_lse, Mat { cols: 7, ..from }, from_lse, error)
    });
    fails(Status::Shape, "other_out", |error| call(to, to_lse, Mat { rows: 2, ..from }, from_lse, error));
    fails(Status::Shape, "other_lse", |error| call(to, to_lse, from, Mat { cols: 1, ..from_lse }, error));
    fails(Status::Enum, "other_out", |error| call(to, to_lse, half(from), from_lse, error));
    fails(Status::Overlap, "out", |error| {
        call(to, to_lse, Mat { data: to.data.cast_const().cast(), ..from }, from_lse, error)
    });
    out.assert_unwritten();
    lse.assert_unwritten();
}
