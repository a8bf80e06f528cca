//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::error::Result;

/// More MiB than the caches of most CPUs have.
pub const MEMORY: u32 = 256;

/// selfattn beside other libraries: the same operations, interleaved in one run
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Matrix products
    Matmul(RunArgs),
    /// Softmax of rows
    Softmax(RunArgs),
    /// Attention of as many queries as keys
    Attention(RunArgs),
    /// Attention of one query to keys and values that come from memory
    Decode(RunArgs),
    /// Our flash attention beside the plain algorithm, at many shapes; fails where it is slower
    Shapes(ShapesArgs),
    /// The FMA peak and the read bandwidth alone, as JSON
    Roofs {
        /// Threads
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Seconds to measure for
        #[arg(long, default_value_t = 0.3)]
        seconds: f64,
    },
}

#[derive(Args, Clone)]
pub struct RunArgs {
    /// Seconds a shape, shared by its contestants
    #[arg(long, default_value_t = 4.0)]
    pub seconds: f64,
    /// Threads of every contestant
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Measures the processor's time instead of the wall's, on a machine that does other things as well
    #[arg(long)]
    pub processor_time: bool,
    /// MiB that are read, or of keys and values, before the same come again, so that they come from memory: more than all caches
    /// have together
    #[arg(long, value_name = "MIB", default_value_t = MEMORY, value_parser = clap::value_parser!(u32).range(1..))]
    pub cold: u32,
    /// Only shapes whose name contains TEXT
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub filter: String,
    /// Only contestants whose name contains TEXT; may be given again
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Shows only the N fastest peers of each type at a shape; the JSON has all
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub fastest: usize,
    /// A Python interpreter whose libraries take part, by peers.py
    #[arg(long, value_name = "PYTHON")]
    pub python: Option<PathBuf>,
    /// Adds the rows of a report to the table; may be given again
    #[arg(long, value_name = "FILE")]
    pub with: Vec<PathBuf>,
    /// Writes the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub md: Option<PathBuf>,
    /// Writes the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct ShapesArgs {
    /// Seconds a shape, shared by its contestants
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Threads
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Measures the processor's time instead of the wall's, on a machine that does other things as well
    #[arg(long)]
    pub processor_time: bool,
    /// Only shapes, heads x n x d, whose name contains TEXT
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub filter: String,
    /// Percent by which flash attention may be slower
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    pub slack: f64,
    /// Writes the table as Markdown
    #[arg(long, value_name = "FILE")]
    pub md: Option<PathBuf>,
}

/// Of so many MiB.
pub fn bytes(mib: u32) -> usize {
    (mib as usize) << 20
}

pub fn check_seconds(seconds: f64) -> Result<()> {
    if !(seconds > 0.0 && seconds <= 3600.0) {
        return Err(format!("--seconds {seconds}: give more than 0 and at most 3600").into());
    }
    Ok(())
}

impl RunArgs {
    /// Bytes of `--cold`.
    pub fn cold_bytes(&self) -> usize {
        bytes(self.cold)
    }

    pub fn wants(&self, contestant: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| contestant.contains(text))
    }
}
