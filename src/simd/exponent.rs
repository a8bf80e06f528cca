//! Multiplying by powers of two without an instruction for it, as [`Simd::scale2`](super::Simd::scale2) promises.
//!
//! A power is made from exponent bits, in two steps, since one factor alone cannot reach the subnormals: by `2^(n + DETOUR)`, which
//! is a normal number and the product exact, then by `2^-DETOUR`, which rounds. The bits of the first power are the low ones of
//! `n + TO_POWER`.

/// 1.5 * 2^23. Floats of this size are 1 apart, so adding it rounds to an integer, which the low bits then hold.
pub(super) const TO_INTEGER: f32 = 12_582_912.0;
const BIAS: f32 = 127.0;
/// Added to the exponent and taken away again: what is between stays far from the subnormals.
const DETOUR: f32 = 64.0;
/// See [`Simd::TO_POWER`](super::Simd::TO_POWER).
pub(super) const TO_POWER: f32 = TO_INTEGER + BIAS + DETOUR;
pub(super) const MANTISSA_BITS: u32 = 23;
/// `2^-DETOUR`
pub(super) const DETOUR_BACK: f32 = 1.0 / (1_u64 << 63) as f32 / 2.0;
