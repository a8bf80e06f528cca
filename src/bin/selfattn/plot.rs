//! `selfattn embed --plot`: how similar the texts are, as a heat map.

use std::path::Path;

use selfattn::MatRef;
use selfattn::block::Runner;

use crate::error::{Failure, Result};
use crate::explain::{similarities, square};
use crate::picture::{Format, HeatMap, Output};

/// Texts at most: of more, nothing could be told apart on a screen.
const TEXTS: usize = 512;

/// The texts and vectors so far.
pub struct Plot {
    output: Output,
    names: Vec<String>,
    vectors: Vec<f32>,
}

impl Plot {
    pub fn create(path: &Path) -> Result<Self> {
        let output = Output::create(Format::of(path, "--plot")?, path)?;
        Ok(Self { output, names: Vec::new(), vectors: Vec::new() })
    }

    pub fn add(&mut self, text: &str, vector: &[f32]) -> Result<()> {
        if self.names.len() == TEXTS {
            return Err(Failure::failed(format!(
                "--plot draws at most {TEXTS} texts, and there are more: give it fewer"
            )));
        }
        self.names.push(text.to_owned());
        self.vectors.extend(vector);
        Ok(())
    }

    /// Draws the cosines of all pairs. The vectors are of length 1: a dot product is a cosine.
    pub fn finish(self, runner: &Runner<'_, '_, '_>, model: &str) -> Result<()> {
        let n = self.names.len();
        if n == 0 {
            return Err(Failure::failed("--plot: there is no text to draw"));
        }
        let vectors = MatRef::new(&self.vectors, n, self.vectors.len() / n)?;
        let values = square(&similarities(runner, vectors)?, n);
        let low = values.iter().flatten().copied().fold(0.0, f32::min);
        self.output.write_heat_map(&HeatMap {
            title: "How similar are the texts?".to_owned(),
            subtitle: format!("Cosine of the sentence vectors: 1 is the same direction, 0 is unrelated. {model}"),
            rows: self.names.iter().map(|name| name.trim().to_owned()).collect(),
            named_columns: false,
            axes: ["text", "text"],
            values: &values,
            scale: [low, 1.0],
            unit: "cosine",
            beside: None,
        })
    }
}
