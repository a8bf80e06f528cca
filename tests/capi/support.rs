//! What a C program does around a call.

use std::ffi::{CStr, c_void};
use std::mem::zeroed;
use std::ptr::null;

use selfattn::capi::{AttentionOptions, Batch, Config, Engine, Epilogue, ErrorDetail, Mat, MatMut, Status, Weights};
use selfattn::{Dtype, Element, MatRef};

use crate::common::memory::{Bytes, Strided};

/// A struct that starts with its size, all else zero.
macro_rules! sized {
    ($type:ty) => {{
        // SAFETY: structs of the C API are numbers and pointers.
        let mut this: $type = unsafe { zeroed() };
        this.size = size_of::<$type>();
        this
    }};
}

pub fn detail() -> ErrorDetail {
    sized!(ErrorDetail)
}

pub fn engine_at(level: &str) -> Engine {
    let mut engine = sized!(Engine);
    let name = std::ffi::CString::new(level).unwrap();
    // SAFETY: text with a NUL, a place for a number.
    works(|error| unsafe { selfattn::capi::level_from_name(name.as_ptr(), &raw mut engine.level, error) });
    engine
}

pub fn epilogue() -> Epilogue {
    sized!(Epilogue)
}

pub fn options(heads: usize, head_dim: usize) -> AttentionOptions {
    AttentionOptions { heads, head_dim, ..sized!(AttentionOptions) }
}

pub fn config() -> Config {
    sized!(Config)
}

pub fn batch(ids: &[u32], lengths: &[usize]) -> Batch {
    Batch {
        ids: ids.as_ptr(),
        ids_len: ids.len(),
        lengths: lengths.as_ptr(),
        lengths_len: lengths.len(),
        ..sized!(Batch)
    }
}

/// The number of a storage type.
pub fn code(dtype: Dtype) -> i32 {
    match dtype {
        Dtype::F32 => 0,
        Dtype::F16 => 1,
        Dtype::Bf16 => 2,
    }
}

pub fn mat<E: Element>(x: &Strided<E>) -> Mat {
    of_view(&x.view())
}

pub fn of_view<E: Element>(view: &MatRef<'_, E>) -> Mat {
    let data = view.iter_rows().next().map_or(null(), |row| row.as_ptr().cast());
    Mat { data, rows: view.rows(), cols: view.cols(), stride: view.stride(), dtype: code(E::DTYPE), reserved: 0 }
}

pub fn mat_mut(x: &mut Strided) -> MatMut {
    let mut view = x.view_mut();
    let (rows, cols, stride) = (view.rows(), view.cols(), view.stride());
    MatMut { data: view.row_mut(0).as_mut_ptr(), rows, cols, stride }
}

/// Weights in the order of files.
pub fn weights<E: Element>(x: &Strided<E>) -> Weights {
    let Mat { data, rows, cols, stride, dtype, .. } = mat(x);
    Weights { data, n: rows, k: cols, stride, dtype, order: 0, level: 0, reserved: 0 }
}

pub fn start(bytes: &mut Bytes) -> *mut c_void {
    bytes.as_mut_ptr().cast()
}

/// A size that a function gives.
#[track_caller]
pub fn size(call: impl FnOnce(*mut usize, *mut ErrorDetail) -> i32) -> usize {
    let mut bytes = usize::MAX;
    works(|error| call(&raw mut bytes, error));
    bytes
}

/// A call that succeeds, and leaves `error` alone.
#[track_caller]
pub fn works(call: impl FnOnce(*mut ErrorDetail) -> i32) {
    let mut error = detail();
    let status = call(&raw mut error);
    assert_eq!(status, 0, "{}", message(&error));
    assert_eq!((error.status, error.message[0], error.argument[0]), (0, 0, 0), "written by a call that succeeded");
}

/// A call that is refused, and says why: its details, whose message names the argument.
#[track_caller]
pub fn fails(status: Status, argument: &str, call: impl FnOnce(*mut ErrorDetail) -> i32) -> ErrorDetail {
    let mut error = detail();
    let got = call(&raw mut error);
    let said = format!("{} ({})", message(&error), text(&error.argument));
    assert_eq!((got, text(&error.argument)), (status as i32, argument), "{said}");
    assert_eq!((error.status, error.size), (got, size_of::<ErrorDetail>()), "{said}");
    assert!(message(&error).contains(argument) && !message(&error).is_empty(), "{said}");
    error
}

pub fn message(error: &ErrorDetail) -> &str {
    text(&error.message)
}

fn text(bytes: &[u8]) -> &str {
    CStr::from_bytes_until_nul(bytes).expect("ends with a NUL").to_str().expect("is UTF-8")
}
