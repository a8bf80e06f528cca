//! What the programs of this crate share: the board, printing without `core::fmt`, the stack and the instructions of a call.

#![no_std]

pub mod board;
pub mod data;
pub mod expected;
pub mod measure;
pub mod model;
pub mod print;

use core::panic::PanicInfo;

pub use board::entry;

/// Nothing in an image calls it: the linker leaves it out.
#[cfg_attr(target_os = "none", panic_handler)]
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the host has its own"))]
fn panic(_: &PanicInfo<'_>) -> ! {
    board::exit(false)
}

/// Ends the program: well, or with the line that failed.
pub fn finish(result: selfattn::Result<bool>) -> ! {
    match result {
        Ok(true) => print::line("ok"),
        Ok(false) => print::line("FAILED: the result is not the host's"),
        Err(_) => print::line("FAILED: the library refused an argument"),
    }
    board::exit(matches!(result, Ok(true)))
}
