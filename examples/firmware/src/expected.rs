//! What the host computed of the same numbers.

use crate::data::samples;
use crate::print::Line;

include!(concat!(env!("OUT_DIR"), "/expected.rs"));

/// Whether the samples of a result are within `bound` of the host's; prints the largest difference.
pub fn agrees(result: &[f32], expected: &[f32], bound: f32) -> bool {
    let worst = difference(samples(result), expected);
    Line::new().text("largest difference from the host: ").decimal(worst * 1e6, 3).text("e-6").end();
    worst <= bound
}

/// The largest difference; NaN if there is one.
pub fn difference<'a>(result: impl Iterator<Item = &'a f32>, expected: &[f32]) -> f32 {
    result.zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, |worst, x| if x <= worst { worst } else { x })
}
