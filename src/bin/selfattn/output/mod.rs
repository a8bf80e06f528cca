//! Vectors out: as JSON lines or as a NumPy array, to standard output or to a file that appears only when complete.

mod interrupt;
mod npy;
mod stdout;
mod whole_file;

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::args::Format;
use crate::error::{Failure, Result};
use npy::NpyWriter;
use stdout::StandardOutput;
pub use whole_file::WholeFile;

/// Where vectors go, and how.
pub enum Sink {
    JsonToStdout(StandardOutput),
    JsonToFile(WholeFile),
    Npy(NpyWriter),
}

#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    ids: &'a [u32],
    embedding: &'a [f32],
}

impl Sink {
    pub fn open(format: Format, out: Option<&Path>, width: usize) -> Result<Self> {
        match (format, out) {
            (Format::Jsonl, None) => Ok(Self::JsonToStdout(StandardOutput::default())),
            (Format::Jsonl, Some(path)) => Ok(Self::JsonToFile(WholeFile::create(path)?)),
            (Format::Npy, Some(path)) => Ok(Self::Npy(NpyWriter::create(path, width)?)),
            (Format::Npy, None) => Err(npy_needs_file()),
        }
    }

    pub fn write(&mut self, text: &str, ids: &[u32], embedding: &[f32]) -> Result<()> {
        let line = Line { text, ids, embedding };
        match self {
            Self::JsonToStdout(out) => out.line(|out| json(out, &line)),
            Self::JsonToFile(file) => {
                json(&mut *file, &line).and_then(|()| file.write_all(b"\n")).map_err(|error| file.failure(&error))
            }
            Self::Npy(npy) => npy.write(embedding),
        }
    }

    /// Hands on what is held back, so that a reader of a pipe sees it.
    pub fn flush(&mut self) -> Result<()> {
        match self {
            Self::JsonToStdout(out) => out.flush(),
            Self::JsonToFile(_) | Self::Npy(_) => Ok(()),
        }
    }

    /// Completes the output. A file gets its name only now.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::JsonToStdout(mut out) => out.flush(),
            Self::JsonToFile(file) => file.commit(),
            Self::Npy(npy) => npy.finish(),
        }
    }
}

/// Refuses one name for two outputs: the second would replace the first.
pub fn distinct(paths: &[Option<&Path>]) -> Result<()> {
    let named: Vec<&Path> = paths.iter().flatten().copied().filter(|path| *path != Path::new("/dev/null")).collect();
    match (1..named.len()).find(|&i| named[..i].contains(&named[i])) {
        Some(i) => {
            Err(Failure::usage(format!("{} is named twice: give each output a file of its own", named[i].display())))
        }
        None => Ok(()),
    }
}

/// The refusal of binary data on a terminal; and a pipe cannot be given its length afterwards.
pub fn npy_needs_file() -> Failure {
    Failure::usage("--format npy needs --out FILE")
}

fn json(out: impl Write, value: &impl Serialize) -> io::Result<()> {
    Ok(serde_json::to_writer(out, value)?)
}

/// One JSON value on standard output, laid out for reading.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = StandardOutput::default();
    out.line(|out| Ok(serde_json::to_writer_pretty(out, value)?))?;
    out.flush()
}

/// JSON values on standard output, one a line.
pub fn print_json_lines(values: &[impl Serialize]) -> Result<()> {
    let mut out = StandardOutput::default();
    values.iter().try_for_each(|value| out.line(|out| json(out, value)))?;
    out.flush()
}

/// Lines of text on standard output.
pub fn print(text: &str) -> Result<()> {
    let mut out = StandardOutput::default();
    out.lines(text);
    out.flush()
}
