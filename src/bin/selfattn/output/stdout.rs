//! Standard output, by whole lines: what stops the program in between leaves none by halves.

use std::io::{self, Write};

use super::interrupt;
use crate::error::{Failure, Result};

/// Bytes that are held back at most, beside the line that is being added.
const BUFFER: usize = 1 << 16;

/// Lines on their way to standard output.
#[derive(Default)]
pub struct StandardOutput {
    lines: Vec<u8>,
}

impl StandardOutput {
    /// Adds a line, which `text` writes without its end.
    pub fn line(&mut self, text: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<()> {
        text(&mut self.lines).map_err(|error| Failure::stdout(&error))?;
        self.lines.push(b'\n');
        if self.lines.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Adds some lines, with their ends.
    pub fn lines(&mut self, text: &str) {
        self.lines.extend_from_slice(text.as_bytes());
    }

    /// Writes what is held back.
    pub fn flush(&mut self) -> Result<()> {
        let written = interrupt::undivided(|| write_lines(&self.lines));
        self.lines.clear();
        written.map_err(|error| Failure::stdout(&error))
    }
}

#[cfg(not(unix))]
fn write_lines(lines: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines)?;
    out.flush()
}

/// Past the buffer of the standard library: that would not say how much of the lines has been written.
#[cfg(unix)]
fn write_lines(lines: &[u8]) -> io::Result<()> {
    use std::fs::File;
    use std::os::fd::AsFd;

    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut written = 0;
    while written < lines.len() {
        match out.write(&lines[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                take_back(&mut out, half_line(&lines[..written]));
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Bytes after the last line end.
#[cfg(unix)]
fn half_line(written: &[u8]) -> usize {
    written.iter().rev().take_while(|&&byte| byte != b'\n').count()
}

/// Removes the bytes that were written last, from a file that ends with them: of a line for which the disk had no room.
#[cfg(unix)]
fn take_back(out: &mut std::fs::File, bytes: usize) {
    use std::io::Seek;

    let Ok(end) = out.stream_position() else { return };
    if out.metadata().is_ok_and(|data| data.is_file() && data.len() == end) {
        // The write has failed already, and is reported; there is nothing to add if this fails as well.
        let _ = out.set_len(end - bytes as u64).and_then(|()| out.seek(io::SeekFrom::End(0)));
    }
}
