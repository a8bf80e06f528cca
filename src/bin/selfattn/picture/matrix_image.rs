//! A large matrix as one image, to stand in an SVG.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use resvg::tiny_skia::{ColorU8, Pixmap};

use super::colour::Rgb;
use super::raster;
use crate::error::{Failure, Result};

/// The matrix as the address of an image with `cell x cell` pixels for each value.
pub fn data_url(colours: &[Vec<Rgb>], cell: usize) -> Result<String> {
    let width = colours.first().map_or(0, Vec::len) * cell;
    let size = |x: usize| u32::try_from(x).ok();
    let pixmap = size(width).zip(size(colours.len() * cell)).and_then(|(width, height)| Pixmap::new(width, height));
    let mut pixmap = pixmap.ok_or_else(|| Failure::failed("the matrix is too large for a picture"))?;
    for (row, line) in pixmap.pixels_mut().chunks_exact_mut(width).enumerate() {
        for (column, pixel) in line.iter_mut().enumerate() {
            let [r, g, b] = colours[row / cell][column / cell];
            *pixel = ColorU8::from_rgba(r, g, b, u8::MAX).premultiply();
        }
    }
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(raster::encode(&pixmap)?)))
}
