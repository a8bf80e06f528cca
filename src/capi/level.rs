//! The header's numbers for SIMD levels.

use core::ffi::{CStr, c_char};

use super::fault::{Fault, Result};
use super::raw::{self, Raw};
use crate::error::Error;
use crate::simd::Level;

/// `SELFATTN_LEVEL_CURRENT`.
pub(super) const CURRENT: i32 = 0;

/// All levels of all architectures, and their numbers, which never change.
const CODES: [(&CStr, i32); 8] = [
    (c"scalar", 1),
    (c"avx2", 2),
    (c"avx512", 3),
    (c"avx512bf16", 4),
    (c"amxbf16", 5),
    (c"neon", 16),
    (c"neonbf16", 17),
    (c"wasm128", 32),
];

fn find(code: i32) -> Option<&'static CStr> {
    CODES.iter().find(|(_, of_level)| *of_level == code).map(|(name, _)| *name)
}

/// The level of a number.
pub(super) fn level(arg: &'static str, code: i32) -> Result<Level> {
    if code == CURRENT {
        return Ok(Level::current());
    }
    let name = find(code).ok_or(unknown(arg, code))?;
    Level::available().find(|level| level.name().as_bytes() == name.to_bytes()).ok_or(Error::Level.into())
}

pub(super) fn unknown(arg: &'static str, code: i32) -> Fault {
    // As the C side reads a number that it should have kept within an enum.
    Fault::Enum { arg, got: u64::from(code.cast_unsigned()) }
}

/// The number of a level.
pub(super) fn code(level: Level) -> i32 {
    let named = |(name, _): &&(&CStr, i32)| name.to_bytes() == level.name().as_bytes();
    CODES.iter().find(named).map_or(CURRENT, |(_, code)| *code)
}

export! {
    fn level_best() -> i32 {
        code(Level::detect())
    }

    fn level_current() -> i32 {
        code(Level::current())
    }

    fn level_set(code: i32) {
        level("level", code)?.set_current();
        Ok(())
    }

    fn level_is_available(code: i32) -> i32 {
        i32::from(level("level", code).is_ok())
    }

    fn level_name(level: i32) -> *const c_char {
        let code = if level == CURRENT { code(Level::current()) } else { level };
        find(code).map_or(core::ptr::null(), CStr::as_ptr)
    }

    fn level_from_name(name: *const c_char, level: *mut i32) {
        let (name, to) = (Raw::new("name", name, 1)?, raw::place("level", level)?);
        // SAFETY: not null; the header asks for a NUL at its end.
        let name = unsafe { CStr::from_ptr(name.start()) };
        let known = CODES.iter().find(|(of_level, _)| *of_level == name).ok_or(Error::Level)?;
        let found = super::level::level("name", known.1)?;
        // SAFETY: the header's word for `level`.
        unsafe { to.put(code(found)) };
        Ok(())
    }
}
