//! What a caller is told of a call that failed.

use core::ffi::{CStr, c_char};

use super::fault::{Fault, Result, Status};
use super::sized::{self, Sized as _};
use crate::words::Words;

/// `selfattn_error`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ErrorDetail {
    pub size: usize,
    pub status: i32,
    pub reserved: i32,
    pub index: u64,
    pub expected: [u64; 2],
    pub got: [u64; 2],
    pub argument: [u8; 32],
    pub message: [u8; 192],
}

// SAFETY: `size` is first; zeros and every other bits are numbers.
unsafe impl sized::Sized for ErrorDetail {
    const FIRST: usize = size_of::<Self>();
}

impl ErrorDetail {
    fn new(mut fault: Fault, size: usize) -> Self {
        let (index, expected, got) = fault.numbers();
        let mut detail = Self {
            size,
            status: fault.status() as i32,
            reserved: 0,
            index,
            expected,
            got,
            argument: [0; 32],
            message: [0; 192],
        };
        Line::new(&mut detail.argument).push(fault.arg());
        let mut message = Line::new(&mut detail.message);
        fault.say(&mut |piece| message.push(piece));
        detail
    }
}

/// Text with a NUL behind it, cut where the room ends.
struct Line<'a> {
    room: &'a mut [u8],
}

impl<'a> Line<'a> {
    fn new(room: &'a mut [u8]) -> Self {
        Self { room }
    }

    fn push(&mut self, text: &str) {
        let mut buffer = [0; 4];
        for char in text.chars() {
            let bytes = char.encode_utf8(&mut buffer).as_bytes();
            // The last byte stays 0.
            if bytes.len() >= self.room.len() {
                self.room = &mut [];
                return;
            }
            let (to, rest) = core::mem::take(&mut self.room).split_at_mut_checked(bytes.len()).unwrap_or_default();
            to.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            self.room = rest;
        }
    }
}

/// Calls, and writes what was wrong to `error`, if that is not null. The status.
///
/// # Safety
/// `error` is null or points to a `selfattn_error`.
pub(super) unsafe fn report(error: *mut ErrorDetail, call: impl FnOnce() -> Result<()>) -> i32 {
    // SAFETY: the same contract.
    let size = match unsafe { ErrorDetail::size(error, "error") } {
        Ok(size) => size,
        Err(fault) => return fault.status() as i32,
    };
    let Err(fault) = call() else { return Status::Ok as i32 };
    let status = fault.status() as i32;
    if let Some(size) = size {
        // SAFETY: `size` has checked the pointer, and that there is room for as much.
        unsafe { sized::write(error, &ErrorDetail::new(fault, size), size) };
    }
    status
}

/// The texts of `Status`, by its numbers.
const TEXTS: [&CStr; 32] = [
    c"success",
    c"a pointer is NULL",
    c"a size overflows",
    c"an argument has the wrong size",
    c"a value is out of range",
    c"a number is none of the constants for it",
    c"a struct has the wrong size, or what is unknown in it is not zero",
    c"a pointer is not aligned",
    c"what is written overlaps with another argument",
    c"too little scratch or memory",
    c"no room for as many",
    c"the SIMD level is unknown, or this CPU does not have it",
    c"weights packed for another SIMD level",
    c"weight files are little-endian, and this target is big-endian",
    c"not such an object, or one that has been destroyed",
    c"the system gives no memory",
    c"a token is not in the vocabulary",
    c"a sequence is longer than the model can take",
    c"a field of the configuration is missing or not supported",
    c"not valid JSON",
    c"the weight file is cut off",
    c"the weight file claims too large a header",
    c"the weight file's header is wrong",
    c"the weight file lacks a tensor",
    c"a tensor of the weight file is not part of the model",
    c"a tensor has the wrong shape",
    c"a tensor has a type that is not computed with",
    c"a file cannot be read",
    c"not a tokenizer, or a text that it cannot tokenize",
    c"a text is not UTF-8",
    c"the system gives no threads",
    c"a library that this one uses has panicked",
];

export! {
    fn status_text(status: i32) -> *const c_char {
        let text = usize::try_from(status).ok().and_then(|status| TEXTS.get(status));
        text.map_or(c"unknown status", |text| *text).as_ptr()
    }
}
