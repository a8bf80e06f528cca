//! Which version of the library this is.

use core::ffi::{CStr, c_char};

const TEXT: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => c"",
};

/// Major, minor and patch in one number, three digits for each of the last two.
const NUMBER: u32 = {
    let [major, minor, patch] = [
        number(env!("CARGO_PKG_VERSION_MAJOR")),
        number(env!("CARGO_PKG_VERSION_MINOR")),
        number(env!("CARGO_PKG_VERSION_PATCH")),
    ];
    match (major.checked_mul(1_000_000), minor.checked_mul(1_000)) {
        (Some(major), Some(minor)) => major.saturating_add(minor).saturating_add(patch),
        _ => u32::MAX,
    }
};

const fn number(digits: &str) -> u32 {
    match u32::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => 0,
    }
}

export! {
    fn version() -> u32 {
        NUMBER
    }

    fn version_text() -> *const c_char {
        TEXT.as_ptr()
    }
}
