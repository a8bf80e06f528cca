//! The public operations: each checks its arguments, then runs a kernel at the engine's level.
//!
//! Nothing is written when an argument is refused. Scratch is the caller's: any alignment, any content, and as many bytes
//! as the matching `*_scratch` query says.

pub(crate) mod attention;
pub(crate) mod matmul;
pub(crate) mod rows;
pub(crate) mod weights;

use crate::error::{Error, Result};

/// `got == expected`, or an error that names the argument.
pub(crate) fn same(arg: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::Shape { arg, expected, got }) }
}

/// The sum of sequence lengths, which is `rows`, or an error that names the argument.
pub(crate) fn covers(arg: &'static str, lengths: &[usize], rows: usize) -> Result<()> {
    let total = lengths.iter().try_fold(0_usize, |sum, &len| sum.checked_add(len)).ok_or(Error::Overflow { arg })?;
    same(arg, rows, total)
}
