//! NumPy's file format, version 1.0: a fixed-size header, then the numbers.
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::whole_file::WholeFile;
use crate::error::{Failure, Result};

/// Bytes of the header: room for any shape, and a multiple of 64 as the format asks.
const HEADER: usize = 128;

/// Writes the rows of a float32 matrix as they come; how many they were is filled in at the end.
pub struct NpyWriter {
    file: WholeFile,
    rows: u64,
    width: usize,
}

impl NpyWriter {
    pub fn create(path: &Path, width: usize) -> Result<Self> {
        let mut file = WholeFile::create(path)?;
        if !file.can_seek() {
            let path = path.display();
            return Err(Failure::failed(format!("{path} is not a regular file, which --format npy needs")));
        }
        file.write_all(&header(0, width)).map_err(|error| file.failure(&error))?;
        Ok(Self { file, rows: 0, width })
    }

    pub fn write(&mut self, row: &[f32]) -> Result<()> {
        self.rows += 1;
        write_floats(&mut self.file, row).map_err(|error| self.file.failure(&error))
    }

    pub fn finish(mut self) -> Result<()> {
        let header = header(self.rows, self.width);
        let file = &mut self.file;
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&header)).map_err(|error| file.failure(&error))?;
        self.file.commit()
    }
}

fn write_floats(out: &mut impl Write, row: &[f32]) -> io::Result<()> {
    row.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))
}

fn header(rows: u64, width: usize) -> [u8; HEADER] {
    let mut bytes = [b' '; HEADER];
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    bytes[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    bytes[8..10].copy_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    bytes[10..10 + text.len()].copy_from_slice(text.as_bytes());
    bytes[HEADER - 1] = b'\n';
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_shape_fits_the_header() {
        let bytes = header(u64::MAX, usize::MAX);
        assert!(bytes.ends_with(b" \n"));
        assert!(String::from_utf8_lossy(&bytes).contains("(18446744073709551615, 18446744073709551615), }"));
    }
}
