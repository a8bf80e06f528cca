//! Products: shapes, strides, types, epilogue, every form of the weights, every level, against the naive product in f64.

use arbitrary::{Result, Unstructured};
use selfattn::Activation;

use crate::common::product::{Case, check};
use crate::draw::{dimension, dtype, values};

pub fn run(data: &[u8]) {
    if let Ok(case) = draw(&mut Unstructured::new(data)) {
        check(&case);
    }
}

fn draw(u: &mut Unstructured<'_>) -> Result<Case> {
    Ok(Case {
        size: size(u)?,
        types: [dtype(u)?, dtype(u)?],
        gap: u.int_in_range(0..=2)?,
        offset: u.int_in_range(0..=16)?,
        values: values(u)?,
        bias: u.arbitrary()?,
        activation: *u.choose(&[Activation::None, Activation::Relu, Activation::Gelu, Activation::GeluTanh])?,
        residual: u.arbitrary()?,
        seed: u.arbitrary()?,
    })
}

/// Rows, steps, columns: small, of several panels, of more steps than are packed at a time, or of more rows than a block has.
fn size(u: &mut Unstructured<'_>) -> Result<[usize; 3]> {
    Ok(match u.int_in_range(0..=15_u8)? {
        15 => [dimension(u, 3)?, u.int_in_range(500..=1100)?, dimension(u, 20)?],
        14 => [u.int_in_range(120..=300)?, dimension(u, 6)?, dimension(u, 10)?],
        2..=5 => [dimension(u, 2)?, dimension(u, 40)?, dimension(u, 300)?],
        _ => [dimension(u, 20)?, dimension(u, 60)?, dimension(u, 110)?],
    })
}
