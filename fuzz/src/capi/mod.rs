//! Sequences of C calls, as a program might make them that does not read the header: null, misaligned and overlapping arrays, sizes
//! that do not fit each other or no memory, numbers that are none of an enum's, structs of the wrong size.
//!
//! Of every call: its status is one of the header's; a refusal fills the error, whose text names the argument, and writes nothing else;
//! a success writes its outputs alone.

mod arena;
mod calls;

use std::ffi::CStr;
use std::mem::zeroed;
use std::ops::Range;

use arbitrary::Unstructured;
use selfattn::capi::{self, ErrorDetail, Status};

use arena::Arena;
use calls::Program;

pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut program = Program::new();
    for _ in 0..24 {
        if u.is_empty() || program.step(&mut u).is_err() {
            break;
        }
    }
}

/// A struct that starts with its size, all else zero.
macro_rules! sized {
    ($type:ty) => {{
        // SAFETY: structs of the C API are numbers and pointers.
        let mut this: $type = unsafe { zeroed() };
        this.size = size_of::<$type>();
        this
    }};
}
use sized;

/// Makes a call, and holds it to what is promised of all; true if it succeeded.
fn call(arena: &mut Arena, name: &str, written: &[Range<usize>], call: impl FnOnce(*mut ErrorDetail) -> i32) -> bool {
    let mut error = sized!(ErrorDetail);
    arena.remember();
    let status = call(&raw mut error);
    assert!((0..Status::Panic as i32).contains(&status), "{name}: status {status}");
    if status == 0 {
        assert_eq!((error.status, error.message[0], error.argument[0]), (0, 0, 0), "{name}: an error of a success");
        arena.check(name, written);
        return true;
    }
    arena.check(name, &[]);
    let (argument, message) = (text(&error.argument), text(&error.message));
    assert_eq!((error.status, error.size), (status, size_of::<ErrorDetail>()), "{name}: {message}");
    assert!(!message.is_empty() && message.contains(argument), "{name}: {argument:?} is not in {message:?}");
    // SAFETY: any number will do.
    let said = unsafe { CStr::from_ptr(capi::status_text(status)) }.to_bytes();
    assert_ne!(said, b"unknown status", "{name}: {status}");
    false
}

fn text(bytes: &[u8]) -> &str {
    CStr::from_bytes_until_nul(bytes).expect("ends with a NUL").to_str().expect("is UTF-8")
}
