//! The report: rows, as they are written to and read from JSON.

pub mod table;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::contestant::Info;
use crate::error::Result;
use crate::machine::Machine;
use crate::measure::Times;

/// A whole run. `peers.py --json` writes the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    /// What was not run, and why.
    pub notes: Vec<String>,
    pub rows: Vec<Row>,
}

/// A contestant at a shape.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    pub op: String,
    pub shape: String,
    pub contestant: String,
    pub activations: String,
    pub weights: String,
    pub ours: bool,
    /// Seconds a run: the median of the rounds, and the best.
    pub median: f64,
    pub best: f64,
    pub rounds: usize,
    /// Floating-point operations of a run; for softmax, elements.
    pub work: f64,
    /// Bytes of weights.
    pub bytes: usize,
    /// Roofs measured in the same rounds: operations a second, and bytes a second when as many bytes are read.
    pub peak: Option<f64>,
    pub read: Option<f64>,
}

impl Row {
    /// Without the work and the roofs.
    pub fn new(op: &str, shape: &str, info: &Info, times: &Times) -> Self {
        Self {
            op: op.to_owned(),
            shape: shape.to_owned(),
            contestant: info.name.clone(),
            activations: info.activations.clone(),
            weights: info.weights.clone(),
            ours: info.ours,
            median: times.median,
            best: times.best,
            rounds: times.rounds,
            bytes: info.bytes,
            ..Self::default()
        }
    }

    /// Work a second.
    pub fn rate(&self) -> f64 {
        self.work / self.median
    }
}

impl Report {
    /// Adds the rows that another run wrote.
    pub fn merge(&mut self, file: &Path) -> Result<()> {
        let explain = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| explain(&error))?;
        let other: Self = serde_json::from_str(&text).map_err(|error| explain(&error))?;
        let Machine { cpu, threads, peak, versions, .. } = other.machine;
        let of = format!("{} on {cpu}, threads {threads}, peak {peak:.1} GFLOP/s", versions.join(", "));
        self.notes.push(format!("from {}: {of}", file.display()));
        self.notes.extend(other.notes);
        self.rows.extend(other.rows);
        Ok(())
    }
}

/// The sizes in a shape's name: `128x384x384`.
pub fn sizes<const N: usize>(shape: &str) -> Result<[usize; N]> {
    let sizes: Vec<usize> = shape.split('x').map(str::parse).collect::<std::result::Result<_, _>>()?;
    let wrong = |_| format!("shape {shape}: {N} sizes expected").into();
    sizes.try_into().map_err(wrong)
}
