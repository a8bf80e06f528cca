//! Many numbers in little text: 16 bits each, in base64.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;

/// Numbers rounded to one of 65,536 steps between the lowest and the highest: an error of at most their distance / 131,070.
#[derive(Debug, Serialize)]
pub struct Packed {
    pub low: f32,
    pub high: f32,
    /// Unsigned 16-bit integers, the lower byte first; 0 is `low`, 65535 is `high`.
    data: String,
}

impl Packed {
    /// Numbers of any size. Those that are not finite count as `low`.
    pub fn new(values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        let (low, high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
        if low < high {
            Self::between(values, low, high)
        } else {
            Self::between(values, finite().next().unwrap_or(0.0), high)
        }
    }

    /// Numbers from 0 to 1.
    pub fn shares(values: &[f32]) -> Self {
        Self::between(values, 0.0, 1.0)
    }

    fn between(values: &[f32], low: f32, high: f32) -> Self {
        let scale = if high > low { f32::from(u16::MAX) / (high - low) } else { 0.0 };
        // A NaN becomes 0.
        let steps: Vec<u16> = values.iter().map(|x| ((x - low) * scale).round() as u16).collect();
        Self { low, high: high.max(low), data: integers(&steps) }
    }
}

/// Unsigned 16-bit integers, the lower byte first.
pub fn integers(values: &[u16]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(packed: &Packed) -> Vec<f32> {
        let bytes = BASE64_STANDARD.decode(&packed.data).unwrap();
        let step = (packed.high - packed.low) / 65535.0;
        bytes.chunks_exact(2).map(|x| packed.low + step * f32::from(u16::from_le_bytes([x[0], x[1]]))).collect()
    }

    #[test]
    fn numbers_come_back() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * 7.0 - 1.0).collect();
        for (got, expected) in unpack(&Packed::new(&values)).iter().zip(&values) {
            assert!((got - expected).abs() <= 14.0 / 131_070.0 + 1e-5, "{got} for {expected}");
        }
        for (got, expected) in unpack(&Packed::shares(&[0.0, 1.0, 0.25, 1.0001])).iter().zip([0.0, 1.0, 0.25, 1.0]) {
            assert!((got - expected).abs() <= 1e-5);
        }
    }

    #[test]
    fn all_alike_none_and_no_numbers() {
        assert_eq!(unpack(&Packed::new(&[3.5, 3.5])), [3.5, 3.5]);
        assert!(unpack(&Packed::new(&[])).is_empty());
        assert_eq!(unpack(&Packed::new(&[f32::NAN, 1.0, 2.0, f32::INFINITY])), [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(unpack(&Packed::new(&[f32::NAN])), [0.0]);
    }
}
