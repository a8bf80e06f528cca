//! Pictures as pixels.

use resvg::tiny_skia::{Pixmap, Transform};

use super::font;
use crate::error::{Failure, Result};

/// Pixels for one of the picture's, along each axis: text stays sharp on dense screens.
const DENSITY: f32 = 2.0;

/// An SVG as PNG.
pub fn png(svg: &str) -> Result<Vec<u8>> {
    let tree = font::tree(svg)?;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|x| (x * DENSITY).ceil() as u32);
    let mut pixels = Pixmap::new(width, height)
        .ok_or_else(|| Failure::failed(format!("a picture of {width} x {height} pixels does not fit in memory")))?;
    resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut pixels.as_mut());
    encode(&pixels)
}

pub fn encode(pixels: &Pixmap) -> Result<Vec<u8>> {
    pixels.encode_png().map_err(|error| Failure::failed(format!("the picture cannot be written as PNG: {error}")))
}
