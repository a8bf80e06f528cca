//! What several targets draw from the fuzzer's bytes. Where these end, everything is the first of its choices.

use arbitrary::{Result, Unstructured};
use selfattn::Dtype;

use crate::common::data::Values;
use crate::common::stored::DTYPES;

/// Widths of registers and tiles: what stands near a multiple of one is where a kernel ends its rows in another way.
const WIDTHS: [usize; 6] = [4, 6, 8, 16, 24, 48];

/// A dimension: small, near a multiple of some width, or anything up to `max`.
pub fn dimension(u: &mut Unstructured<'_>, max: usize) -> Result<usize> {
    let n = match u.int_in_range(0..=6_u8)? {
        0 | 1 => u.int_in_range(0..=4)?,
        2..=4 => u.int_in_range(1..=4)? * u.choose(&WIDTHS)? + u.int_in_range(0..=2)? - 1,
        _ => u.int_in_range(0..=max)?,
    };
    Ok(n.min(max))
}

pub fn dtype(u: &mut Unstructured<'_>) -> Result<Dtype> {
    u.choose(&DTYPES).copied()
}

pub fn values(u: &mut Unstructured<'_>) -> Result<Values> {
    u.choose(&[Values::Unit, Values::Wide, Values::Tiny, Values::Sparse, Values::Mixed]).copied()
}

/// True once in `n` times, and not where the bytes end.
pub fn rarely(u: &mut Unstructured<'_>, n: u8) -> Result<bool> {
    Ok(u.int_in_range(1..=n)? == n)
}

/// `None` as often as not.
pub fn option<T>(u: &mut Unstructured<'_>, some: impl FnOnce(&mut Unstructured<'_>) -> Result<T>) -> Result<Option<T>> {
    if u.arbitrary()? { some(u).map(Some) } else { Ok(None) }
}

/// A multiple of 1/64 in `low..=high`.
pub fn sixtyfourths(u: &mut Unstructured<'_>, low: u32, high: u32) -> Result<f32> {
    Ok(u.int_in_range(low * 64..=high * 64)? as f32 / 64.0)
}

/// Up to `most` of what `one` draws.
pub fn list<T>(
    u: &mut Unstructured<'_>,
    most: usize,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=most)?).map(|_| one(u)).collect()
}
