//! Pictures: heat maps, a roofline plot, and a page. They are given names and numbers, and know nothing of models.

mod colour;
mod font;
mod heatmap;
mod matrix_image;
pub mod page;
pub mod pca;
mod raster;
mod roofline;

use std::io::Write;
use std::path::{Path, PathBuf};

pub use heatmap::HeatMap;
pub use roofline::{Point, Roofline};

use crate::error::{Failure, Result, say};
use crate::output::WholeFile;

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Html,
    Json,
    Png,
    Svg,
}

impl Format {
    /// Png or Svg, as the file's name ends.
    pub fn of(path: &Path, argument: &str) -> Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("png") => Ok(Self::Png),
            Some("svg") => Ok(Self::Svg),
            _ => Err(Failure::usage(format!("{argument} {}: give a name that ends in .png or .svg", path.display()))),
        }
    }
}

/// A picture's file, opened before the work: what cannot be written is known at once.
pub struct Output {
    pub format: Format,
    path: PathBuf,
    file: WholeFile,
}

impl Output {
    pub fn create(format: Format, path: &Path) -> Result<Self> {
        Ok(Self { format, path: path.to_owned(), file: WholeFile::create(path)? })
    }

    /// Writes all of it, and says how large it is.
    pub fn write(mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.file.failure(&error))?;
        self.file.commit()?;
        let size = bytes.len().div_ceil(1000);
        say(format_args!("selfattn: wrote {} ({size} kB)", self.path.display()));
        Ok(())
    }

    pub fn write_heat_map(self, map: &HeatMap<'_>) -> Result<()> {
        self.write_svg(&map.svg()?)
    }

    /// Writes a drawing, as PNG if that was asked for.
    pub fn write_svg(self, svg: &str) -> Result<()> {
        match self.format {
            Format::Png => self.write(&raster::png(svg)?),
            Format::Svg | Format::Html | Format::Json => self.write(svg.as_bytes()),
        }
    }
}
